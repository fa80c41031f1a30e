//! One file for a message, and one beside it for what has become of its recipients.
//!
//! The first is synced before the sender hears `250`; the second is only renamed into place, for to
//! lose it means to deliver once more, never to lose.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{Envelope, Recipient};

/// A spool directory.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
}

/// Why a message is not on disk.
#[derive(Debug, Error)]
pub(crate) enum SpoolError {
    #[error("spool {}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("spool {}: not a message: {source}", .path.display())]
    Damaged {
        path: PathBuf,
        source: serde_json::Error,
    },
}

impl SpoolError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    fn damaged(path: &Path) -> impl FnOnce(serde_json::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Damaged { path, source }
    }
}

impl Store {
    pub(crate) fn open(folder: &Path) -> Result<Self, SpoolError> {
        fs::create_dir_all(folder).map_err(SpoolError::at(folder))?;
        Ok(Self {
            folder: folder.to_path_buf(),
        })
    }

    fn mail(&self, id: u64) -> PathBuf {
        self.folder.join(format!("{id:016x}.mail"))
    }

    fn state(&self, id: u64) -> PathBuf {
        self.folder.join(format!("{id:016x}.state"))
    }

    /// Returns once the message would survive a power cut.
    pub(crate) fn accept(&self, envelope: &Envelope, body: &[u8]) -> Result<(), SpoolError> {
        let path = self.mail(envelope.id);
        let mut bytes = serde_json::to_vec(envelope).map_err(SpoolError::damaged(&path))?;
        bytes.push(b'\n');
        bytes.extend_from_slice(body);
        let draft = path.with_extension("draft");
        let written = || -> io::Result<()> {
            let mut file = File::create(&draft)?;
            file.write_all(&bytes)?;
            file.sync_data()?;
            fs::rename(&draft, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        written().map_err(SpoolError::at(&path))
    }

    /// Notes what has become of the recipients; the message goes when all are done.
    pub(crate) fn note(&self, id: u64, recipients: &[Recipient]) -> Result<(), SpoolError> {
        if recipients.iter().all(|recipient| recipient.done) {
            return self.remove(id);
        }
        let path = self.state(id);
        let bytes = serde_json::to_vec(recipients).map_err(SpoolError::damaged(&path))?;
        let draft = path.with_extension("draft");
        fs::write(&draft, bytes)
            .and_then(|()| fs::rename(&draft, &path))
            .map_err(SpoolError::at(&path))
    }

    fn remove(&self, id: u64) -> Result<(), SpoolError> {
        let path = self.mail(id);
        fs::remove_file(&path).map_err(SpoolError::at(&path))?;
        // Alone it means nothing, and the next start sweeps it away.
        drop(fs::remove_file(self.state(id)));
        Ok(())
    }

    /// The text of a message.
    pub(crate) fn body(&self, id: u64) -> Result<Vec<u8>, SpoolError> {
        let path = self.mail(id);
        let mut bytes = fs::read(&path).map_err(SpoolError::at(&path))?;
        let head = bytes
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        Ok(bytes.split_off(head))
    }

    /// Everything that was accepted and is not done; what was being written is swept away.
    pub(crate) fn load(&self) -> Result<Vec<Envelope>, SpoolError> {
        let mut all = Vec::new();
        let entries = fs::read_dir(&self.folder).map_err(SpoolError::at(&self.folder))?;
        for entry in entries {
            let path = entry.map_err(SpoolError::at(&self.folder))?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("mail") => all.push(self.load_one(&path)?),
                Some("draft") => drop(fs::remove_file(&path)),
                Some("state") if !path.with_extension("mail").exists() => {
                    drop(fs::remove_file(&path));
                }
                _ => {}
            }
        }
        all.sort_by_key(|envelope| envelope.id);
        Ok(all)
    }

    fn load_one(&self, path: &Path) -> Result<Envelope, SpoolError> {
        let bytes = fs::read(path).map_err(SpoolError::at(path))?;
        let head = bytes
            .split(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default();
        let mut envelope: Envelope =
            serde_json::from_slice(head).map_err(SpoolError::damaged(path))?;
        if let Ok(state) = fs::read(self.state(envelope.id)) {
            let recipients: Vec<Recipient> =
                serde_json::from_slice(&state).map_err(SpoolError::damaged(path))?;
            if recipients.len() == envelope.recipients.len() {
                envelope.recipients = recipients;
            }
        }
        Ok(envelope)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn envelope(id: u64) -> Envelope {
        let recipient = |address: &str| Recipient {
            address: address.to_owned(),
            orcpt: String::new(),
            never_notify: false,
            queue: "b.example".to_owned(),
            attempts: 0,
            done: false,
        };
        Envelope {
            id,
            orig: "a@a.example".to_owned(),
            env_id: String::new(),
            job_id: String::new(),
            vmta: "v".to_owned(),
            pool: String::new(),
            size: 5,
            queued_at: 1,
            src_mta: String::new(),
            user: String::new(),
            suppress_dsn: true,
            recipients: vec![recipient("x@b.example"), recipient("y@b.example")],
        }
    }

    #[test]
    fn what_was_accepted_is_found_again_with_what_was_noted() {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut mail = envelope(7);
        store.accept(&mail, b"line\n\nbody\n").unwrap();
        mail.recipients[0].done = true;
        store.note(7, &mail.recipients).unwrap();
        fs::write(folder.path().join("x.draft"), "torn").unwrap();

        let again = Store::open(folder.path()).unwrap();
        let found = again.load().unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].recipients[0].done && !found[0].recipients[1].done);
        assert_eq!(again.body(7).unwrap(), b"line\n\nbody\n");
        assert!(!folder.path().join("x.draft").exists());

        mail.recipients[1].done = true;
        again.note(7, &mail.recipients).unwrap();
        assert_eq!(again.load().unwrap().len(), 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
