//! A folder that an archive was unpacked to. A marker in it says which archive and how, so that looking
//! costs one small read; of what else is in it only the folder itself is compared.

use email_engine_protocol::desired::{ArchiveSpec, HostPath};

use super::reader::Reader;
use super::unpack;
use crate::host::{EntryKind, Machine, Unpacked, Wanted};
use crate::resources::access::Access;
use crate::resources::{ApplyError, Contents, Finding};

/// Name of the marker. Archives may not bring one.
const MARKER: &str = ".email-engine.unpacked";
const MARKER_BYTES: u64 = 4096;

fn access(spec: &ArchiveSpec) -> Access<'_> {
    Access {
        mode: spec.mode,
        owner: spec.owner.as_deref(),
        group: spec.group.as_deref(),
    }
}

/// Where the marker of a folder stands.
pub(in crate::resources) fn marker(folder: &HostPath) -> Option<HostPath> {
    HostPath::new(format!("{folder}/{MARKER}")).ok()
}

/// What the marker says.
fn mark(spec: &ArchiveSpec) -> String {
    let or_own = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
    format!(
        "sha256 {}\n{}, {} folders stripped, mode {:04o}, owner {}:{}\n",
        spec.artifact.sha256,
        spec.form.as_str(),
        spec.strip,
        spec.mode,
        or_own(&spec.owner),
        or_own(&spec.group)
    )
}

/// What the marker in a folder says; nothing when there is none.
fn marked(machine: &Machine, folder: &HostPath) -> Option<Vec<u8>> {
    machine.files.read(&marker(folder)?, MARKER_BYTES).ok()
}

pub(in crate::resources) fn observe(machine: &Machine, spec: &ArchiveSpec) -> Finding {
    if let Some(creates) = &spec.creates {
        match machine.files.look(creates) {
            Ok(Some(_)) => return Finding::Right,
            Ok(None) => return Finding::Differs(format!("{creates} is missing")),
            Err(error) => return Finding::Unknown(error.to_string()),
        }
    }
    let entry = match machine.files.look(&spec.path) {
        Ok(Some(entry)) => entry,
        Ok(None) => return Finding::Differs("missing".to_owned()),
        Err(error) => return Finding::Differs(error.to_string()),
    };
    if entry.kind != EntryKind::Directory {
        return Finding::Differs(format!("{}, not a directory", entry.kind.as_str()));
    }
    let mut diff = match access(spec).diff(machine, &entry) {
        Ok(diff) => diff,
        Err(error) => return Finding::Differs(error.to_string()),
    };
    match marked(machine, &spec.path) {
        Some(found) if found == mark(spec).as_bytes() => {}
        Some(_) => diff.push("unpacked from another archive, or otherwise".to_owned()),
        None => diff.push("not unpacked".to_owned()),
    }
    if diff.is_empty() {
        access(spec)
            .unverified(machine)
            .map_or(Finding::Right, Finding::Unverified)
    } else {
        Finding::Differs(diff.join("; "))
    }
}

pub(in crate::resources) fn apply(
    machine: &Machine,
    contents: &dyn Contents,
    spec: &ArchiveSpec,
) -> Result<(), ApplyError> {
    let (uid, gid) = machine.owners(spec.owner.as_deref(), spec.group.as_deref())?;
    if let Some(creates) = &spec.creates {
        if machine.files.look(creates)?.is_some() {
            return Ok(());
        }
        judge_place(machine, spec, creates)?;
    }
    let found = marked(machine, &spec.path);
    let is_unpacked = found.as_deref() == Some(mark(spec).as_bytes());
    if is_unpacked && spec.creates.is_none() {
        let kind = EntryKind::Directory;
        let set = machine
            .files
            .set_access(&spec.path, kind, spec.mode, uid, gid);
        return Ok(set?);
    }
    let wanted = Wanted {
        mode: spec.mode,
        uid,
        gid,
    };
    let beside = machine.files.unpack_beside(&spec.path, wanted)?;
    let reader = Reader::new(contents, &spec.artifact);
    let lost = reader.lost();
    let done = unpack::unpack(reader, spec, &beside);
    if let Some(error) = lost.take() {
        return Err(error.into());
    }
    let refused = |error: &dyn std::fmt::Display| {
        let sha256 = &spec.artifact.sha256;
        ApplyError::Refused(format!("archive {sha256} is not unpacked: {error}"))
    };
    done.map_err(|error| refused(&error))?;
    let mark = mark(spec);
    beside
        .file(&[MARKER.to_owned()], 0o600, &mut mark.as_bytes())
        .map_err(|error| refused(&error))?;
    if let Some(creates) = &spec.creates {
        judge_tree(spec, creates, &beside)?;
        return Ok(beside.swap_in_new()?);
    }
    // Only what was unpacked here before may go; anything else is moved aside.
    Ok(beside.swap_in(found.is_some())?)
}

