//! What is the agent's own: as paths below its root, and as places of this machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use email_engine_protocol::desired::HostPath;

use crate::config::{Config, DEFAULT_ALLOW_LIST, DEFAULT_DATA_DIR, DEFAULT_FILE};
use crate::host::OwnPlaces;

/// The agent's own files and folders, as it reaches them itself. Whoever changes a file compares with
/// what stands there at that moment, because a state can reach them by names that nobody knows.
#[must_use]
pub fn own_places(config: &Config) -> OwnPlaces {
    let token = config.join_token_file.as_deref();
    let set = [
        Some(config.data_dir.clone()),
        Some(config.file.clone()),
        Some(config.allow_list_file()),
        token
            .filter(|path| *path != Path::new("-"))
            .map(Path::to_owned),
        std::env::current_exe().ok(),
    ];
    let absolute = |path: PathBuf| std::path::absolute(path).ok();
    set.into_iter().flatten().filter_map(absolute).collect()
}

/// The agent's own files and folders, by every name that they are known to have: as they are set,
/// as links resolve, and where they are on any host by default, so that a sandbox refuses what the
/// machine itself would refuse.
#[must_use]
pub(super) fn own_paths(config: &Config) -> BTreeSet<HostPath> {
    let mut own: BTreeSet<HostPath> = [DEFAULT_DATA_DIR, DEFAULT_FILE, DEFAULT_ALLOW_LIST]
        .into_iter()
        .filter_map(|path| HostPath::new(path).ok())
        .collect();
    for path in own_places(config).iter().flat_map(|path| names(path)) {
        match &config.sandbox_root {
            None => own.extend(host_path(&path)),
            Some(root) => own.extend(names(root).iter().filter_map(|root| {
                let below = path.strip_prefix(root).ok()?;
                host_path(&Path::new("/").join(below))
            })),
        }
    }
    own
}

/// A path as it is written, and as it resolves as far as it exists.
fn names(path: &Path) -> Vec<PathBuf> {
    let Ok(absolute) = std::path::absolute(path) else {
        return Vec::new();
    };
    let mut names = vec![absolute.clone()];
    let existing = absolute
        .ancestors()
        .find_map(|above| Some((above, above.canonicalize().ok()?)));
    if let Some((above, resolved)) = existing
        && let Ok(rest) = absolute.strip_prefix(above)
    {
        names.push(resolved.join(rest));
    }
    names
}

fn host_path(path: &Path) -> Option<HostPath> {
    HostPath::new(path.to_str()?.trim_end_matches('/')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> HostPath {
        HostPath::new(text).unwrap()
    }

    #[test]
    fn links_and_defaults_are_names_of_the_agents_own_too() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        std::fs::create_dir(dir.join("really")).unwrap();
        std::os::unix::fs::symlink("really", dir.join("link")).unwrap();
        let mut config = Config {
            data_dir: dir.join("link/data"),
            ..Config::default()
        };
        let own = own_paths(&config);
        let here = |name: &str| path(&format!("{}/{name}", dir.display()));
        assert!(own.contains(&here("link/data")) && own.contains(&here("really/data")));
        assert!(own.contains(&path("/etc/email-engine/allow.toml")));
        config.sandbox_root = Some(dir.clone());
        let own = own_paths(&config);
        assert!(own.contains(&path("/link/data")) && own.contains(&path("/really/data")));
        assert!(own.contains(&path(DEFAULT_DATA_DIR)), "{own:?}");
        assert!(!own.contains(&here("link/data")), "no path leads there");
    }
}
