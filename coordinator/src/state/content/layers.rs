//! What one host sees of a role bundle.
//!
//! The files of a bundle lie in layers. On top of `ROLE/role.toml`, its templates and `firewall.toml` lie
//! those of one tenant and of one host:
//!
//! ```text
//! mailwizz/role.toml                                    the role
//! mailwizz/extra.toml                                   entries beside those of the role
//! overrides/tenants/client1/mailwizz/cron.j2            in place of mailwizz/cron.j2, for its hosts
//! overrides/hosts/mailwizz1/mailwizz/extra.toml         further entries, for this host
//! ```
//!
//! A file of a layer stands in the place of the one below it, the host's above the tenant's. An `extra.toml`
//! stands in nobody's place: the role has what all layers list. So what comes with the project can be
//! brought up to date while an operator's own stays.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::api::HostSpec;
use email_engine_protocol::id::{HostId, Role, TenantId};
use serde::Deserialize;

use super::{RoleBundle, RolePart};
use crate::state::FleetState;

/// Where the layers of tenants and hosts lie.
pub const OVERRIDES: &str = "overrides/";
/// Entries beside those of the role.
const EXTRA: &str = "extra.toml";
/// What is read once per bundle and so is the same for all of its hosts.
const WHOLE: [&str; 2] = ["powermta/providers/", "powermta/base.toml"];

/// Whose a file of a layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    Tenant(TenantId),
    Host(HostId),
}

/// Takes a path below [`OVERRIDES`] apart, into whose it is and what it stands in the place of.
fn owner(path: &str) -> Option<(Owner, &str)> {
    let mut parts = path.strip_prefix(OVERRIDES)?.splitn(3, '/');
    let (kind, name, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let owner = match kind {
        "tenants" => Owner::Tenant(TenantId::new(name).ok()?),
        "hosts" => Owner::Host(HostId::new(name).ok()?),
        _ => return None,
    };
    Some((owner, rest))
}

/// What would be accepted in the place of a path of a layer.
pub(crate) fn fault(path: &str) -> Option<&'static str> {
    if !path.starts_with(OVERRIDES) {
        return None;
    }
    match owner(path) {
        None => Some(
            "overrides/tenants/TENANT/FILE or overrides/hosts/HOST/FILE, with a FILE such as mailwizz/cron.j2",
        ),
        Some((_, rest)) if rest.starts_with(OVERRIDES) => {
            Some("a file of the bundle below overrides/hosts/HOST/: layers have no layers")
        }
        Some((_, rest)) if WHOLE.iter().any(|whole| rest.starts_with(whole)) => Some(
            "the catalogue of receivers is one for a whole bundle: release a bundle with another one to \
             this host",
        ),
        Some(_) => None,
    }
}

fn is_extra(rest: &str) -> bool {
    rest.split_once('/').is_some_and(|(_, file)| file == EXTRA)
}

/// The files of a bundle as one host sees them.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// Texts by the path that role files know them by.
    pub files: Cow<'a, BTreeMap<String, String>>,
    /// Files that list entries of the host's role, the role's own first.
    pub sources: Vec<String>,
    /// Where a file of a layer really stands.
    origins: BTreeMap<String, String>,
}

impl View<'_> {
    /// Where the text of a path stands in the bundle.
    #[must_use]
    pub fn origin(&self, path: &str) -> String {
        let origin = self.origins.get(path);
        origin.map_or_else(|| path.to_owned(), Clone::clone)
    }
}

/// What the state has to know of role files before anything is planned.
#[derive(Clone, Debug, Default)]
pub(super) struct Listed {
    /// What files are repeated for.
    each: BTreeSet<String>,
    /// Databases whose user has a password, by engine and name.
    passwords: BTreeSet<String>,
    /// Secrets that files hold, by their words.
    secrets: BTreeSet<String>,
    /// Packages of the distribution.
    packages: BTreeSet<String>,
    /// Further files, of some hosts.
    parts: Vec<RolePart>,
}

