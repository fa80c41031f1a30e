//! Whether a file brings the rows of somebody's database: those of a fleet begin empty, and what is in a
//! dump (addresses of people, keys, passwords) would lie on every node and in every backup.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

/// How dumps are called, in small letters.
const NAMES: [&str; 8] = [
    ".sql",
    ".sql.bz2",
    ".sql.gz",
    ".sql.xz",
    ".sql.zip",
    ".sql.zst",
    ".dump",
    ".mysqldump",
];
/// How they begin.
const BEGINNINGS: [&[u8]; 5] = [
    b"-- MySQL dump",
    b"-- MariaDB dump",
    b"--\n-- PostgreSQL database",
    b"/*M!999999",
    b"PGDMP",
];
/// How much of statements in an archive is looked at.
const HEAD: u64 = 256 * 1024;
const ZIP: &[u8] = b"PK\x03\x04";
/// Folders of statements that make tables, of this product and of its updates.
const SCHEMAS: [&str; 2] = ["install-sql", "update-sql"];

/// What of a file is a dump: the file itself, or what is in the archive that it is.
pub(super) fn found(file: &mut File, path: &Path) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    file.by_ref().take(32).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if is_dump(&name) || BEGINNINGS.iter().any(|begin| head.starts_with(begin)) {
        return Ok(Some(format!("{name} is a dump of a database")));
    }
    if !head.starts_with(ZIP) {
        return Ok(None);
    }
    let found = within(&mut *file);
    file.seek(SeekFrom::Start(0))?;
    match found {
        Ok(found) => Ok(found.map(|entry| format!("{name} holds {entry:?}"))),
        // Only begins as one: hosts say what is wrong with it, if it was meant to be one.
        Err(ZipError::InvalidArchive(_) | ZipError::UnsupportedArchive(_)) => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}

fn within(file: &mut File) -> Result<Option<String>, ZipError> {
    let mut archive = ZipArchive::new(file)?;
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at)?;
        let name = entry.name()?.into_owned();
        if !brings_rows(&name) {
            continue;
        }
        // Libraries bring statements that make tables of theirs; what has rows is somebody's.
        if name.to_ascii_lowercase().ends_with(".sql") {
            let mut head = Vec::new();
            entry.by_ref().take(HEAD).read_to_end(&mut head)?;
            if !has_rows(&head) {
                continue;
            }
        }
        return Ok(Some(name));
    }
    Ok(None)
}

/// Whether statements begin as a dump does, or put rows into tables.
fn has_rows(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    BEGINNINGS.iter().any(|begin| head.starts_with(begin))
        || text.contains("insert into")
        || text.contains("\ncopy ")
}

/// Whether an entry is a dump, and none of the files that make a product's tables.
fn brings_rows(entry: &str) -> bool {
    let folders = entry.rsplit_once('/').map_or("", |(folders, _)| folders);
    let is_schema = folders.split('/').any(|folder| SCHEMAS.contains(&folder));
    is_dump(entry) && !is_schema
}

fn is_dump(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::write::SimpleFileOptions;

    use super::*;

    fn of(name: &str, bytes: &[u8]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut file = File::open(&path).unwrap();
        let found = found(&mut file, &path).unwrap();
        assert_eq!(
            file.stream_position().unwrap(),
            0,
            "the upload begins there"
        );
        found
    }

    fn zip(entries: &[&str]) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for entry in entries {
            archive
                .start_file(*entry, SimpleFileOptions::default())
                .unwrap();
            let text = match entry.contains("framework") {
                true => "CREATE TABLE auth (name TEXT);",
                false => "INSERT INTO people VALUES (1);",
            };
            archive.write_all(text.as_bytes()).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    #[test]
    fn a_dump_is_known_by_its_name_and_by_how_it_begins() {
        for (name, bytes) in [
            ("backup.sql", &b"x"[..]),
            ("Backup.SQL.gz", b"x"),
            ("backup", b"-- MySQL dump 10.13"),
            ("backup.bin", b"PGDMP\x01"),
            ("backup.txt", b"/*M!999999\\- enable the sandbox mode */"),
        ] {
            assert!(of(name, bytes).is_some(), "{name}");
        }
        for name in ["licence", "mysql-notes.txt", "sql"] {
            assert_eq!(of(name, b"-- a remark"), None, "{name}");
        }
    }

    #[test]
    fn an_archive_may_bring_what_makes_its_tables_and_no_rows() {
        let good = [
            "mailwizz/index.php",
            "mailwizz/apps/common/data/install-sql/schema.sql",
            "mailwizz/apps/common/data/update-sql/2.1.0.sql",
            "mailwizz/apps/common/framework/web/auth/schema-mysql.sql",
        ];
        assert_eq!(of("mailwizz.zip", &zip(&good)), None);
        let bad = [&good[..], &["mailwizz/backup/site.sql.gz"]].concat();
        let said = of("mailwizz.zip", &zip(&bad)).unwrap();
        assert!(said.contains("mailwizz/backup/site.sql.gz"), "{said}");
        assert!(of("a.zip", &zip(&["install-sql.sql"])).is_some());
        assert_eq!(of("broken.zip", b"PK\x03\x04 and then nothing"), None);
    }
}
