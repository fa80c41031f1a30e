//! Sources of packages: whoever keeps one is as good as root here, so that each is listed by its address.

use email_engine_protocol::desired::{PackageRepositorySpec, Resource, is_repository_uri};

use super::judge::{AllowList, Disallowed};

/// Entries of the list, without the slash at their ends.
pub(super) fn prefixes(texts: &[String]) -> Result<Vec<String>, String> {
    let one = |text: &String| match is_repository_uri(text) {
        true => Ok(bare(text).to_owned()),
        false => Err(format!(
            "package_repositories: {text:?} is no address of a repository such as \
             \"https://packages.example.com/apt/\""
        )),
    };
    texts.iter().map(one).collect()
}

fn bare(uri: &str) -> &str {
    uri.strip_suffix('/').unwrap_or(uri)
}

/// Whether an address is that of an entry, or of something below it. Both have one form: no escapes, and no
/// way out of a folder.
fn begins(uri: &str, prefix: &str) -> bool {
    let rest = bare(uri).strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl AllowList {
    /// Also what the tool of this host would not read.
    pub(super) fn judge_repository(
        &self,
        resource: &Resource,
        spec: &PackageRepositorySpec,
    ) -> Result<(), Disallowed> {
        let known = &self.package_repositories;
        let is_listed = |uri: &str| known.iter().any(|prefix| begins(uri, prefix));
        let Some(stranger) = spec.uris().find(|uri| !is_listed(uri)) else {
            return Ok(());
        };
        Err(Disallowed::Name {
            resource: resource.id.clone(),
            key: "package_repositories",
            name: stranger.to_owned(),
            origin: self.origin.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::load;
    use super::*;
    use crate::config::Config;
    use crate::reconciler::plan::tests::config;
    use crate::resources::repository_samples::resource;

    fn list(prefix: &str) -> AllowList {
        AllowList {
            package_repositories: prefixes(&[prefix.to_owned()]).unwrap(),
            ..AllowList::default()
        }
    }

    fn judge(list: &AllowList, uri: &str) -> Result<(), String> {
        let state = config(vec![resource(uri)]);
        state.check().unwrap();
        list.judge(&state).map_err(|error| error.to_string())
    }

    #[test]
    fn the_built_in_list_has_no_source_of_packages() {
        let list = load(&Config::default()).unwrap();
        let refused = judge(&list, "https://packages.example.com/apt/").unwrap_err();
        assert!(
            refused
                .contains("no entry of `package_repositories` in the built-in allow-list allows"),
            "{refused}"
        );
    }

    #[test]
    fn an_entry_is_a_folder_with_what_is_below_it_by_one_scheme_at_one_host() {
        for prefix in ["https://example.com/apt", "https://example.com/apt/"] {
            let list = list(prefix);
            for good in ["apt", "apt/", "apt/debian", "apt/debian/"] {
                assert_eq!(judge(&list, &format!("https://example.com/{good}")), Ok(()));
            }
            for bad in [
                "http://example.com/apt/",
                "https://example.com/",
                "https://example.com/apt2/",
                "https://example.com/Apt/",
                "https://example.com:8443/apt/",
                "https://www.example.com/apt/",
                "https://example.com.example.net/apt/",
            ] {
                let refused = judge(&list, bad).unwrap_err();
                assert!(refused.contains(bad), "{refused}");
            }
        }
        let whole = list("https://example.com");
        assert_eq!(judge(&whole, "https://example.com/any/where"), Ok(()));
        assert!(judge(&whole, "https://example.community/").is_err());
    }

    #[test]
    fn what_is_no_address_is_no_entry() {
        for bad in [
            "*",
            "",
            "example.com",
            "https://example.com/a/../b",
            "file:///srv/",
        ] {
            let refused = prefixes(&[bad.to_owned()]).unwrap_err();
            assert!(
                refused.contains("package_repositories") && refused.contains("such as"),
                "{refused}"
            );
        }
    }

    proptest! {
        /// What is allowed is below the entry, however it is written.
        #[test]
        fn nothing_outside_of_the_folder_is_allowed(path in "[a-z./]{0,10}") {
            let uri = format!("https://example.com/{path}");
            if is_repository_uri(&uri) && judge(&list("https://example.com/a"), &uri).is_ok() {
                prop_assert!(path == "a" || path.starts_with("a/"));
                prop_assert!(!path.split('/').any(|part| part == ".."));
            }
        }
    }
}
