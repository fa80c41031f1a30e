//! Archives, unpacked into a folder of a test.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use email_engine_protocol::desired::{ArchiveForm, ArchiveSpec, HostPath};
use proptest::prelude::*;
use tar::{Builder, EntryType};

use super::super::reader::Reader;
use super::super::reader::tests::Pieces;
use super::*;
use crate::host::{Rooted, Wanted};

/// Unpacks into `DIR/app`, which is there only when all went well.
fn unpacked(dir: &Path, form: ArchiveForm, strip: u8, bytes: &[u8]) -> Result<(), UnpackError> {
    let (pieces, artifact) = Pieces::of(bytes);
    let spec = ArchiveSpec {
        path: HostPath::new("/app").unwrap(),
        artifact,
        form,
        strip,
        mode: 0o750,
        owner: None,
        group: None,
        creates: None,
    };
    let tree = Rooted::open(dir).unwrap();
    let wanted = Wanted {
        mode: 0o750,
        uid: None,
        gid: None,
    };
    let into = tree.unpack_beside(&spec.path, wanted).unwrap();
    unpack(Reader::new(&pieces, &spec.artifact), &spec, &into)?;
    into.swap_in(false).unwrap();
    Ok(())
}

#[track_caller]
fn refuses(form: ArchiveForm, bytes: &[u8], words: &str) {
    let dir = tempfile::tempdir().unwrap();
    let error = unpacked(dir.path(), form, 0, bytes)
        .unwrap_err()
        .to_string();
    assert!(error.contains(words), "{error}");
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing is left"
    );
}

fn tar_of(kind: EntryType, name: &str, target: &str) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    samples::entry(&mut tar, kind, name, target, b"");
    samples::gzipped(&tar.into_inner().unwrap())
}

#[test]
fn both_kinds_unpack_alike_and_modes_are_ours() {
    let files = [
        ("top/bin/run", "#!"),
        ("top/a", "text"),
        ("other", "left out"),
    ];
    let archives = [
        (ArchiveForm::TarGz, samples::tar_gz(&files)),
        (ArchiveForm::Zip, samples::zip(&files)),
    ];
    for (form, bytes) in archives {
        let dir = tempfile::tempdir().unwrap();
        unpacked(dir.path(), form, 1, &bytes).unwrap();
        let app = dir.path().join("app");
        assert_eq!(std::fs::read(app.join("a")).unwrap(), b"text");
        assert!(!app.join("other").exists());
        for (name, mode) in [(".", 0o750), ("bin", 0o750), ("bin/run", 0o750)] {
            let found = std::fs::metadata(app.join(name)).unwrap().permissions();
            assert_eq!(found.mode() & 0o7777, mode, "{name}");
        }
    }
}

/// Made with `zstd`: a tar of one file `a` with the text `zst`.
#[test]
fn a_zstandard_archive_unpacks() {
    let dir = tempfile::tempdir().unwrap();
    let tar = samples::tar(&[("a", "zst")]);
    let packed =
        ruzstd::encoding::compress_to_vec(&tar[..], ruzstd::encoding::CompressionLevel::Fastest);
    unpacked(dir.path(), ArchiveForm::TarZst, 0, &packed).unwrap();
    assert_eq!(std::fs::read(dir.path().join("app/a")).unwrap(), b"zst");
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in ["../out", "/etc/passwd", "a/../../out"] {
        refuses(
            ArchiveForm::TarGz,
            &samples::tar_gz(&[(name, "x")]),
            "no name that is taken",
        );
        refuses(
            ArchiveForm::Zip,
            &samples::zip(&[(name, "x")]),
            "no name that is taken",
        );
    }
}

#[test]
fn links_that_lead_out_are_refused_and_others_are_not() {
    for target in ["/etc/passwd", "../out", "a/../../out", ""] {
        let bytes = tar_of(EntryType::Symlink, "link", target);
        refuses(ArchiveForm::TarGz, &bytes, "no name that is taken");
    }
    refuses(
        ArchiveForm::Zip,
        &samples::zip_link("link", "../out"),
        "leads out",
    );
    let dir = tempfile::tempdir().unwrap();
    let bytes = tar_of(EntryType::Symlink, "in/link", "../there");
    unpacked(dir.path(), ArchiveForm::TarGz, 0, &bytes).unwrap();
    let target = std::fs::read_link(dir.path().join("app/in/link")).unwrap();
    assert_eq!(target, Path::new("../there"));
}

