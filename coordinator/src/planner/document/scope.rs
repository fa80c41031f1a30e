//! A key that is bound to a tenant touches that tenant's own things and learns of no other's. Hosts,
//! its own ones included, are declared, changed and retired by the fleet's operators alone, by document
//! as by route: what a host may do, such as submitting mail from its addresses, concerns all tenants.

use email_engine_protocol::api::{FleetDocument, TenantSpec};
use email_engine_protocol::id::TenantId;

use super::{lives, reject};
use crate::command::{Rejection, RejectionCode};
use crate::planner::word;
use crate::state::FleetState;

const HOSTS: &str = "a host as it is declared already; a key that is bound to a tenant neither \
                     declares nor changes hosts";
const MAILWIZZ: &str = "the address that the tenant has; whom this cluster calls is for the fleet's operators \
                        to say";
const TAKEN_OVER: &str = "standby, at which a new identity begins; that one sends already is declared by \
                          an admin of the whole fleet";
const REACHED: &str = "the phase that it reached, or one below it; that it is further is shown by evidence, \
                       or said by an admin of the whole fleet";
const LOOPS: &str = "the loops that the tenant has; which receivers tell of complaints decides how it is judged, \
                     and is for the fleet's operators to say";
const OWN: &str = "a key that is bound to a tenant may name that tenant's own things only";

pub(super) fn check(
    state: &FleetState,
    document: &FleetDocument,
    tenant: &TenantId,
) -> Result<(), Rejection> {
    let foreign = |field: String, value: &dyn ToString| {
        reject(RejectionCode::ForeignTenant, field, &value.to_string(), OWN)
    };
    if document.settings.is_some() {
        return Err(foreign("settings".to_owned(), &"the fleet's"));
    }
    for (index, named) in document.tenants.iter().enumerate() {
        if named.id != *tenant {
            return Err(foreign(format!("tenants[{index}].id"), &named.id));
        }
        of_the_fleet(state, named, &format!("tenants[{index}]."))?;
    }
    for (index, host) in document.hosts.iter().enumerate() {
        let owner = state.hosts.get(&host.id).map(|old| &old.spec.tenant);
        let own = Some(tenant.clone());
        if host.tenant != own || owner.is_some_and(|owner| *owner != own) {
            return Err(foreign(format!("hosts[{index}].id"), &host.id));
        }
        // A whole file of the tenant's, with its hosts as they are, may be applied.
        if state.live_host(&host.id).map(|old| &old.spec) != Some(host) {
            return Err(reject(
                RejectionCode::Forbidden,
                format!("hosts[{index}].id"),
                &host.id,
                HOSTS,
            ));
        }
    }
    for (index, ip) in document.ips.iter().enumerate() {
        let owner = state
            .identities
            .get(&ip.address)
            .map(|old| &old.spec.tenant);
        if ip.tenant != *tenant || owner.is_some_and(|owner| owner != tenant) {
            return Err(foreign(format!("ips[{index}].address"), &ip.address));
        }
        let of_other = |host: &crate::state::Host| {
            host.spec
                .tenant
                .as_ref()
                .is_some_and(|owner| owner != tenant)
        };
        if let Some(host) = &ip.host
            && state.hosts.get(host).is_some_and(of_other)
        {
            return Err(foreign(format!("ips[{index}].host"), host));
        }
    }
    Ok(())
}

/// That an identity sends already, or is further than it was seen to be, is said instead of evidence: a force,
/// which is an admin's of the whole fleet, as it is where preflight is overruled.
pub(super) fn no_force(state: &FleetState, document: &FleetDocument) -> Result<(), Rejection> {
    for (index, ip) in document.ips.iter().enumerate() {
        let known = state.identities.get(&ip.address);
        let known = known.filter(|identity| identity.spec.tenant == ip.tenant);
        let Some(identity) = known else {
            if lives::is_taken_over(ip) {
                let status = ip.status.unwrap_or_default().as_str();
                let field = format!("ips[{index}].status");
                return Err(reject(RejectionCode::Forbidden, field, status, TAKEN_OVER));
            }
            continue;
        };
        let said = lives::said_anew(ip, Some(identity)).phase;
        if let Some(phase) = said.filter(|phase| *phase > identity.spec.phase) {
            let field = format!("ips[{index}].phase");
            let phase = word(&phase);
            return Err(reject(RejectionCode::Forbidden, field, &phase, REACHED));
        }
    }
    Ok(())
}

/// What of a tenant is the fleet's to say: whom this cluster calls, which reaches what the tenant does not, and
/// by which reports of complaints it is judged. `place` stands before the field.
pub(crate) fn of_the_fleet(
    state: &FleetState,
    named: &TenantSpec,
    place: &str,
) -> Result<(), Rejection> {
    let known = state.tenants.get(&named.id);
    if known.and_then(|known| known.mailwizz_url.as_ref()) != named.mailwizz_url.as_ref() {
        let value = named.mailwizz_url.as_ref();
        let value = value.map_or("none", |url| url.as_str());
        let field = format!("{place}mailwizz_url");
        return Err(reject(RejectionCode::Forbidden, field, &value, MAILWIZZ));
    }
    let wanted = &named.warmup.feedback_loops;
    if known.is_none_or(|known| known.warmup.feedback_loops != *wanted) {
        let value: Vec<_> = wanted.iter().map(|group| group.as_str()).collect();
        let field = format!("{place}warmup.feedback_loops");
        return Err(reject(
            RejectionCode::Forbidden,
            field,
            &value.join(" "),
            LOOPS,
        ));
    }
    Ok(())
}
