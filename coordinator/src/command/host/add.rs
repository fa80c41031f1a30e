//! `add-host`.

use super::check::check;
use crate::command::refuse::{at_most, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{AddHost, Rejection, RejectionCode};
use crate::state::{FleetState, Host, HostLifecycle};

/// Most hosts of one fleet, those that were cut off not counted.
const HOSTS: usize = 20_000;
/// Hosts that were cut off and are still listed.
const RETIRED: usize = 20_000;

/// Drops rows of hosts that were cut off, but for so many, in order of name. Nothing but the list reads
/// them: what they had stays revoked, and the number of their last generation is kept apart.
fn forget_retired(state: &mut FleetState, kept: usize) {
    let retired = state.hosts.iter().filter(|(_, host)| host.is_retired());
    let retired: Vec<_> = retired.map(|(id, _)| id.clone()).collect();
    let too_many = retired.len().saturating_sub(kept);
    for id in &retired[..too_many] {
        state.hosts.remove(id);
    }
}

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
        // Counted only where it may matter: a batch may add as many as there may be.
        if state.hosts.len() >= HOSTS {
            at_most("hosts", state.live_hosts().count() + 1, HOSTS)?;
        }
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
        state.lookup.add_host(spec);
        state.hosts.insert(spec.id.clone(), host);
        if state.hosts.len() > RETIRED {
            forget_retired(state, RETIRED);
        }
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::HostSpec;
    use email_engine_protocol::id::{HostId, Role};

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
    fn hosts_that_were_cut_off_do_not_count_and_are_listed_only_so_long() {
        let mut fleet = Fleet::with_content();
        fleet.accept(add(host("a", Role::Powermta, 1)));
        let mut row = fleet.state.hosts.pop_first().unwrap().1;
        row.lifecycle = HostLifecycle::Retired;
        for number in 0..super::HOSTS {
            let id = HostId::new(format!("h{number}")).unwrap();
            row.spec.id = id.clone();
            fleet.state.hosts.insert(id, row.clone());
        }
        fleet.state.reindex();
        fleet.accept(add(host("new", Role::Powermta, 2)));
        super::forget_retired(&mut fleet.state, 3);
        let kept: Vec<_> = fleet.state.hosts.keys().map(HostId::as_str).collect();
        assert_eq!(kept, ["h9997", "h9998", "h9999", "new"]);
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

    #[test]
    fn mail_is_led_elsewhere_by_a_name_alone() {
        let mut fleet = Fleet::with_content();
        let elsewhere = |name: &str| {
            let mut spec = host("pmta1", Role::Powermta, 1);
            spec.labels.insert("inbound-mx".to_owned(), name.to_owned());
            add(spec)
        };
        for bad in ["", "mx", "192.0.2.1", "mx.example.com. 300 IN A 192.0.2.1"] {
            let rejection = fleet.refuse(elsewhere(bad));
            let found = (rejection.code, &*rejection.field);
            assert_eq!(
                found,
                (RejectionCode::Invalid, "labels.inbound-mx"),
                "{bad}"
            );
        }
        fleet.accept(elsewhere("mx.example.com"));
    }

    #[test]
    fn whoever_is_told_of_bounces_is_a_tenant_or_everybody() {
        let mut fleet = Fleet::with_content();
        let told = |name: &str, tenants: &str| {
            let mut spec = host(name, Role::Powermta, name.len().try_into().unwrap());
            spec.labels
                .insert("mailwizz-webhook".to_owned(), tenants.to_owned());
            add(spec)
        };
        for bad in ["", "yes please", "client-1, client-2", "client-1,"] {
            let rejection = fleet.refuse(told("p", bad));
            let found = (rejection.code, &*rejection.field);
            let wanted = (RejectionCode::Invalid, "labels.mailwizz-webhook");
            assert_eq!(found, wanted, "{bad:?}");
        }
        fleet.accept(told("p", "all"));
        fleet.accept(told("pmta", "client-1,client-2"));
    }
}
