//! Which cluster is meant, how its nodes are reached, and by which key: one private TOML file.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::ClusterId;

use crate::private_file::{self, PrivateFileError};

/// Names the context file when `--context` does not.
pub(crate) const VARIABLE: &str = "EMAIL_ENGINE_CONTEXT";

/// A cluster as an operator sees it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// The cluster; certificates of another are refused by name.
    pub(crate) cluster: ClusterId,
    /// The API key.
    pub(crate) api_key: String,
    /// File with the cluster's CA, relative to this one; instead of `ca_pem`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The cluster's CA, the only one that is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_pem: Option<String>,
    /// Its nodes.
    pub(crate) endpoints: Vec<ContextEndpoint>,
}

/// One node's API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContextEndpoint {
    /// Such as `https://node-1.CLUSTER.internal:7443`.
    pub(crate) url: String,
    /// Where to connect to, when the name in the URL is in no DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<SocketAddr>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("cluster", &self.cluster)
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

/// Why there is no context.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    /// The file does not exist.
    #[error(
        "no context: {} does not exist; it says which cluster is meant and by which key. \
         Name one by --context FILE or {VARIABLE}, or start a cluster to play with: \
         email-engine trial",
        path.display()
    )]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Nothing says where it is.
    #[error("no context: name one by --context FILE or {VARIABLE} (neither is set, nor is HOME)")]
    Unnamed,
    /// It could not be read.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// It is not of the right form. The line itself is not shown: it may hold the key.
    #[error("{}:{line}: {message}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Line number.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// It lacks something.
    #[error("{}: {message}", path.display())]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// What is missing.
        message: &'static str,
    },
}

impl Context {
    /// The file that the arguments and the environment name.
    pub(crate) fn path(argument: Option<&Path>) -> Result<PathBuf, ContextError> {
        location(argument, |name| std::env::var_os(name))
    }

    /// Name of the key, which is no secret: `eek1.NAME.SECRET`.
    pub(crate) fn key_name(&self) -> &str {
        self.api_key.split('.').nth(1).unwrap_or_default()
    }

    /// Reads one file.
    pub(crate) fn read(path: &Path) -> Result<Self, ContextError> {
        let text = private_file::read(path).map_err(|error| match error {
            PrivateFileError::Io { source, path, .. }
                if source.kind() == io::ErrorKind::NotFound =>
            {
                ContextError::Absent { path }
            }
            other => ContextError::File(other),
        })?;
        let mut context: Self = toml::from_str(&text).map_err(|error| ContextError::Form {
            path: path.to_owned(),
            line: line_of(&text, error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        let incomplete = |message| ContextError::Incomplete {
            path: path.to_owned(),
            message,
        };
        if context.endpoints.is_empty() {
            return Err(incomplete("endpoints: at least one is needed"));
        }
        match (&context.ca_pem, context.ca_file.take()) {
            (Some(_), None) => {}
            (None, Some(file)) => context.ca_pem = Some(read_ca(path, &file)?),
            (Some(_), Some(_)) => {
                return Err(incomplete("ca_pem and ca_file: only one may be given"));
            }
            (None, None) => {
                return Err(incomplete(
                    "ca_pem: the cluster's CA is needed (or ca_file, the path of a PEM file)",
                ));
            }
        }
        Ok(context)
    }

    /// Writes it for its owner only.
    pub(crate) fn write(&self, path: &Path) -> Result<(), PrivateFileError> {
        let text = toml::to_string(self).expect("a context holds nothing that TOML cannot write");
        let text = zeroize::Zeroizing::new(text);
        private_file::write(path, text.as_bytes())
    }
}

/// `--context`, else the environment, else the user's configuration folder.
fn location(
    argument: Option<&Path>,
    variable: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Result<PathBuf, ContextError> {
    if let Some(path) = argument {
        return Ok(path.to_owned());
    }
    let set = |name| variable(name).filter(|value| !value.is_empty());
    if let Some(path) = set(VARIABLE) {
        return Ok(path.into());
    }
    set("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".config")))
        .map(|folder| folder.join("email-engine/context.toml"))
        .ok_or(ContextError::Unnamed)
}

/// A CA is public: its file may be readable for all.
fn read_ca(context: &Path, file: &Path) -> Result<String, ContextError> {
    let path = context.parent().unwrap_or_else(|| Path::new("")).join(file);
    std::fs::read_to_string(&path).map_err(|source| {
        ContextError::File(PrivateFileError::Io {
            action: "read",
            path,
            source,
        })
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn example() -> Context {
        Context {
            cluster: ClusterId([7; 16]),
            api_key: "eekey1.admin.hunter2".to_owned(),
            ca_file: None,
            ca_pem: Some("-----BEGIN CERTIFICATE-----\n".to_owned()),
            endpoints: vec![ContextEndpoint {
                url: "https://node-1.example.internal:7443".to_owned(),
                address: Some("192.0.2.1:7443".parse().unwrap()),
            }],
        }
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("context.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_context_round_trips_and_never_prints_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("context.toml");
        example().write(&path).unwrap();
        assert_eq!(Context::read(&path).unwrap(), example());
        assert!(!format!("{:?}", example()).contains("hunter2"));
    }

    #[test]
    fn a_fault_is_named_by_line_without_showing_the_key() {
        let (_folder, path) = file("api_key = \"hunter2\"\napi_kei = \"hunter2\"\n");
        let error = Context::read(&path).unwrap_err().to_string();
        assert!(error.contains("context.toml:2: unknown field"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_context_that_others_can_read_is_refused() {
        let (_folder, path) = file("");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let error = Context::read(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn the_ca_may_stand_in_a_file_beside() {
        let text = toml::to_string(&Context {
            ca_file: Some("ca.pem".into()),
            ca_pem: None,
            ..example()
        })
        .unwrap();
        let (folder, path) = file(&text);
        fs::write(folder.path().join("ca.pem"), "PEM").unwrap();
        let context = Context::read(&path).unwrap();
        assert_eq!(context.ca_pem.as_deref(), Some("PEM"));
    }

    #[test]
    fn argument_comes_before_environment_before_home() {
        let environment = |name: &str| match name {
            VARIABLE => Some("env.toml".into()),
            "HOME" => Some("/somewhere".into()),
            _ => None,
        };
        let argument = Path::new("arg.toml");
        assert_eq!(location(Some(argument), environment).unwrap(), argument);
        let found = location(None, environment).unwrap();
        assert_eq!(found, Path::new("env.toml"));
        let home = |name: &str| (name == "HOME").then(|| "/somewhere".into());
        assert_eq!(
            location(None, home).unwrap(),
            Path::new("/somewhere/.config/email-engine/context.toml")
        );
        assert!(location(None, |_| None).is_err());
    }

    #[test]
    fn an_absent_context_says_where_it_was_looked_for_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none.toml");
        let error = Context::read(&path).unwrap_err().to_string();
        assert!(error.contains("none.toml does not exist"), "{error}");
        assert!(error.contains("email-engine trial"), "{error}");
    }
}