impl Listed {
    /// By path. A file that cannot be read lists nothing; the planner says what is wrong with it.
    pub(super) fn of(files: &BTreeMap<String, String>) -> BTreeMap<String, Self> {
        let named = files.iter().filter(|(path, _)| {
            let file = path.rsplit('/').next();
            matches!(file, Some("role.toml" | EXTRA))
        });
        let mut listed: BTreeMap<String, Self> = named
            .map(|(path, text)| (path.clone(), Self::read(text)))
            .collect();
        let parts = listed.values().flat_map(|one| &one.parts);
        let parts: BTreeSet<String> = parts.map(|part| part.file.clone()).collect();
        for (path, text) in files {
            let below = owner(path).map_or(path.as_str(), |(_, rest)| rest);
            if parts.contains(below) {
                listed.insert(path.clone(), Self::read(text));
            }
        }
        listed
    }

    fn read(text: &str) -> Self {
        #[derive(Default, Deserialize)]
        struct Entries {
            #[serde(default)]
            file: Vec<FileEntry>,
            #[serde(default)]
            database: Vec<DatabaseEntry>,
            #[serde(default)]
            package: Vec<PackageEntry>,
            #[serde(default)]
            part: Vec<RolePart>,
        }
        #[derive(Deserialize)]
        struct FileEntry {
            each: Option<String>,
            secret: Option<String>,
        }
        #[derive(Deserialize)]
        struct PackageEntry {
            name: String,
        }
        #[derive(Deserialize)]
        struct DatabaseEntry {
            engine: String,
            name: String,
            login: String,
        }
        let entries: Entries = toml::from_str(text).unwrap_or_default();
        let databases = entries.database.into_iter();
        let with_password = databases.filter(|one| one.login == "password");
        let files = entries.file.iter();
        let packages = entries.package.into_iter();
        Self {
            each: files.clone().filter_map(|one| one.each.clone()).collect(),
            secrets: files.filter_map(|one| one.secret.clone()).collect(),
            packages: packages.map(|one| one.name).collect(),
            passwords: with_password
                .map(|DatabaseEntry { engine, name, .. }| format!("{engine}/{name}"))
                .collect(),
            parts: entries.part,
        }
    }
}

