//! `add-host`.

use super::check::check;
use crate::command::refuse::{at_most, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{AddHost, Rejection, RejectionCode};
use crate::state::{FleetState, Host, HostLifecycle};

/// Most hosts of one fleet.
const HOSTS: usize = 20_000;

impl Verb for AddHost {
    fn name(&self) -> &'static str {
        "add-host"
    }

    fn object(&self) -> String {
        format!("host {}", self.host.id)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let spec = &self.host;
        if state.live_host(&spec.id).is_some() {
            let accepted = "a host id that is not in use";
            return Err(refuse(
                RejectionCode::AlreadyExists,
                "id",
                &spec.id,
                accepted,
            ));
        }
        at_most("hosts", state.hosts.len() + 1, HOSTS)?;
        check(state, spec, turn)?;
        let Some(release) = state.default_release.clone() else {
            let accepted = "a role bundle and settings are put before the first host";
            return Err(refuse(
                RejectionCode::WrongState,
                "release",
                &"none",
                accepted,
            ));
        };
        let host = Host {
            spec: spec.clone(),
            lifecycle: HostLifecycle::Declared,
            keys: None,
            release,
            large_removal: false,
        };
        state.hosts.insert(spec.id.clone(), host);
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::HostSpec;
    use email_engine_protocol::id::Role;

    use crate::command::fixture::{Fleet, host, tenant};
    use crate::command::{AddHost, Command, RejectionCode};
    use crate::state::HostLifecycle;

    fn add(host: HostSpec) -> Command {
        Command::AddHost(AddHost { host })
    }

    #[test]
    fn a_host_is_declared_with_the_default_release() {
        let mut fleet = Fleet::with_content();
        fleet.accept(add(host("pmta1", Role::Powermta, 1)));
        let row = &fleet.state.hosts[&host("pmta1", Role::Powermta, 1).id];
        assert_eq!(row.lifecycle, HostLifecycle::Declared);
        assert_eq!(Some(&row.release), fleet.state.default_release.as_ref());
        let again = fleet.refuse(add(host("pmta1", Role::Powermta, 2)));
        assert_eq!(again.code, RejectionCode::AlreadyExists);
    }

    #[test]
    fn before_any_bundle_and_settings_there_is_no_host() {
        let rejection = Fleet::founded().refuse(add(host("pmta1", Role::Powermta, 1)));
        assert_eq!(rejection.code, RejectionCode::WrongState);
    }

    #[test]
    fn a_mailwizz_host_has_exactly_one_tenant_that_exists() {
        let mut fleet = Fleet::with_content();
        let mut spec = host("mw1", Role::Mailwizz, 1);
        let rejection = fleet.refuse(add(spec.clone()));
        assert_eq!(
            (rejection.code, &*rejection.field),
            (RejectionCode::Invalid, "tenant")
        );
        spec.tenant = Some(tenant("nobody").id);
        assert_eq!(fleet.refuse(add(spec)).code, RejectionCode::NotFound);
    }

    #[test]
    fn addresses_are_there_once_and_one_hosts_admin_address_is_its_own() {
        let mut fleet = Fleet::with_content();
        fleet.accept(add(host("pmta1", Role::Powermta, 1)));
        let rejection = fleet.refuse(add(host("pmta2", Role::Powermta, 1)));
        assert_eq!(rejection.code, RejectionCode::Duplicate);
        let mut spec = host("pmta2", Role::Powermta, 2);
        spec.addresses.push(spec.addresses[0]);
        assert_eq!(fleet.refuse(add(spec.clone())).field, "addresses[1]");
        spec.addresses.clear();
        assert_eq!(fleet.refuse(add(spec)).code, RejectionCode::Invalid);
    }
}
