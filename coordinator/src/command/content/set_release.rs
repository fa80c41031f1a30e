//! `set-release`.

use email_engine_protocol::id::Role;

use super::release::{collect, move_releases};
use crate::command::RejectionCode::{Version, WrongState};
use crate::command::refuse::{not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Rejection, SetRelease};
use crate::fleet::warmup;
use crate::state::FleetState;

impl Verb for SetRelease {
    fn name(&self) -> &'static str {
        "set-release"
    }

    fn object(&self) -> String {
        match &self.hosts {
            None => "all hosts".to_owned(),
            Some(hosts) => {
                let shown: Vec<_> = hosts.iter().take(8).map(ToString::to_string).collect();
                format!("{} hosts: {}", hosts.len(), shown.join(" "))
            }
        }
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        self.exists(state)?;
        let moved = move_releases(state, self.hosts.as_ref(), |release| {
            release.bundle = self.bundle.unwrap_or(release.bundle);
            release.planner_version = self.planner_version.unwrap_or(release.planner_version);
            release.settings = self.settings.unwrap_or(release.settings);
        });
        if !moved {
            return Ok(Change::NONE);
        }
        if self.settings.is_some() {
            warmup::tighten(state, None);
        }
        collect(state, None);
        Ok(Change::DONE)
    }
}

impl SetRelease {
    fn exists(&self, state: &FleetState) -> Result<(), Rejection> {
        if state.default_release.is_none() {
            let accepted = "a role bundle and settings are put first";
            return Err(refuse(WrongState, "release", &"none", accepted));
        }
        if let Some(bundle) = self.bundle.filter(|hash| !state.bundles.contains_key(hash)) {
            return Err(not_found("bundle", &bundle, "role bundle"));
        }
        if let Some(revision) = self.settings.filter(|it| !state.settings.contains_key(it)) {
            return Err(not_found("settings", &revision, "revision of the settings"));
        }
        // The planner's versions are gated by the cluster's, which every voter supports.
        let newest = state.cluster.as_ref().map_or(0, |cluster| cluster.version);
        if let Some(version) = self.planner_version.filter(|it| !(1..=newest).contains(it)) {
            let accepted = format!("1 to {newest}, the cluster's version");
            return Err(refuse(Version, "planner_version", &version, accepted));
        }
        for host in self.hosts.iter().flatten() {
            if state.live_host(host).is_none() {
                return Err(not_found("hosts", host, "host"));
            }
        }
        self.keeps_roles(state)
    }

    /// A host of an operator's own role must find it in the bundle that it is moved to.
    fn keeps_roles(&self, state: &FleetState) -> Result<(), Rejection> {
        let Some((hash, bundle)) = self.bundle.and_then(|it| state.bundles.get_key_value(&it))
        else {
            return Ok(());
        };
        let is_moved = |id| self.hosts.as_ref().is_none_or(|hosts| hosts.contains(id));
        for (id, host) in state.live_hosts().filter(|(id, _)| is_moved(*id)) {
            let role = host.spec.role;
            if !Role::SHIPPED.contains(&role) && !bundle.has(role) {
                let accepted =
                    format!("a bundle with {role}/role.toml, which host {id} is made from");
                return Err(refuse(WrongState, "bundle", hash, accepted));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::ContentHash;
    use email_engine_protocol::id::Role;

    use crate::command::fixture::{Fleet, bundle, bundle_hash, host, host_id};
    use crate::command::{AddHost, Command, Effect, PutBundle, RejectionCode, SetRelease};

    fn set(hosts: Option<&str>, bundle: Option<ContentHash>) -> SetRelease {
        SetRelease {
            hosts: hosts.map(|host| [host_id(host)].into()),
            bundle,
            planner_version: None,
            settings: None,
        }
    }

    #[test]
    fn a_wave_moves_its_hosts_and_neither_the_others_nor_the_default() {
        let mut fleet = Fleet::with_identities(0);
        fleet.declare("pmta2", Role::Powermta, 2);
        fleet.accept(bundle("two"));
        let two = bundle_hash("two");
        fleet.accept(Command::SetRelease(set(Some("pmta1"), Some(two))));
        let state = &fleet.state;
        assert_eq!(state.hosts[&host_id("pmta1")].release.bundle, two);
        assert_ne!(state.hosts[&host_id("pmta2")].release.bundle, two);
        assert_ne!(state.default_release.as_ref().unwrap().bundle, two);
        fleet.accept(Command::SetRelease(set(None, Some(two))));
        assert_eq!(fleet.state.default_release.as_ref().unwrap().bundle, two);
        assert_eq!(
            fleet.state.bundles.len(),
            1,
            "nobody pins the first one any more"
        );
        let again = fleet.accept(Command::SetRelease(set(None, Some(two))));
        assert_eq!(again.effect, Effect::Unchanged);
    }

    #[test]
    fn a_host_of_an_own_role_is_declared_and_moved_where_a_bundle_has_the_role() {
        let mut fleet = Fleet::with_identities(0);
        let role: Role = "relay".parse().unwrap();
        let declared = Command::AddHost(AddHost {
            host: host("relay1", role, 9),
        });
        let refused = fleet.refuse(declared.clone());
        assert_eq!(refused.field, "role");
        assert!(
            refused.accepted.contains("api, mailwizz, powermta"),
            "{refused:?}"
        );
        let files = [("relay/role.toml".to_owned(), String::new())].into();
        let with_relay = PutBundle { files };
        fleet.accept(Command::PutBundle(with_relay.clone()));
        fleet.accept(Command::SetRelease(set(None, Some(with_relay.hash()))));
        fleet.accept(declared);
        fleet.accept(bundle("two"));
        let away = Command::SetRelease(set(Some("relay1"), Some(bundle_hash("two"))));
        let refused = fleet.refuse(away);
        assert!(refused.accepted.contains("relay/role.toml"), "{refused:?}");
        let others = Command::SetRelease(set(Some("pmta1"), Some(bundle_hash("two"))));
        fleet.accept(others);
    }

    #[test]
    fn what_does_not_exist_cannot_be_released() {
        let mut fleet = Fleet::with_identities(0);
        let unknown = set(None, Some(ContentHash::of(b"unknown")));
        assert_eq!(fleet.refuse(Command::SetRelease(unknown)).field, "bundle");
        let mut release = set(None, None);
        release.settings = Some(99);
        assert_eq!(fleet.refuse(Command::SetRelease(release)).field, "settings");
        let mut release = set(None, None);
        release.planner_version = Some(2);
        assert_eq!(
            fleet.refuse(Command::SetRelease(release)).code,
            RejectionCode::Version
        );
        let unknown = set(Some("nobody"), None);
        assert_eq!(fleet.refuse(Command::SetRelease(unknown)).field, "hosts");
    }
}
