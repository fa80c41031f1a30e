//! Nothing leaves the sandbox.

use std::os::unix::fs::symlink;
use std::time::Duration;

use email_engine_protocol::desired::{CommandLine, HostPath, PackageSpec, Spec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::{Convergence, Mode, ResourceState};

use super::rig::Rig;

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
