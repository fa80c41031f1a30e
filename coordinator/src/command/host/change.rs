//! `change-host`.

use email_engine_protocol::api::HostSpec;

use super::check::check;
use crate::command::RejectionCode::{InUse, WrongRole, WrongState};
use crate::command::refuse::{not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{ChangeHost, Rejection};
use crate::state::FleetState;

impl Verb for ChangeHost {
    fn name(&self) -> &'static str {
        "change-host"
    }

    fn object(&self) -> String {
        format!("host {}", self.host.id)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let spec = &self.host;
        let Some(current) = state.live_host(&spec.id) else {
            return Err(not_found("id", &spec.id, "host"));
        };
        if current.spec == *spec {
            return Ok(Change::NONE);
        }
        if current.spec.role != spec.role {
            let accepted = format!("{}: the role of a host never changes", current.spec.role);
            return Err(refuse(WrongRole, "role", &spec.role, accepted));
        }
        if !current.takes_work() {
            let accepted = "a host that is not being retired";
            return Err(refuse(WrongState, "id", &spec.id, accepted));
        }
        check(state, spec, turn)?;
        if current.spec.tenant != spec.tenant {
            tenant_fits_identities(state, spec)?;
        }
        let mut has_submission = false;
        if let Some(host) = state.hosts.get_mut(&spec.id) {
            state.lookup.remove_host(&host.spec);
            state.lookup.add_host(spec);
            host.spec = spec.clone();
            has_submission = host.submission_names().is_some();
        }
        if !has_submission {
            state.forget_submission(&spec.id);
        }
        Ok(Change::DONE)
    }
}

fn tenant_fits_identities(state: &FleetState, spec: &HostSpec) -> Result<(), Rejection> {
    let Some(tenant) = &spec.tenant else {
        return Ok(());
    };
    let placed = state.identities_on(&spec.id).map(|i| &i.spec);
    let drained = state.leaving_on(&spec.id).map(|leaving| leaving.spec());
    let foreign = placed.chain(drained).filter(|ip| ip.tenant != *tenant);
    let foreign = foreign.count();
    if foreign == 0 {
        return Ok(());
    }
    let accepted = format!("a host without identities of other tenants; it has {foreign}");
    Err(refuse(InUse, "tenant", tenant, accepted))
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::Role;

    use crate::command::fixture::{Fleet, host, tenant};
    use crate::command::{ChangeHost, Command, CreateTenant, Effect, RejectionCode};

    #[test]
    fn labels_and_addresses_change_and_the_same_again_is_no_change() {
        let mut fleet = Fleet::with_identities(0);
        let mut spec = host("pmta1", Role::Powermta, 1);
        spec.labels.insert("rack".to_owned(), "7".to_owned());
        let change = Command::ChangeHost(ChangeHost { host: spec.clone() });
        fleet.accept(change.clone());
        assert_eq!(fleet.state.hosts[&spec.id].spec, spec);
        assert_eq!(fleet.accept(change).effect, Effect::Unchanged);
    }

    #[test]
    fn the_role_never_changes() {
        let mut fleet = Fleet::with_identities(0);
        let host = host("pmta1", Role::Api, 1);
        let rejection = fleet.refuse(Command::ChangeHost(ChangeHost { host }));
        assert_eq!(rejection.code, RejectionCode::WrongRole);
    }

    #[test]
    fn a_shared_host_with_anothers_identities_cannot_be_given_to_a_tenant() {
        let mut fleet = Fleet::with_identities(1);
        let tenant = tenant("client-2");
        let mut spec = host("pmta1", Role::Powermta, 1);
        spec.tenant = Some(tenant.id.clone());
        fleet.accept(Command::CreateTenant(CreateTenant { tenant }));
        let rejection = fleet.refuse(Command::ChangeHost(ChangeHost { host: spec }));
        assert_eq!(rejection.code, RejectionCode::InUse);
    }
}
