//! Archives for tests, good and bad.

use std::io::{Cursor, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// An entry of a tar archive, with a name as it stands, checked by nobody.
pub(in crate::resources::artifact) fn entry(
    tar: &mut Builder<Vec<u8>>,
    kind: EntryType,
    name: &str,
    target: &str,
    bytes: &[u8],
) {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o6777);
    header.set_size(bytes.len() as u64);
    let fields = header.as_ustar_mut().unwrap();
    fields.name[..name.len()].copy_from_slice(name.as_bytes());
    fields.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    tar.append(&header, bytes).unwrap();
}

pub(in crate::resources::artifact) fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// Files by name.
pub(in crate::resources::artifact) fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, text) in files {
        entry(&mut tar, EntryType::Regular, name, "", text.as_bytes());
    }
    tar.into_inner().unwrap()
}

pub(in crate::resources::artifact) fn tar_gz(files: &[(&str, &str)]) -> Vec<u8> {
    gzipped(&tar(files))
}

pub(in crate::resources::artifact) fn zip(files: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        let options = SimpleFileOptions::default().unix_permissions(0o755);
        zip.start_file(*name, options).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A zip archive with one link.
pub(in crate::resources::artifact) fn zip_link(name: &str, target: &str) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    zip.add_symlink(name, target, options).unwrap();
    zip.finish().unwrap().into_inner()
}