/// Whether a tree that is unpacked once may come to its place. What stands there may be what an
/// application keeps, so that it is not even moved aside.
fn judge_place(
    machine: &Machine,
    spec: &ArchiveSpec,
    creates: &HostPath,
) -> Result<(), ApplyError> {
    let path = &spec.path;
    match machine.files.look(path)? {
        None => return Ok(()),
        Some(entry)
            if entry.kind == EntryKind::Directory && machine.files.list(path)?.is_empty() =>
        {
            return Ok(());
        }
        Some(_) => {}
    }
    Err(ApplyError::Refused(format!(
        "{path} stands there without {creates}: move it away, or put {creates} back"
    )))
}

/// Entries of a tree that are named.
const NAMED: usize = 5;

/// Whether what was unpacked has what shall be there afterwards: without it, it would be unpacked again
/// and again.
fn judge_tree(
    spec: &ArchiveSpec,
    creates: &HostPath,
    beside: &Unpacked<'_>,
) -> Result<(), ApplyError> {
    if beside.holds(creates)? {
        return Ok(());
    }
    // But for the marker.
    let names = beside.names()?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| *name != MARKER).collect();
    let named = match names.len() {
        0 => "nothing".to_owned(),
        all if all > NAMED => format!("{} and {} more", names[..NAMED].join(", "), all - NAMED),
        _ => names.join(", "),
    };
    Err(ApplyError::Refused(format!(
        "archive {} is not unpacked: with `strip = {}` it brings {named} to {}, and not {creates}",
        spec.artifact.sha256, spec.strip, spec.path
    )))
}