impl RoleBundle {
    /// What a host sees of it. Of a bundle without layers nothing is copied.
    #[must_use]
    pub fn view(&self, host: &HostSpec) -> View<'_> {
        let mut view = View {
            files: Cow::Borrowed(&self.files),
            sources: self.sources(host),
            origins: BTreeMap::new(),
        };
        // Hosts come before tenants in the order of paths.
        let layers = self.layers(host);
        if layers.is_empty() {
            return view;
        }
        let files = view.files.to_mut();
        for (path, rest) in layers.into_iter().rev() {
            if !is_extra(rest) {
                files.insert(rest.to_owned(), self.files[path].clone());
                view.origins.insert(rest.to_owned(), path.to_owned());
            }
        }
        view
    }

    /// Files of a host's layers with what they stand in the place of, the host's own first.
    fn layers(&self, host: &HostSpec) -> Vec<(&str, &str)> {
        let below = self.files.range(OVERRIDES.to_owned()..);
        let below = below.take_while(|(path, _)| path.starts_with(OVERRIDES));
        let seen = below.filter_map(|(path, _)| {
            let (owner, rest) = owner(path)?;
            let is_seen = match owner {
                Owner::Host(id) => id == host.id,
                Owner::Tenant(id) => Some(&id) == host.tenant.as_ref(),
            };
            is_seen.then_some((path.as_str(), rest))
        });
        seen.collect()
    }

    /// Files that list entries of a host's role: the role's own first, then the extra ones from below.
    fn sources(&self, host: &HostSpec) -> Vec<String> {
        let role = format!("{}/role.toml", host.role);
        let extra = format!("{}/{EXTRA}", host.role);
        let layers = self.layers(host);
        let of = |wanted: &str| {
            let found = layers.iter().filter(|(_, rest)| *rest == wanted);
            found
                .map(|(path, _)| (*path).to_owned())
                .collect::<Vec<_>>()
        };
        let mut sources = vec![of(&role).into_iter().next().unwrap_or(role)];
        sources.extend(self.files.contains_key(&extra).then(|| extra.clone()));
        sources.extend(of(&extra).into_iter().rev());
        sources
    }

    fn listed(&self, host: &HostSpec) -> impl Iterator<Item = &Listed> {
        let all = self.listed.get_or_init(|| Listed::of(&self.files));
        self.sources(host)
            .into_iter()
            .filter_map(|path| all.get(&path))
    }

    /// Databases of a host whose user has a password, by engine and name. Those of a part count where `has`
    /// says that the host has it.
    #[must_use]
    pub fn passwords(&self, host: &HostSpec, has: impl Fn(&RolePart) -> bool) -> BTreeSet<String> {
        let all = self.listed_with_parts(host, has).into_iter();
        all.flat_map(|one| one.passwords.clone()).collect()
    }

    /// Words of the secrets that a host's files hold, parts as in [`passwords`](Self::passwords).
    #[must_use]
    pub fn secrets(&self, host: &HostSpec, has: impl Fn(&RolePart) -> bool) -> BTreeSet<&str> {
        let all = self.listed_with_parts(host, has).into_iter();
        all.flat_map(|one| one.secrets.iter().map(String::as_str))
            .collect()
    }

    /// Whether a host is given a package of its distribution, parts as in [`passwords`](Self::passwords).
    #[must_use]
    pub fn installs(
        &self,
        host: &HostSpec,
        has: impl Fn(&RolePart) -> bool,
        package: &str,
    ) -> bool {
        let mut all = self.listed_with_parts(host, has).into_iter();
        all.any(|one| one.packages.contains(package))
    }

    fn listed_with_parts(&self, host: &HostSpec, has: impl Fn(&RolePart) -> bool) -> Vec<&Listed> {
        let mut all = Vec::new();
        for one in self.listed(host) {
            all.push(one);
            let parts = one.parts.iter().filter(|part| has(part));
            all.extend(parts.filter_map(|part| self.listed_at(host, &part.file)));
        }
        all
    }

    /// What a host sees at a path.
    fn listed_at(&self, host: &HostSpec, path: &str) -> Option<&Listed> {
        let all = self.listed.get_or_init(|| Listed::of(&self.files));
        let layers = self.layers(host);
        let above = layers.iter().find(|(_, rest)| *rest == path);
        all.get(above.map_or(path, |(layer, _)| layer))
    }

    /// Whether a host is given files for each of these, such as `certificate`.
    #[must_use]
    pub fn gives(&self, host: &HostSpec, each: &str) -> bool {
        self.listed(host).any(|one| one.each.contains(each))
    }

    /// Whether it says what a role is.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.files.contains_key(&format!("{role}/role.toml"))
    }

    /// The roles that it has, by name.
    #[must_use]
    pub fn roles(&self) -> BTreeSet<Role> {
        let folders = self
            .files
            .keys()
            .filter_map(|path| path.strip_suffix("/role.toml"));
        folders.filter_map(|folder| folder.parse().ok()).collect()
    }
}

