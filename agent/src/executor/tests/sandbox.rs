//! Nothing leaves the sandbox.

use std::os::unix::fs::symlink;
use std::time::Duration;

use email_engine_protocol::desired::{
    ArtifactRef, CommandLine, Fate, FileContent, FileSpec, FirewallSpec, GroupSpec, HostPath,
    IpAddressSpec, OnRemove, PackageSpec, Spec, SymlinkSpec, SysctlSpec, UserSpec,
    VendorPackageSpec,
};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::{Convergence, Mode, ResourceState};

use super::rig::Rig;
use crate::resources::database_samples;

#[test]
fn links_out_of_the_root_lead_nowhere() {
    let outside = tempfile::tempdir().unwrap();
    let absolute = outside.path().to_path_buf();
    let up = format!("../../../../../../../..{}", absolute.display());
    for link in [absolute.to_string_lossy().into_owned(), up] {
        let mut rig = Rig::with_audit(Duration::from_millis(50));
        symlink(&link, rig.at("/etc")).unwrap();
        let file = rig.file("/etc/pmta/config", "inside");
        let config = rig.config(vec![file]);
        let report = rig.offer(&config, 1);
        assert_eq!(report.convergence, Convergence::Degraded);
        assert_eq!(
            std::fs::read_dir(&absolute).unwrap().count(),
            0,
            "via {link}"
        );
        // The same path below the root is where the link leads.
        let inside = rig.root().join(absolute.strip_prefix("/").unwrap());
        std::fs::create_dir_all(&inside).unwrap();
        rig.report_where("it is written below the root", |report| {
            report.convergence == Convergence::Converged
        });
        assert_eq!(
            std::fs::read(inside.join("pmta/config")).unwrap(),
            b"inside"
        );
        assert_eq!(
            std::fs::read_dir(&absolute).unwrap().count(),
            0,
            "via {link}"
        );
    }
}

#[test]
fn nothing_is_spawned_and_what_cannot_be_known_is_said() {
    let mut rig = Rig::new();
    let proof = rig.dir.path().join("proof");
    let mut owned = rig.file("/etc/owned", "x");
    if let Spec::File(spec) = &mut owned.spec {
        spec.owner = Some("pmta".to_owned());
        spec.validate = Some(CommandLine {
            program: HostPath::new("/usr/bin/touch").unwrap(),
            arguments: vec![proof.to_string_lossy().into_owned()],
        });
    }
    let mut package = rig.file("/x", "x");
    package.id = ResourceId::new("package:pmta").unwrap();
    package.spec = Spec::Package(PackageSpec {
        name: "pmta".to_owned(),
        version: Some("5.0r8".to_owned()),
        hold: true,
    });
    let config = rig.config(vec![owned, package]);
    let report = rig.converge(&config, 1);
    assert!(!proof.exists());
    assert_eq!((report.counts.simulated, report.counts.unknown), (1, 1));
    assert!(matches!(
        &report.statuses[0].state,
        ResourceState::Unknown(text) if text.contains("pmta")
    ));
    assert_eq!(report.facts.known().unwrap().mode, Mode::Sandbox);
}

#[test]
fn a_package_of_an_artifact_is_written_down_with_its_file_and_is_another_with_another() {
    let mut rig = Rig::new();
    let mut of = |text: &str| {
        let mut made = rig.file("/x", text);
        let Spec::File(FileSpec {
            content: FileContent::Body { hash, length },
            ..
        }) = made.spec
        else {
            unreachable!("a file has a body")
        };
        made.id = ResourceId::new("package:powermta").unwrap();
        made.spec = Spec::VendorPackage(VendorPackageSpec {
            package: PackageSpec {
                name: "powermta".to_owned(),
                version: None,
                hold: false,
            },
            artifact: Some(ArtifactRef {
                sha256: hash,
                length,
                pieces: vec![hash],
                secret: false,
            }),
            downgrade: false,
            verify: true,
        });
        (made, hash)
    };
    let ((one, first), (two, second)) = (of("one"), of("two"));
    for (number, package, hash) in [(1, one, first), (2, two, second)] {
        let config = rig.config(vec![package]);
        let report = rig.converge(&config, number);
        assert_eq!(report.counts.simulated, 1, "{report:?}");
        let shown = rig.dir.path().join("data/simulated.toml");
        let shown = std::fs::read_to_string(shown).unwrap();
        assert!(
            shown.contains(&format!("\"package file powermta\" = \"{hash}\"")),
            "{shown}"
        );
        assert!(shown.contains("[packages.powermta]"), "{shown}");
    }
    let nothing = rig.config(Vec::new());
    rig.converge(&nothing, 3);
}