#[test]
fn nothing_is_written_through_a_link() {
    let outside = tempfile::tempdir().unwrap();
    let mut tar = Builder::new(Vec::new());
    samples::entry(&mut tar, EntryType::Directory, "real", "", b"");
    samples::entry(&mut tar, EntryType::Symlink, "way", "real", b"");
    samples::entry(&mut tar, EntryType::Regular, "way/file", "", b"x");
    let bytes = samples::gzipped(&tar.into_inner().unwrap());
    refuses(ArchiveForm::TarGz, &bytes, "cannot be made");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn what_is_no_file_folder_or_link_is_refused() {
    for (kind, word) in [
        (EntryType::Char, "device"),
        (EntryType::Block, "device"),
        (EntryType::Fifo, "pipe"),
        (EntryType::Link, "hard link"),
        (EntryType::GNUSparse, "sparse"),
    ] {
        refuses(ArchiveForm::TarGz, &tar_of(kind, "thing", "a"), word);
    }
}

#[test]
fn the_same_name_twice_is_refused() {
    let twice = samples::tar_gz(&[("a", "one"), ("a", "two")]);
    refuses(ArchiveForm::TarGz, &twice, "cannot be made");
}

#[test]
fn a_bomb_is_cut_off() {
    let zeros = "\0".repeat(70 << 20);
    let bytes = samples::tar_gz(&[("zeros", &zeros)]);
    assert!(bytes.len() < 1 << 20, "it is small");
    refuses(ArchiveForm::TarGz, &bytes, "67108864 bytes");
    let parts: Vec<String> = (0..8).map(|at| format!("part{at}")).collect();
    let part = "\0".repeat(9 << 20);
    let parts: Vec<_> = parts
        .iter()
        .map(|name| (name.as_str(), part.as_str()))
        .collect();
    refuses(ArchiveForm::Zip, &samples::zip(&parts), "67108864 bytes");
}

#[test]
fn a_long_header_is_cut_off() {
    let mut tar = Builder::new(Vec::new());
    let name = vec![b'a'; 70_000];
    samples::entry(&mut tar, EntryType::GNULongName, "long", "", &name);
    let bytes = samples::gzipped(&tar.into_inner().unwrap());
    refuses(ArchiveForm::TarGz, &bytes, "65536 bytes of one header");
}

#[test]
fn what_is_cut_off_or_no_archive_is_refused() {
    let good = samples::tar_gz(&[("a", &"text".repeat(1000)), ("b", "b")]);
    for cut in [1, 10, good.len() / 2, good.len() - 9] {
        let dir = tempfile::tempdir().unwrap();
        let done = unpacked(dir.path(), ArchiveForm::TarGz, 0, &good[..cut]);
        assert!(done.is_err(), "cut at {cut}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
    for form in [ArchiveForm::TarGz, ArchiveForm::TarZst, ArchiveForm::Zip] {
        refuses(
            form,
            b"no archive at all, whatever it is called",
            "cannot be read",
        );
    }
}

fn damaged(bytes: &[u8], hits: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let length = bytes.len();
    for (at, with) in hits {
        bytes[at % length] ^= with;
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_comes_nothing_is_made_beside_the_folder(
        hits in prop::collection::vec((any::<usize>(), any::<u8>()), 1..12),
        kind in 0..2_u8,
    ) {
        let files = [("top/a", "text"), ("top/in/b", "b"), ("c", "c")];
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let done = if kind == 0 {
            let bytes = samples::gzipped(&damaged(&samples::tar(&files), &hits));
            unpacked(&root, ArchiveForm::TarGz, 0, &bytes)
        } else {
            unpacked(&root, ArchiveForm::Zip, 0, &damaged(&samples::zip(&files), &hits))
        };
        let names: Vec<_> = std::fs::read_dir(&root).unwrap().map(|one| one.unwrap().file_name()).collect();
        prop_assert_eq!(names.len(), usize::from(done.is_ok()));
        prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
