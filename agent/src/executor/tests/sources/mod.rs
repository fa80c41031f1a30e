//! Sources of packages: only those that the host itself lists, and what comes of one that cannot be read.

use email_engine_protocol::desired::{PackageSpec, Resource, Spec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::{Convergence, HostReport, ResourceState, Stage};

use super::rig::{Rig, generation, wait_for};
use crate::resources::repository_samples::resource;

const LISTED: &str = "https://packages.example.com/apt/debian/";
const SOURCE: &str = "/etc/apt/sources.list.d/email-engine-vendor.sources";
const KEYRING: &str = "/etc/apt/keyrings/email-engine-vendor.asc";

fn package(rig: &mut Rig, name: &str) -> Resource {
    let mut made = rig.file("/x", "x");
    made.id = ResourceId::new(format!("package:{name}")).unwrap();
    made.spec = Spec::Package(PackageSpec {
        name: name.to_owned(),
        version: None,
        hold: false,
    });
    made
}

fn state<'a>(report: &'a HostReport, id: &str) -> Option<&'a ResourceState> {
    let mut all = report.statuses.iter();
    let found = all.find(|status| status.id.as_str() == id);
    found.map(|status| &status.state)
}

#[test]
fn a_signed_state_with_a_source_that_the_host_does_not_list_changes_nothing() {
    let mut rig = Rig::new();
    let file = rig.file("/etc/a", "good");
    let good = rig.config(vec![file, resource(LISTED)]);
    rig.converge(&good, 1);
    let before = std::fs::read(rig.at(SOURCE)).unwrap();
    for (number, uri) in [
        (2, "https://packages.example.net/apt/debian/"),
        (3, "http://packages.example.com/apt/debian/"),
        (4, "https://packages.example.com/apt2/"),
        (5, "https://packages.example.com/"),
    ] {
        let file = rig.file("/etc/a", "new");
        let config = rig.config(vec![file, resource(uri)]);
        let report = rig.offer(&config, number);
        let attempt = report.generations.attempted.as_ref().unwrap();
        assert_eq!(attempt.stage, Stage::Accept);
        let words = format!(
            "package_repository:vendor: no entry of `package_repositories` in the rig's list allows {uri}"
        );
        assert!(attempt.reason.contains(&words), "{}", attempt.reason);
        assert_eq!(report.generations.accepted, Some(generation(1)));
        assert_eq!(std::fs::read(rig.at("/etc/a")).unwrap(), b"good");
        assert_eq!(std::fs::read(rig.at(SOURCE)).unwrap(), before);
    }
    // Nor is one that leads out of its folder a state at all.
    let config = rig.config(vec![resource("https://packages.example.com/apt/../x/")]);
    let report = rig.offer(&config, 6);
    let reason = report.generations.attempted.unwrap().reason;
    assert!(reason.contains("without '.' or '..'"), "{reason}");
    assert_eq!(std::fs::read(rig.at(SOURCE)).unwrap(), before);
}

#[test]
fn in_a_sandbox_its_files_are_real_and_its_lists_are_written_down() {
    let mut rig = Rig::new();
    let kept = rig.file("/etc/a", "kept");
    let config = rig.config(vec![kept.clone(), resource(LISTED)]);
    let report = rig.converge(&config, 1);
    assert_eq!((report.counts.simulated, report.counts.converged), (1, 1));
    let text = std::fs::read_to_string(rig.at(SOURCE)).unwrap();
    assert!(text.contains(&format!("\nURIs: {LISTED}\n")), "{text}");
    let simulated = || std::fs::read_to_string(rig.data().join("simulated.toml")).unwrap();
    assert!(
        simulated().contains("lists of package repository vendor"),
        "{}",
        simulated()
    );
    for path in [SOURCE, KEYRING] {
        let place = rig.at(path);
        std::fs::remove_file(&place).unwrap();
        wait_for("it is back", || place.exists());
    }
    let mut none = rig.config(vec![kept]);
    none.large_removal = true;
    rig.converge(&none, 2);
    assert!(!rig.at(SOURCE).exists() && !rig.at(KEYRING).exists());
    let simulated = std::fs::read_to_string(rig.data().join("simulated.toml")).unwrap();
    assert!(!simulated.contains("vendor"), "{simulated}");
}

#[test]
fn one_that_cannot_be_read_stops_what_waits_for_it_and_nothing_else() {
    let mut rig = Rig::new();
    let failures = rig.data().join("simulated-failures");
    std::fs::write(&failures, "package_repository:vendor\n").unwrap();
    let source = resource(LISTED);
    let mut theirs = package(&mut rig, "theirs");
    theirs.after.push(source.id.clone());
    let other = package(&mut rig, "other");
    let file = rig.file("/etc/a", "good");
    let config = rig.config(vec![source, theirs, other, file]);
    let report = rig.offer(&config, 1);
    assert_eq!(report.convergence, Convergence::Degraded);
    let failed = state(&report, "package_repository:vendor");
    assert!(
        matches!(failed, Some(ResourceState::Failed(words)) if words.contains("simulated failure")),
        "{failed:?}"
    );
    let waits = state(&report, "package:theirs");
    assert!(
        matches!(waits, Some(ResourceState::Blocked(_))),
        "{waits:?}"
    );
    assert_eq!(std::fs::read(rig.at("/etc/a")).unwrap(), b"good");
    let simulated = std::fs::read_to_string(rig.data().join("simulated.toml")).unwrap();
    assert!(
        simulated.contains("[packages.other]") && !simulated.contains("[packages.theirs]"),
        "{simulated}"
    );
    assert!(!rig.at(SOURCE).exists(), "it does not stay");
    // It is tried again in its time; the next life does not wait for that.
    std::fs::remove_file(failures).unwrap();
    rig.restart();
    rig.report_where("all of it is there", |report| {
        report.convergence == Convergence::Converged
    });
    assert!(rig.at(SOURCE).exists());
}
