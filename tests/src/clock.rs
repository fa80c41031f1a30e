//! The clock of a process's machine, which can be set while the process runs. Its pace, by which pauses and
//! deadlines are measured, is the machine's own, as it is when somebody sets a clock.

use std::fs;
use std::path::{Path, PathBuf};

/// What a process shows that nobody set.
const RIGHT: &str = "+0";

/// A clock of its own, by libfaketime.
#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// One that is right; nothing where the library is not installed.
    #[must_use]
    pub fn new(folder: &Path) -> Option<Self> {
        let folders = fs::read_dir("/usr/lib").unwrap();
        let folders = folders.map(|entry| entry.unwrap().path());
        let mut places = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
        let Some(library) = places.find(|path| path.exists()) else {
            // There a scenario that nobody runs would not be noticed.
            let on_forge = std::env::var("CI").is_ok_and(|value| value == "true");
            assert!(
                !on_forge,
                "libfaketime (package libfaketime) is not installed"
            );
            eprintln!("SKIPPED: libfaketime is not installed: nobody was shown a wrong time");
            return None;
        };
        let file = folder.join("clock");
        let clock = Self { file, library };
        clock.set_right();
        Some(clock)
    }

    /// Shows another time from now on: the right one moved by so much, such as `-400d` or `+3600`.
    pub fn show(&self, shift: &str) {
        // Whole at once: it is read at every look at the time.
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, format!("{shift}\n")).unwrap();
        fs::rename(fresh, &self.file).unwrap();
    }

    /// Shows the right time from now on.
    pub fn set_right(&self) {
        self.show(RIGHT);
    }

    /// What the environment of a process has to have that goes by it.
    pub fn environment(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("LD_PRELOAD", self.library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ]
        .into_iter()
    }
}
