//! Whatever happens to a managed file, it comes back; whatever is right is left alone.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use email_engine_protocol::desired::{
    DirectorySpec, HostConfig, HostPath, OnRemove, Policy, Resource, Spec,
};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::{Convergence, ResourceState};

use super::rig::{Rig, wait_for};

fn is_right(path: &Path, content: &str) -> bool {
    let Ok(meta) = std::fs::symlink_metadata(path) else {
        return false;
    };
    meta.is_file()
        && meta.permissions().mode() & 0o7777 == 0o644
        && std::fs::read(path).is_ok_and(|bytes| bytes == content.as_bytes())
}

fn rig_with_file() -> (Rig, HostConfig) {
    let mut rig = Rig::new();
    let file = rig.file("/etc/pmta/config", "good");
    let config = rig.config(vec![file]);
    rig.converge(&config, 1);
    (rig, config)
}

/// Both at once: between two steps the first would be repaired already.
fn exchange(one: &Path, other: &Path) {
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    rustix::fs::renameat_with(rustix::fs::CWD, one, rustix::fs::CWD, other, flags).unwrap();
}

fn comes_back(spoil: impl FnOnce(&Path)) {
    let (mut rig, _) = rig_with_file();
    let path = rig.at("/etc/pmta/config");
    assert!(is_right(&path, "good"));
    spoil(&path);
    wait_for("the file comes back", || is_right(&path, "good"));
    let report = rig.report_where("the repair is reported", |report| report.repairs == 1);
    assert_eq!(report.convergence, Convergence::Converged);
}

#[test]
fn an_edited_file_comes_back() {
    comes_back(|path| std::fs::write(path, "evil").unwrap());
}

#[test]
fn a_deleted_file_comes_back() {
    comes_back(|path| std::fs::remove_file(path).unwrap());
}

#[test]
fn a_chmodded_file_comes_back() {
    comes_back(|path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
    });
}

#[test]
fn a_file_with_a_second_name_is_replaced_and_the_other_name_is_left_as_it_is() {
    let (rig, _) = rig_with_file();
    let path = rig.at("/etc/pmta/config");
    let other = rig.at("/theirs");
    std::fs::hard_link(&path, &other).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    wait_for("the file comes back", || is_right(&path, "good"));
    let mode = std::fs::metadata(&other).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o666);
}

#[test]
fn a_file_replaced_by_a_link_comes_back_and_the_links_target_is_untouched() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "theirs").unwrap();
    comes_back(|path| {
        let link = path.with_file_name("link");
        symlink(&victim, &link).unwrap();
        std::fs::rename(link, path).unwrap();
    });
    assert_eq!(std::fs::read(&victim).unwrap(), b"theirs");
}

#[test]
fn a_file_replaced_by_a_folder_with_entries_comes_back() {
    comes_back(|path| {
        std::fs::create_dir(path.with_file_name("x")).unwrap();
        std::fs::write(path.with_file_name("x").join("entry"), "x").unwrap();
        exchange(&path.with_file_name("x"), path);
    });
}

#[test]
fn a_deleted_folder_comes_back_with_its_file() {
    comes_back(|path| {
        let folder = path.parent().unwrap();
        std::fs::rename(folder, folder.with_file_name("away")).unwrap();
    });
}

#[test]
fn a_managed_folder_replaced_by_a_link_is_made_again_and_nothing_is_written_through_it() {
    let mut rig = Rig::new();
    let file = rig.file("/srv/keys/a", "good");
    let folder = Resource {
        id: ResourceId::new("directory:/srv/keys").unwrap(),
        spec: Spec::Directory(DirectorySpec {
            path: HostPath::new("/srv/keys").unwrap(),
            mode: 0o750,
            owner: None,
            group: None,
        }),
        on_remove: OnRemove::Leave,
        policy: Policy::Enforce,
        after: Vec::new(),
        notify: Vec::new(),
    };
    let config = rig.config(vec![file, folder]);
    rig.converge(&config, 1);
    let folder = rig.at("/srv/keys");
    std::fs::create_dir(rig.at("/trap")).unwrap();
    symlink("../trap", rig.at("/srv/away")).unwrap();
    exchange(&rig.at("/srv/away"), &folder);
    wait_for("the folder and its file come back", || {
        std::fs::symlink_metadata(&folder).is_ok_and(|meta| meta.is_dir())
            && is_right(&folder.join("a"), "good")
    });
    let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o750);
}