fn nothing_enters() -> FirewallSpec {
    FirewallSpec {
        input: Fate::Drop,
        output: Fate::Accept,
        sets: Vec::new(),
        rules: Vec::new(),
        rollback_seconds: 60,
        attempt: 0,
    }
}

#[test]
fn accounts_settings_and_addresses_are_written_down_and_links_are_real() {
    let mut rig = Rig::new();
    let name = || "app".to_owned();
    let path = |text: &str| HostPath::new(text).unwrap();
    let user = UserSpec {
        name: name(),
        group: None,
        groups: Vec::new(),
        home: None,
    };
    let setting = SysctlSpec {
        key: "net.core.somaxconn".to_owned(),
        value: "4096".to_owned(),
    };
    let addresses = IpAddressSpec {
        interface: None,
        addresses: vec!["192.0.2.1".parse().unwrap()],
    };
    let link = SymlinkSpec {
        path: path("/etc/link"),
        target: path("/etc/file"),
    };
    let mut resources = vec![rig.file("/etc/file", "x")];
    for (id, spec) in [
        ("firewall:host", Spec::Firewall(nothing_enters())),
        ("group:app", Spec::Group(GroupSpec { name: name() })),
        ("ip_address:default", Spec::IpAddress(addresses)),
        ("symlink:/etc/link", Spec::Symlink(link)),
        ("sysctl:net.core.somaxconn", Spec::Sysctl(setting)),
        ("user:app", Spec::User(user)),
    ] {
        let mut made = rig.file("/x", "x");
        made.id = ResourceId::new(id).unwrap();
        made.spec = spec;
        made.on_remove = OnRemove::Delete;
        resources.push(made);
    }
    let mut config = rig.config(resources);
    let report = rig.converge(&config, 1);
    assert_eq!((report.counts.simulated, report.counts.converged), (5, 2));
    let simulated = || std::fs::read_to_string(rig.dir.path().join("data/simulated.toml")).unwrap();
    for line in [
        "\"group app\" = \"there\"",
        "\"addresses default\" = \"192.0.2.1\"",
        "\"sysctl net.core.somaxconn\" = \"4096\"",
        "\"user app\" = \"no home, app\"",
        "type filter hook input priority filter; policy drop;",
    ] {
        assert!(simulated().contains(line), "{line}: {}", simulated());
    }
    let link = rig.root().join("etc/link");
    assert_eq!(
        std::fs::read_link(&link).unwrap().to_str(),
        Some("/etc/file")
    );
    std::fs::remove_file(&link).unwrap();
    symlink("/etc/other", &link).unwrap();
    rig.report_where("the link leads where it shall again", |report| {
        report.convergence == Convergence::Converged
            && std::fs::read_link(&link).is_ok_and(|to| to.to_str() == Some("/etc/file"))
    });
    config.resources.truncate(1);
    config.large_removal = true;
    rig.converge(&config, 2);
    let simulated = std::fs::read_to_string(rig.dir.path().join("data/simulated.toml")).unwrap();
    assert!(
        ["app", "192.0.2.1", "policy drop"]
            .iter()
            .all(|gone| !simulated.contains(gone)),
        "{simulated}"
    );
    assert!(std::fs::symlink_metadata(&link).is_err());
}

#[test]
fn databases_and_rows_are_written_down_in_words() {
    let mut rig = Rig::new();
    let resources = vec![
        database_samples::database(),
        rig.file("/etc/file", "x"),
        database_samples::row("one", 5),
    ];
    let mut config = rig.config(resources);
    let report = rig.converge(&config, 1);
    assert_eq!((report.counts.simulated, report.counts.converged), (2, 1));
    let simulated = || std::fs::read_to_string(rig.dir.path().join("data/simulated.toml")).unwrap();
    let text = simulated();
    assert!(
        text.contains("utf8mb4 utf8mb4_bin, user shop by its process"),
        "{text}"
    );
    assert!(
        text.contains("quota=5") && text.contains("shop.server name="),
        "{text}"
    );
    config.resources.retain(|one| one.spec.path().is_some());
    config.large_removal = true;
    rig.converge(&config, 2);
    let simulated = std::fs::read_to_string(rig.dir.path().join("data/simulated.toml")).unwrap();
    assert!(simulated.contains("let go with quota=0"), "{simulated}");
    assert!(!simulated.contains("mysql database"), "{simulated}");
}