pub(in crate::resources) fn remove(machine: &Machine, path: &HostPath) -> Result<(), ApplyError> {
    if marked(machine, path).is_none() {
        if machine.files.look(path)?.is_some() {
            tracing::warn!(%path, "what stands there was not unpacked by us: left alone");
        }
        return Ok(());
    }
    Ok(machine.files.remove_unpacked(path)?)
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::desired::ArchiveForm;

    use super::super::reader::tests::Pieces;
    use super::super::unpack::samples;
    use super::*;
    use crate::host::{Cabinet, Root};

    fn sandbox(dir: &std::path::Path) -> Machine {
        let cabinet = Cabinet::open(&dir.join("agent")).unwrap();
        Machine::open(&Root::Sandbox(dir.join("root")), cabinet).unwrap()
    }

    fn spec(bytes: &[u8]) -> (Pieces, ArchiveSpec) {
        let (pieces, artifact) = Pieces::of(bytes);
        let spec = ArchiveSpec {
            path: HostPath::new("/srv/app").unwrap(),
            artifact,
            form: ArchiveForm::TarGz,
            strip: 1,
            mode: 0o755,
            owner: None,
            group: None,
            creates: None,
        };
        (pieces, spec)
    }

    fn read(machine: &Machine, path: &str) -> Option<Vec<u8>> {
        machine.files.read(&HostPath::new(path).unwrap(), 100).ok()
    }

    #[test]
    fn an_archive_is_unpacked_known_replaced_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let machine = sandbox(dir.path());
        let (pieces, one) = spec(&samples::tar_gz(&[("app/a", "one"), ("app/in/b", "b")]));
        assert!(matches!(observe(&machine, &one), Finding::Differs(_)));
        apply(&machine, &pieces, &one).unwrap();
        assert_eq!(observe(&machine, &one), Finding::Right);
        assert_eq!(read(&machine, "/srv/app/a").unwrap(), b"one");
        assert_eq!(read(&machine, "/srv/app/in/b").unwrap(), b"b");
        let (pieces, two) = spec(&samples::tar_gz(&[("app/a", "two")]));
        assert!(matches!(observe(&machine, &two), Finding::Differs(_)));
        apply(&machine, &pieces, &two).unwrap();
        assert_eq!(observe(&machine, &two), Finding::Right);
        assert_eq!(read(&machine, "/srv/app/a").unwrap(), b"two");
        assert!(
            read(&machine, "/srv/app/in/b").is_none(),
            "it is another tree"
        );
        let names = machine.files.list(&HostPath::new("/srv").unwrap()).unwrap();
        assert_eq!(names, ["app"], "nothing is left beside it");
        remove(&machine, &two.path).unwrap();
        assert!(machine.files.look(&two.path).unwrap().is_none());
    }

    #[test]
    fn what_an_application_keeps_in_its_folder_stays_once_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let machine = sandbox(dir.path());
        let (pieces, mut one) = spec(&samples::tar_gz(&[("app/a", "one")]));
        one.creates = Some(HostPath::new("/srv/app/a").unwrap());
        apply(&machine, &pieces, &one).unwrap();
        std::fs::write(dir.path().join("root/srv/app/config"), "theirs").unwrap();
        let (_, mut two) = spec(&samples::tar_gz(&[("app/a", "two")]));
        two.creates.clone_from(&one.creates);
        assert_eq!(observe(&machine, &two), Finding::Right);
        assert_eq!(read(&machine, "/srv/app/config").unwrap(), b"theirs");
    }

    #[test]
    fn an_archive_of_another_depth_is_refused_each_time_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let machine = sandbox(dir.path());
        let srv = HostPath::new("/srv").unwrap();
        let files: Vec<String> = (1..8).map(|at| format!("app/{at}/a{at}")).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|name| (name.as_str(), "x")).collect();
        let (pieces, mut one) = spec(&samples::tar_gz(&files));
        one.creates = Some(HostPath::new("/srv/app/1/a1").unwrap());
        for (strip, words) in [
            (
                0,
                "`strip = 0` it brings app to /srv/app, and not /srv/app/1/a1",
            ),
            (2, "`strip = 2` it brings a1, a2, a3, a4, a5 and 2 more to"),
            (3, "`strip = 3` it brings nothing to"),
        ] {
            one.strip = strip;
            for _ in 0..3 {
                let refused = apply(&machine, &pieces, &one).unwrap_err().to_string();
                assert!(refused.contains(words), "{refused}");
                assert_eq!(machine.files.list(&srv).unwrap(), [""; 0]);
            }
        }
        one.creates = Some(HostPath::new("/srv/app/none").unwrap());
        one.strip = 1;
        let refused = apply(&machine, &pieces, &one).unwrap_err().to_string();
        assert!(
            refused.contains("brings 1, 2, 3, 4, 5 and 2 more"),
            "{refused}"
        );
        one.creates = Some(HostPath::new("/srv/app/1/a1").unwrap());
        std::fs::create_dir_all(dir.path().join("root/srv/app")).unwrap();
        apply(&machine, &pieces, &one).unwrap();
        assert_eq!(observe(&machine, &one), Finding::Right);
        assert_eq!(machine.files.list(&srv).unwrap(), ["app"]);
    }

    #[test]
    fn a_tree_that_lost_what_was_created_stays_where_it_is_whoever_made_it() {
        let dir = tempfile::tempdir().unwrap();
        let machine = sandbox(dir.path());
        let srv = HostPath::new("/srv").unwrap();
        let (pieces, mut one) = spec(&samples::tar_gz(&[("app/a", "one"), ("app/b", "b")]));
        one.creates = Some(HostPath::new("/srv/app/a").unwrap());
        apply(&machine, &pieces, &one).unwrap();
        let app = dir.path().join("root/srv/app");
        std::fs::write(app.join("work"), "work").unwrap();
        std::fs::rename(app.join("a"), app.join("away")).unwrap();
        for has_marker in [true, false] {
            assert_eq!(app.join(MARKER).exists(), has_marker);
            let refused = apply(&machine, &pieces, &one).unwrap_err().to_string();
            assert!(
                refused.contains("/srv/app stands there without /srv/app/a: move it away"),
                "{refused}"
            );
            assert_eq!(machine.files.list(&srv).unwrap(), ["app"]);
            assert_eq!(read(&machine, "/srv/app/work").unwrap(), b"work");
            let _ = std::fs::remove_file(app.join(MARKER));
        }
        std::fs::rename(app.join("away"), app.join("a")).unwrap();
        apply(&machine, &pieces, &one).unwrap();
        assert_eq!(observe(&machine, &one), Finding::Right);
    }

    #[test]
    fn a_folder_that_was_not_unpacked_is_neither_removed_nor_lost() {
        let dir = tempfile::tempdir().unwrap();
        let machine = sandbox(dir.path());
        let theirs = dir.path().join("root/srv/app");
        std::fs::create_dir_all(&theirs).unwrap();
        std::fs::write(theirs.join("work"), "work").unwrap();
        let (pieces, one) = spec(&samples::tar_gz(&[("app/a", "one")]));
        remove(&machine, &one.path).unwrap();
        assert!(theirs.join("work").exists());
        apply(&machine, &pieces, &one).unwrap();
        assert!(!theirs.join("work").exists());
        let beside = std::fs::read_dir(dir.path().join("root/srv")).unwrap();
        let mut beside = beside.map(|entry| entry.unwrap().path());
        assert!(beside.any(|one| one.join("work").exists()), "moved aside");
    }

    #[test]
    fn a_hostile_archive_leaves_what_stands_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let machine = sandbox(dir.path());
        let (pieces, good) = spec(&samples::tar_gz(&[("app/a", "one")]));
        apply(&machine, &pieces, &good).unwrap();
        let (pieces, bad) = spec(&samples::tar_gz(&[
            ("app/a", "two"),
            ("app/../../out", "x"),
        ]));
        let refused = apply(&machine, &pieces, &bad).unwrap_err();
        assert!(refused.to_string().contains("app/../../out"), "{refused}");
        assert_eq!(read(&machine, "/srv/app/a").unwrap(), b"one");
        let names = machine.files.list(&HostPath::new("/srv").unwrap()).unwrap();
        assert_eq!(names, ["app"]);
    }
}