#[test]
fn nothing_is_written_when_everything_is_right() {
    let mut rig = Rig::with_audit(Duration::from_millis(20));
    let file = rig.file("/etc/a", "good");
    let config = rig.config(vec![file]);
    rig.converge(&config, 1);
    let stamp = |path: &Path| {
        let meta = std::fs::metadata(path).unwrap();
        (
            meta.ino(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
        )
    };
    let root = rig.root();
    let data = rig.data();
    let places = [
        root.join("etc/a"),
        root.join("etc"),
        data.join("inventory"),
        data.join("ledger/page"),
    ];
    let before: Vec<_> = places.iter().map(|path| stamp(path)).collect();
    let start = Instant::now();
    wait_for("time for several audits", || {
        start.elapsed() > Duration::from_millis(200)
    });
    let after: Vec<_> = places.iter().map(|path| stamp(path)).collect();
    assert_eq!(before, after);
    // That audits do take place: this is seen by nothing else.
    change_unseen(&rig, "/etc/a");
    wait_for("an audit repairs it", || {
        is_right(&rig.at("/etc/a"), "good")
    });
}

/// Writes through a second name in a folder that nobody watches: no event for the managed name.
fn change_unseen(rig: &Rig, path: &str) {
    std::fs::create_dir(rig.at("/elsewhere")).unwrap();
    std::fs::hard_link(rig.at(path), rig.at("/elsewhere/alias")).unwrap();
    std::fs::write(rig.at("/elsewhere/alias"), "evil").unwrap();
}

#[test]
fn a_resource_that_somebody_fights_for_is_said_and_comes_back_later_by_itself() {
    let (mut rig, _) = rig_with_file();
    let path = rig.at("/etc/pmta/config");
    for round in 0..5 {
        std::fs::write(&path, format!("evil {round}")).unwrap();
        wait_for("the repair", || is_right(&path, "good"));
        rig.report_where("the repair is reported", |report| {
            report.repairs == round + 1
        });
    }
    std::fs::write(&path, "evil at last").unwrap();
    let report = rig.report_where("it is put off", |report| report.counts.drifted == 1);
    assert!(matches!(
        &report.statuses[0].state,
        ResourceState::Drifted(text) if text.starts_with("contested")
    ));
    assert_eq!(report.convergence, Convergence::Degraded);
    assert_eq!(std::fs::read(&path).unwrap(), b"evil at last");
    // Nothing touches it again, and the next audit is an hour away.
    let report = rig.report_where("it is made right", |report| report.repairs == 6);
    assert!(is_right(&path, "good"));
    assert_eq!(report.convergence, Convergence::Converged);
}

#[test]
fn a_reported_resource_is_made_once_and_then_only_watched() {
    let mut rig = Rig::new();
    let mut file = rig.file("/etc/a", "good");
    file.policy = Policy::Report;
    let config = rig.config(vec![file]);
    rig.converge(&config, 1);
    std::fs::write(rig.at("/etc/a"), "theirs").unwrap();
    let report = rig.report_where("the drift is reported", |r| r.counts.drifted == 1);
    assert_eq!(
        report.statuses[0].state,
        ResourceState::Drifted("6 bytes, not 4".to_owned())
    );
    assert_eq!(std::fs::read(rig.at("/etc/a")).unwrap(), b"theirs");
}

/// The bound is for slow machines; `--success-output immediate` shows the figures of this one.
#[test]
fn two_hundred_drifts_are_repaired_quickly() {
    let mut rig = Rig::new();
    let files: Vec<Resource> = (0..100)
        .map(|at| rig.file(&format!("/etc/pmta/{at:03}"), &format!("content {at}")))
        .collect();
    let config = rig.config(files);
    rig.converge(&config, 1);
    let mut times = Vec::new();
    for round in 0..200 {
        let at = round % 100;
        let path = rig.at(&format!("/etc/pmta/{at:03}"));
        let begin = Instant::now();
        if round < 100 {
            std::fs::write(&path, "evil").unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
        wait_for("the repair", || is_right(&path, &format!("content {at}")));
        times.push(begin.elapsed());
    }
    times.sort();
    let (median, p99) = (times[100], times[197]);
    println!(
        "repair of {} drifts: median {median:?}, p99 {p99:?}",
        times.len()
    );
    assert!(median < Duration::from_secs(1), "median {median:?}");
}