impl FleetState {
    /// Whether a host may be of a role, and which would be accepted where it may not: a role that the
    /// project knows nothing of is what its release's bundle says.
    pub(crate) fn check_role(&self, host: &HostId, role: Role) -> Result<(), String> {
        if Role::SHIPPED.contains(&role) {
            return Ok(());
        }
        let pinned = self.live_host(host).map(|host| &host.release);
        let release = pinned.or(self.default_release.as_ref());
        let bundle = release.and_then(|release| self.bundles.get(&release.bundle));
        if bundle.is_some_and(|bundle| bundle.has(role)) {
            return Ok(());
        }
        let mut known: BTreeSet<Role> = Role::SHIPPED.into();
        known.extend(bundle.into_iter().flat_map(|bundle| bundle.roles()));
        let known: Vec<_> = known.iter().map(ToString::to_string).collect();
        Err(format!(
            "a role of the host's release: {}; `email-engine roles put` stores a role of your own, \
             `email-engine roles use` releases it",
            known.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use email_engine_protocol::time::Timestamp;

    fn bundle(files: &[(&str, &str)]) -> RoleBundle {
        let files = files.iter();
        let files = files.map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        RoleBundle::new(files.collect(), Timestamp(1))
    }

    fn host(id: &str, tenant: &str) -> HostSpec {
        HostSpec {
            id: HostId::new(id).unwrap(),
            role: Role::Mailwizz,
            tenant: Some(TenantId::new(tenant).unwrap()),
            addresses: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    fn layered() -> RoleBundle {
        bundle(&[
            ("mailwizz/role.toml", "[[file]]\neach = \"authority\"\n"),
            ("mailwizz/cron.j2", "all"),
            (
                "mailwizz/extra.toml",
                "[[database]]\nengine = \"mysql\"\nname = \"a\"\nlogin = \"password\"\n",
            ),
            ("overrides/tenants/t1/mailwizz/cron.j2", "tenant"),
            ("overrides/tenants/t1/mailwizz/own.j2", "own"),
            (
                "overrides/tenants/t1/mailwizz/extra.toml",
                "[[file]]\neach = \"tenant\"\n",
            ),
            ("overrides/hosts/mw1/mailwizz/cron.j2", "host"),
            (
                "overrides/hosts/mw1/mailwizz/extra.toml",
                "[[database]]\nengine = \"mysql\"\nname = \"b\"\nlogin = \"password\"\n",
            ),
            ("overrides/hosts/mw3/mailwizz/role.toml", ""),
        ])
    }

    #[test]
    fn the_hosts_layer_lies_above_the_tenants_and_that_above_all() {
        let bundle = layered();
        let cron = |host: &HostSpec| bundle.view(host).files["mailwizz/cron.j2"].clone();
        assert_eq!(cron(&host("mw1", "t1")), "host");
        assert_eq!(cron(&host("mw2", "t1")), "tenant");
        assert_eq!(cron(&host("mw2", "t2")), "all");
        let view = bundle.view(&host("mw1", "t1"));
        assert_eq!(view.files["mailwizz/own.j2"], "own");
        assert_eq!(
            view.origin("mailwizz/cron.j2"),
            "overrides/hosts/mw1/mailwizz/cron.j2"
        );
        assert_eq!(view.origin("mailwizz/role.toml"), "mailwizz/role.toml");
    }

    #[test]
    fn extra_entries_of_all_layers_are_listed_and_a_role_file_is_replaced() {
        let bundle = layered();
        let sources = |host: &HostSpec| bundle.view(host).sources;
        assert_eq!(
            sources(&host("mw1", "t1")),
            [
                "mailwizz/role.toml",
                "mailwizz/extra.toml",
                "overrides/tenants/t1/mailwizz/extra.toml",
                "overrides/hosts/mw1/mailwizz/extra.toml",
            ]
        );
        assert_eq!(
            sources(&host("mw3", "t2")),
            [
                "overrides/hosts/mw3/mailwizz/role.toml",
                "mailwizz/extra.toml"
            ]
        );
        let extra = &bundle.view(&host("mw1", "t1")).files["mailwizz/extra.toml"];
        assert!(
            extra.contains("\"a\""),
            "a layer's stands in nobody's place"
        );
    }

    #[test]
    fn what_is_known_before_planning_follows_the_layers() {
        let bundle = layered();
        let one = host("mw1", "t1");
        let both: BTreeSet<_> = ["mysql/a", "mysql/b"].map(str::to_owned).into();
        assert_eq!(bundle.passwords(&one, |_| true), both);
        assert!(bundle.gives(&one, "authority") && bundle.gives(&one, "tenant"));
        let other = host("mw3", "t2");
        assert!(
            !bundle.gives(&other, "authority"),
            "its role file is another"
        );
        assert!(!bundle.gives(&other, "tenant"));
    }

    #[test]
    fn a_bundle_without_layers_is_not_copied() {
        let bundle = bundle(&[("mailwizz/role.toml", "")]);
        let view = bundle.view(&host("mw1", "t1"));
        assert!(matches!(view.files, Cow::Borrowed(_)));
        assert_eq!(bundle.roles(), [Role::Mailwizz].into());
    }

    #[test]
    fn a_path_of_a_layer_names_whose_it_is_and_a_file_of_its_own() {
        for good in [
            "mailwizz/role.toml",
            "overrides/hosts/mw1/mailwizz/cron.j2",
            "overrides/tenants/t1/firewall.toml",
        ] {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in [
            "overrides/mailwizz/cron.j2",
            "overrides/hosts/mw1",
            "overrides/hosts/Mw 1/mailwizz/cron.j2",
            "overrides/roles/mw1/mailwizz/cron.j2",
            "overrides/hosts/mw1/overrides/hosts/mw1/a",
            "overrides/hosts/pmta1/powermta/base.toml",
            "overrides/tenants/t1/powermta/providers/gmail.toml",
        ] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }
}
