//! `put-bundle`.

use std::sync::Arc;

use email_engine_protocol::bytes::ContentHash;

use super::release::{collect, establish_default};
use crate::command::RejectionCode::{Invalid, Limit};
use crate::command::refuse::{at_most, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{PutBundle, Rejection};
use crate::state::{FleetState, RoleBundle, layer_fault};

/// Most files of a bundle.
const FILES: usize = 1_000;
/// Largest bundle, in bytes of its texts and paths.
const BYTES: usize = 4 * 1024 * 1024;
/// Most bundles that are stored at once.
const BUNDLES: usize = 100;

impl PutBundle {
    /// The bundle's hash: that of the postcard bytes of its files.
    ///
    /// # Panics
    /// Never: texts serialise.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        ContentHash::of(&postcard::to_stdvec(&self.files).expect("texts serialise"))
    }
}

impl Verb for PutBundle {
    fn name(&self) -> &'static str {
        "put-bundle"
    }

    fn object(&self) -> String {
        format!("bundle {}", self.hash())
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        self.is_well_formed()?;
        let hash = self.hash();
        if state.bundles.contains_key(&hash) {
            return Ok(Change::NONE);
        }
        at_most("bundles", state.bundles.len() + 1, BUNDLES)?;
        let bundle = RoleBundle::new(self.files.clone(), turn.now());
        state.bundles.insert(hash, Arc::new(bundle));
        establish_default(state);
        collect(state, Some(hash));
        Ok(Change::DONE)
    }
}

impl PutBundle {
    /// Whether its paths and sizes are within bounds.
    ///
    /// # Errors
    /// The first that is not.
    pub(crate) fn is_well_formed(&self) -> Result<(), Rejection> {
        if self.files.is_empty() {
            return Err(refuse(Invalid, "files", &"{}", "at least one file"));
        }
        at_most("files", self.files.len(), FILES)?;
        let bytes: usize = self
            .files
            .iter()
            .map(|(path, text)| path.len() + text.len())
            .sum();
        if bytes > BYTES {
            return Err(refuse(
                Limit,
                "files",
                &bytes,
                format!("at most {BYTES} bytes in all"),
            ));
        }
        for path in self.files.keys() {
            let good = path.len() <= 255
                && path.bytes().all(|b| b.is_ascii_graphic())
                && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
            if !good {
                let accepted = "a relative path such as powermta/role.toml";
                return Err(refuse(Invalid, "files", &path.escape_debug(), accepted));
            }
            if let Some(accepted) = layer_fault(path) {
                return Err(refuse(Invalid, "files", path, accepted));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::command::fixture::{Fleet, bundle, bundle_hash};
    use crate::command::{Command, Effect, PutBundle, RejectionCode};

    #[test]
    fn a_bundle_is_stored_by_hash_once() {
        let mut fleet = Fleet::with_content();
        fleet.accept(bundle("two"));
        assert!(fleet.state.bundles.contains_key(&bundle_hash("two")));
        assert_eq!(fleet.accept(bundle("two")).effect, Effect::Unchanged);
    }

    #[test]
    fn a_bundle_that_nobody_pins_goes_when_a_newer_one_comes() {
        let mut fleet = Fleet::with_content();
        fleet.accept(bundle("two"));
        fleet.accept(bundle("three"));
        let kept: Vec<_> = fleet.state.bundles.keys().copied().collect();
        assert!(
            kept.contains(&bundle_hash("one")),
            "the default release pins it"
        );
        assert!(kept.contains(&bundle_hash("three")), "it is the newest");
        assert_eq!(kept.len(), 2);
    }

    #[test]
    fn paths_stay_inside_and_sizes_within_bounds() {
        let mut fleet = Fleet::founded();
        let put = |path: &str, text: String| {
            let files = [(path.to_owned(), text)].into();
            Command::PutBundle(PutBundle { files })
        };
        for bad in ["/etc/passwd", "../x", "a//b", "a b", "", "overrides/x"] {
            assert_eq!(
                fleet.refuse(put(bad, String::new())).code,
                RejectionCode::Invalid,
                "{bad}"
            );
        }
        let large = put("a", "x".repeat(5 << 20));
        assert_eq!(fleet.refuse(large).code, RejectionCode::Limit);
        let empty = Command::PutBundle(PutBundle { files: [].into() });
        assert_eq!(fleet.refuse(empty).code, RejectionCode::Invalid);
    }
}
