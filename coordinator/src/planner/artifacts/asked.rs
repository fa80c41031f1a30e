//! Which files of operators the role of a host asks for, whether they are there or not.

use std::collections::BTreeMap;

use email_engine_protocol::api::HostSpec;
use email_engine_protocol::id::ArtifactName;
use email_engine_protocol::time::Timestamp;

use super::named;
use crate::planner::error::BundleFault;
use crate::planner::role::RoleFile;
use crate::state::RoleBundle;

/// What becomes of a host for which a name stands for nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// It is planned without what asks for the name.
    Optional,
    /// It is not planned where something stands for the other name.
    With(ArtifactName),
    /// It is not planned.
    Always,
}

/// A name that the role of a host calls a file of an operator by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The name.
    pub name: ArtifactName,
    /// What becomes of the host without it.
    pub need: Need,
}

/// Names that the role of a host asks for in a bundle, in order: those of its entries, and those of parts
/// that it has in a fleet of so many tenants as soon as their files are there.
///
/// # Errors
/// When a file of the role cannot be read.
pub fn asked(
    files: &BTreeMap<String, String>,
    host: &HostSpec,
    tenants: usize,
) -> Result<Vec<Asked>, BundleFault> {
    let bundle = RoleBundle::new(files.clone(), Timestamp(0));
    let view = bundle.view(host);
    let role = RoleFile::read(&view)?;
    let mut needs = BTreeMap::new();
    of_entries(&role, None, &mut needs);
    for part in role.parts.iter().filter(|part| part.suits(host, tenants)) {
        if let Some(name) = &part.artifact {
            note(&mut needs, name, Need::Optional);
        }
        let entries = RoleFile::parse(&view.files, &part.file)?;
        of_entries(&entries, part.artifact.as_ref(), &mut needs);
    }
    let asked = needs.into_iter();
    Ok(asked.map(|(name, need)| Asked { name, need }).collect())
}

/// Those of the entries of a file that a host has where something stands for `within`.
fn of_entries(
    role: &RoleFile,
    within: Option<&ArtifactName>,
    needs: &mut BTreeMap<ArtifactName, Need>,
) {
    for (when, name) in named(role) {
        if let Some(when) = when {
            note(needs, when, Need::Optional);
        }
        let Some(name) = name else { continue };
        let need = match when.or(within) {
            None => Need::Always,
            Some(other) if other == name => Need::Optional,
            Some(other) => Need::With(other.clone()),
        };
        note(needs, name, need);
    }
}

/// The hardest of what is said of a name holds.
fn note(needs: &mut BTreeMap<ArtifactName, Need>, name: &ArtifactName, need: Need) {
    let known = needs.entry(name.clone()).or_insert(Need::Optional);
    if need > *known {
        *known = need;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use email_engine_protocol::id::{HostId, Role, TenantId};

    use super::*;
    use crate::planner::builtin_bundle;

    fn host(role: &str) -> HostSpec {
        HostSpec {
            id: HostId::new("one").unwrap(),
            role: role.parse::<Role>().unwrap(),
            tenant: None,
            addresses: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    fn told(files: &BTreeMap<String, String>, host: &HostSpec) -> Vec<(String, Need)> {
        let asked = asked(files, host, 2).unwrap().into_iter();
        asked.map(|one| (one.name.to_string(), one.need)).collect()
    }

    #[test]
    fn the_roles_of_the_project_say_what_they_ask_for() {
        let files = builtin_bundle();
        let optional = |names: &[&str]| -> Vec<_> {
            let names = names.iter();
            names
                .map(|name| ((*name).to_owned(), Need::Optional))
                .collect()
        };
        assert_eq!(told(&files, &host("mailwizz")), optional(&["mailwizz"]));
        assert_eq!(
            told(&files, &host("powermta")),
            optional(&["powermta", "powermta-license"])
        );
    }

    #[test]
    fn what_a_host_cannot_be_without_is_told_apart_from_what_it_can() {
        let mut files = builtin_bundle();
        let file = |name: &str, when: &str| {
            format!(
                "[[file]]\npath = \"/etc/{name}\"\nartifact = \"{name}\"\n{when}mode = \"0644\"\n\
                 on_remove = \"delete\"\n"
            )
        };
        let part = "[[part]]\nfile = \"relay/part.toml\"\nartifact = \"bundle\"\n\
                    [[part]]\nfile = \"relay/other.toml\"\nlabel = \"kind\"\nis = \"big\"\n";
        files.insert(
            "relay/role.toml".to_owned(),
            format!(
                "{}{}{part}",
                file("banner", ""),
                file("extra", "when_artifact = \"switch\"\n")
            ),
        );
        files.insert(
            "relay/part.toml".to_owned(),
            format!("{}{}", file("bundle", ""), file("beside", "")),
        );
        files.insert("relay/other.toml".to_owned(), file("heavy", ""));
        let name = |text: &str| ArtifactName::new(text).unwrap();
        let mut relay = host("relay");
        let mut expected = vec![
            ("banner".to_owned(), Need::Always),
            ("beside".to_owned(), Need::With(name("bundle"))),
            ("bundle".to_owned(), Need::Optional),
            ("extra".to_owned(), Need::With(name("switch"))),
            ("switch".to_owned(), Need::Optional),
        ];
        assert_eq!(told(&files, &relay), expected);
        relay.labels.insert("kind".to_owned(), "big".to_owned());
        expected.insert(4, ("heavy".to_owned(), Need::Always));
        assert_eq!(told(&files, &relay), expected);
        assert!(asked(&files, &host("nothing"), 2).is_err());
    }

    #[test]
    fn parts_are_judged_as_the_planner_does_where_a_label_must_not_say_something_or_the_fleet_is_read()
     {
        let mut files = builtin_bundle();
        let part = |name: &str, when: &str| {
            format!("[[part]]\nfile = \"relay/{name}.toml\"\nartifact = \"{name}\"\n{when}")
        };
        files.insert(
            "relay/role.toml".to_owned(),
            part("small", "label = \"kind\"\nis_not = \"big\"\n")
                + &part("figures", "fleet = true\n"),
        );
        for name in ["small", "figures"] {
            files.insert(format!("relay/{name}.toml"), String::new());
        }
        let names = |host: &HostSpec, tenants| -> Vec<String> {
            let asked = asked(&files, host, tenants).unwrap().into_iter();
            asked.map(|one| one.name.to_string()).collect()
        };
        let mut relay = host("relay");
        assert_eq!(names(&relay, 2), ["figures", "small"]);
        relay.labels.insert("kind".to_owned(), "little".to_owned());
        assert_eq!(names(&relay, 2), ["figures", "small"]);
        relay.labels.insert("kind".to_owned(), "big".to_owned());
        assert_eq!(names(&relay, 2), ["figures"]);
        relay.tenant = Some(TenantId::new("red").unwrap());
        assert_eq!(names(&relay, 2), [""; 0]);
        assert_eq!(names(&relay, 1), ["figures"]);
    }
}
