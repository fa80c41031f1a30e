//! The private file of a node's own channels.

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use zeroize::Zeroizing;

use email_engine_protocol::api::{ChannelSecret, ChannelSpec};
use email_engine_protocol::id::ChannelName;

/// Largest file that is read, in bytes.
const BYTES: u64 = 64 * 1024;
/// Most channels.
const CHANNELS: usize = 8;

/// Channels of this node's own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlarmFile {
    /// Each gets every alarm.
    #[serde(default)]
    pub channels: Vec<LocalChannel>,
}

/// One of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalChannel {
    /// Its name, for logs and letters.
    pub name: ChannelName,
    /// Where alarms go.
    pub spec: ChannelSpec,
    /// Its secret.
    #[serde(default)]
    pub secret: Option<LocalSecret>,
}

/// A secret as it stands in the file. It never prints.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct LocalSecret(pub(super) Arc<Zeroizing<Vec<u8>>>);

impl TryFrom<String> for LocalSecret {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let secret = ChannelSecret(text);
        if !secret.is_good() {
            return Err(ChannelSecret::RULE);
        }
        Ok(Self(Arc::new(Zeroizing::new(secret.0.as_bytes().to_vec()))))
    }
}

impl fmt::Debug for LocalSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalSecret(redacted)")
    }
}

/// Why there are no channels.
#[derive(Debug, thiserror::Error)]
pub enum AlarmFileError {
    /// It cannot be read.
    #[error("{path} cannot be read: {source}", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others can read it.
    #[error("{path} holds secrets and others may read it: its mode is {mode:o}, 600 is accepted", path = path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is not what it should be. What stands in it is not told: it may be a secret.
    #[error("{path}: {what}", path = path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl AlarmFile {
    /// Reads it.
    ///
    /// # Errors
    /// When it is not private or not a list of channels.
    pub fn read(path: &Path) -> Result<Self, AlarmFileError> {
        let path = || path.to_owned();
        let unreadable = |source| AlarmFileError::Read {
            path: path(),
            source,
        };
        let file = std::fs::File::open(path()).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let path = path();
            return Err(AlarmFileError::Open { path, mode });
        }
        let mut text = Zeroizing::new(String::new());
        let read = file.take(BYTES + 1).read_to_string(&mut text);
        read.map_err(unreadable)?;
        let syntax = |what: String| AlarmFileError::Syntax { path: path(), what };
        if text.len() as u64 > BYTES {
            return Err(syntax(format!("it is longer than {BYTES} bytes")));
        }
        let parsed: Self = toml::from_str(&text).map_err(|error| {
            let before = error.span().map(|span| &text[..span.start.min(text.len())]);
            let line = before.map_or(0, |before| before.lines().count().max(1));
            syntax(format!("near line {line}: {}", error.message()))
        })?;
        if parsed.channels.is_empty() || parsed.channels.len() > CHANNELS {
            return Err(syntax(format!("1 to {CHANNELS} [[channels]] are accepted")));
        }
        for channel in &parsed.channels {
            let needs = matches!(
                channel.spec,
                ChannelSpec::Telegram(_) | ChannelSpec::Webhook(_)
            );
            if needs && channel.secret.is_none() {
                return Err(syntax(format!("channel {} has no secret", channel.name)));
            }
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const GOOD: &str = "[[channels]]\nname = \"ops\"\nsecret = \"110201543:secretsecret\"\n\
                        spec.telegram = { chat = \"-1001\" }\n";

    fn written(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alarm.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_private_file_names_channels_and_never_prints_their_secrets() {
        let (_folder, path) = written(GOOD, 0o600);
        let file = AlarmFile::read(&path).unwrap();
        assert_eq!(file.channels[0].name.as_str(), "ops");
        assert!(!format!("{file:?}").contains("secretsecret"));
    }

    #[test]
    fn what_is_open_or_wrong_is_refused_without_a_word_of_it() {
        let (_folder, path) = written(GOOD, 0o640);
        let error = AlarmFile::read(&path).unwrap_err().to_string();
        assert!(
            error.contains("its mode is 640, 600 is accepted"),
            "{error}"
        );
        for (text, says) in [
            ("", "[[channels]]"),
            (
                &GOOD.replace("secret = \"110201543:secretsecret\"\n", ""),
                "no secret",
            ),
            (&GOOD.replace("name", "nome"), "near line"),
            (
                &GOOD.replace("secretsecret", "secret secret"),
                "visible ASCII",
            ),
        ] {
            let (_folder, path) = written(text, 0o600);
            let error = AlarmFile::read(&path).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("110201543"), "{error}");
        }
        let gone = AlarmFile::read(Path::new("/nonexistent/alarm.toml"));
        assert!(matches!(gone, Err(AlarmFileError::Read { .. })));
    }
}
