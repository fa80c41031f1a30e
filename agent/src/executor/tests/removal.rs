//! What goes when it is no longer wanted, and what is refused to go.

use email_engine_protocol::desired::{DirectorySpec, HostPath, OnRemove, PackageSpec, Spec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::{Convergence, ResourceState, Stage};

use super::life::service;
use super::rig::{Rig, generation};

#[test]
fn a_state_that_removes_too_much_is_refused_without_the_operators_word() {
    let mut rig = Rig::new();
    let files: Vec<_> = (0..10)
        .map(|at| rig.file(&format!("/etc/{at}"), "x"))
        .collect();
    let config = rig.config(files.clone());
    rig.converge(&config, 1);
    let mut few = rig.config(files[..6].to_vec());
    let report = rig.offer(&few, 2);
    let attempt = report.generations.attempted.unwrap();
    assert_eq!(attempt.stage, Stage::Plan);
    assert!(
        attempt.reason.contains("removes 4 of 10"),
        "{}",
        attempt.reason
    );
    assert_eq!(report.generations.accepted, Some(generation(1)));
    assert!(rig.at("/etc/9").exists());
    few.large_removal = true;
    let report = rig.converge(&few, 3);
    assert_eq!(report.inventory, 6);
    assert!(!rig.at("/etc/9").exists());
    assert!(rig.at("/etc/0").exists());
}

#[test]
fn why_a_state_is_refused_is_told_although_the_one_before_keeps_failing() {
    let mut rig = Rig::new();
    let service = service(&mut rig, "pmta");
    let mut all: Vec<_> = (0..9)
        .map(|at| rig.file(&format!("/etc/{at}"), "x"))
        .collect();
    let few = all[..5].to_vec();
    all.push(service);
    std::fs::write(rig.data().join("simulated-failures"), "service:pmta\n").unwrap();
    let config = rig.config(all);
    let report = rig.offer(&config, 1);
    assert_eq!(report.generations.attempted.unwrap().stage, Stage::Apply);
    let few = rig.config(few);
    let report = rig.offer(&few, 2);
    assert_eq!(report.generations.attempted.unwrap().stage, Stage::Plan);
    let repairs = report.repairs;
    std::fs::remove_file(rig.at("/etc/0")).unwrap();
    let report = rig.report_where("another pass has failed", |report| {
        report.repairs > repairs && report.counts.failed == 1
    });
    let attempt = report.generations.attempted.unwrap();
    assert_eq!(
        (attempt.generation, attempt.stage),
        (generation(2), Stage::Plan)
    );
}

#[test]
fn on_remove_decides_and_only_what_is_owned_goes() {
    let mut rig = Rig::new();
    let stays: Vec<_> = (0..8)
        .map(|at| rig.file(&format!("/etc/{at}"), "x"))
        .collect();
    let mut all = stays.clone();
    all.push(rig.file("/etc/deleted", "x"));
    let mut left = rig.file("/etc/left", "x");
    left.on_remove = OnRemove::Leave;
    all.push(left);
    let config = rig.config(all);
    rig.converge(&config, 1);
    std::fs::write(rig.at("/etc/foreign"), "theirs").unwrap();
    let config = rig.config(stays);
    rig.converge(&config, 2);
    assert!(!rig.at("/etc/deleted").exists());
    assert!(rig.at("/etc/left").exists());
    assert!(rig.at("/etc/foreign").exists());
}

#[test]
fn a_service_and_a_package_stay_or_go_as_on_remove_says() {
    let mut rig = Rig::new();
    let stays: Vec<_> = (0..12)
        .map(|at| rig.file(&format!("/etc/{at}"), "x"))
        .collect();
    let mut all = stays.clone();
    for (name, on_remove) in [
        ("deleted", OnRemove::Delete),
        ("disabled", OnRemove::Disable),
        ("left", OnRemove::Leave),
    ] {
        let mut made = service(&mut rig, name);
        made.on_remove = on_remove;
        all.push(made);
    }
    for (name, on_remove) in [("deleted", OnRemove::Delete), ("left", OnRemove::Leave)] {
        let mut made = rig.file("/x", "x");
        made.id = ResourceId::new(format!("package:{name}")).unwrap();
        made.spec = Spec::Package(PackageSpec {
            name: name.to_owned(),
            version: None,
            hold: false,
        });
        made.on_remove = on_remove;
        all.push(made);
    }
    let config = rig.config(all);
    rig.converge(&config, 1);
    let machine = |rig: &Rig| {
        let text = std::fs::read_to_string(rig.data().join("simulated.toml")).unwrap();
        toml::from_str::<toml::Table>(&text).unwrap()
    };
    let is_on = |table: &toml::Table, name: &str| {
        let service = &table["services"][&format!("{name}.service")];
        let both = (&service["enabled"], &service["running"]);
        assert_eq!(both.0, both.1, "{service}");
        both.0.as_bool().unwrap()
    };
    let is_installed = |table: &toml::Table, name: &str| {
        let packages = table["packages"].as_table().unwrap();
        packages.contains_key(name)
    };
    let before = machine(&rig);
    for name in ["deleted", "disabled", "left"] {
        assert!(is_on(&before, name), "{name}");
    }
    assert!(is_installed(&before, "deleted") && is_installed(&before, "left"));

    let mut config = rig.config(stays);
    config.large_removal = true;
    rig.converge(&config, 2);
    let after = machine(&rig);
    assert!(!is_on(&after, "deleted") && !is_on(&after, "disabled"));
    assert!(is_on(&after, "left"));
    assert!(!is_installed(&after, "deleted") && is_installed(&after, "left"));
}

#[test]
fn a_folder_with_foreign_entries_is_reported_and_never_emptied() {
    let mut rig = Rig::new();
    let stays = rig.file("/etc/a", "x");
    let mut folder = rig.file("/x", "x");
    folder.id = ResourceId::new("directory:/spool").unwrap();
    folder.spec = Spec::Directory(DirectorySpec {
        path: HostPath::new("/spool").unwrap(),
        mode: 0o755,
        owner: None,
        group: None,
    });
    let config = rig.config(vec![stays.clone(), folder]);
    rig.converge(&config, 1);
    std::fs::write(rig.at("/spool/mail"), "theirs").unwrap();
    let mut config = rig.config(vec![stays]);
    let report = rig.offer(&config, 2);
    assert!(
        report
            .generations
            .attempted
            .unwrap()
            .reason
            .contains("bears data")
    );
    config.large_removal = true;
    let report = rig.offer(&config, 3);
    assert_eq!(report.convergence, Convergence::Degraded);
    assert!(matches!(
        &report.statuses[0].state,
        ResourceState::Drifted(text) if text.contains("not empty")
    ));
    assert_eq!(std::fs::read(rig.at("/spool/mail")).unwrap(), b"theirs");
}

#[test]
fn a_cycle_is_refused_by_name() {
    let mut rig = Rig::new();
    let mut one = rig.file("/a", "x");
    let mut two = rig.file("/b", "x");
    one.after.push(two.id.clone());
    two.after.push(one.id.clone());
    let config = rig.config(vec![one, two]);
    let report = rig.offer(&config, 1);
    let attempt = report.generations.attempted.unwrap();
    assert_eq!(attempt.stage, Stage::Plan);
    assert!(
        attempt.reason.contains("file:/a -> file:/b"),
        "{}",
        attempt.reason
    );
    assert_eq!(report.generations.accepted, None);
}
