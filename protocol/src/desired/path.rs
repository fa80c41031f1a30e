//! Absolute paths on a managed host.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An absolute, normalised path on a managed host: no `.`, `..`, empty or NUL-bearing component.
///
/// It says where below the host's root something is; the agent resolves it, so that a sandbox stays
/// a sandbox even through symlinks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPath(String);

/// A text that is not such a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "path {got:?} is not valid: absolute, at most 1024 bytes, without '.', '..' or empty components"
)]
pub struct PathError {
    /// The refused text, cut to 120 characters.
    pub got: String,
}

impl HostPath {
    /// Checks and takes the path.
    ///
    /// # Errors
    /// When it is not absolute and normalised.
    pub fn new(text: impl Into<String>) -> Result<Self, PathError> {
        let text = text.into();
        let good = text.len() <= 1024
            && text.len() > 1
            && text.strip_prefix('/').is_some_and(|rest| {
                rest.split('/').all(|part| {
                    !part.is_empty()
                        && part != "."
                        && part != ".."
                        && part.len() <= 255
                        && !part.bytes().any(|b| b == 0 || b == b'\n')
                })
            });
        if good {
            Ok(Self(text))
        } else {
            Err(PathError {
                got: text.chars().take(120).collect(),
            })
        }
    }

    /// The path as text, beginning with `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder that holds it; none for an entry of the root folder.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        match self.0.rfind('/') {
            None | Some(0) => None,
            Some(at) => Some(Self(self.0[..at].to_owned())),
        }
    }

    /// The last component.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Whether `self` is `folder` or lies below it.
    #[must_use]
    pub fn is_within(&self, folder: &Self) -> bool {
        self.0
            .strip_prefix(&folder.0)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for HostPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HostPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_normalised_paths_are_paths() {
        for good in ["/etc/pmta/config", "/a", "/a b/c"] {
            assert!(HostPath::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "etc",
            "/etc/",
            "/etc//x",
            "/etc/../x",
            "/./x",
            "/a\0b",
            "/a\nb",
        ] {
            assert!(HostPath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn within_means_a_whole_component() {
        let etc = HostPath::new("/etc/pmta").unwrap();
        assert!(HostPath::new("/etc/pmta/config").unwrap().is_within(&etc));
        assert!(etc.is_within(&etc));
        assert!(!HostPath::new("/etc/pmta2").unwrap().is_within(&etc));
        assert_eq!(etc.parent().unwrap().as_str(), "/etc");
        assert_eq!(HostPath::new("/etc").unwrap().parent(), None);
        assert_eq!(etc.file_name(), "pmta");
    }
}
