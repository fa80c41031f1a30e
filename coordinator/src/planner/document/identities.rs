//! Identities of a file: filled in, checked for place, compared.

use email_engine_protocol::api::{FleetDocument, IpDocument, IpSpec};
use email_engine_protocol::id::{HostId, IdError, Role};

use super::check::names;
use super::order::{Move, Stride, order};
use super::{DocumentPlan, Wanted, lives, reject};
use crate::command::refuse::{sending_address, text};
use crate::command::{
    AddIdentity, ChangeIdentity, Command, Rejection, RejectionCode, is_on_its_host,
};
use crate::powermta;
use crate::state::{FleetState, Identity, Said};

/// Every identity of the file with everything decided, in the file's order.
pub(super) fn resolve(
    state: &FleetState,
    document: &FleetDocument,
    wanted: &Wanted<'_>,
) -> Result<Vec<IpSpec>, Rejection> {
    document
        .ips
        .iter()
        .enumerate()
        .map(|(index, ip)| {
            let old = state.identities.get(&ip.address);
            let spec = resolve_one(state, index, ip, old.map(|old| &**old), wanted)?;
            check_host(index, &spec, wanted)?;
            check_values(index, &spec)?;
            Ok(spec)
        })
        .collect()
}

fn resolve_one(
    state: &FleetState,
    index: usize,
    ip: &IpDocument,
    old: Option<&Identity>,
    wanted: &Wanted<'_>,
) -> Result<IpSpec, Rejection> {
    let Some(tenant) = wanted.tenants.get(&ip.tenant) else {
        let known = names(wanted.tenants.keys());
        let field = format!("ips[{index}].tenant");
        return Err(reject(RejectionCode::NotFound, field, &ip.tenant, known));
    };
    let identity = old.filter(|old| old.spec.tenant == ip.tenant);
    let same_tenant = identity.map(|old| &old.spec);
    let mut ip = lives::said_anew(ip, identity);
    // The selector that it said before is no news either: rotations gave others since.
    let said = identity.map(|identity| &identity.signing.declared);
    ip.selector = ip.selector.filter(|selector| Some(selector) != said);
    let ip = &ip;
    let host = match (&ip.host, same_tenant) {
        (Some(host), _) => host.clone(),
        (None, Some(old)) => old.host.clone(),
        (None, None) => default_host(index, ip, wanted)?,
    };
    let filled = match same_tenant {
        Some(old) => keep(ip, old),
        None => ip.clone(),
    };
    let resolved = filled
        .resolve(host, &tenant.name, &wanted.settings)
        .map_err(|error: IdError| {
            reject(
                RejectionCode::Invalid,
                format!("ips[{index}]"),
                &error.got,
                format!(
                    "the default {} cannot be used ({}): write it",
                    error.what, error.rule
                ),
            )
        });
    lives::stands(state, index, ip, resolved?, identity)
}

/// What the file leaves open stays as it is. Names that followed the domain follow the new one.
fn keep(ip: &IpDocument, old: &IpSpec) -> IpDocument {
    let mut filled = ip.clone();
    let follows = |name| (name == &old.domain).then(|| ip.domain.clone());
    filled.hostname = filled
        .hostname
        .or_else(|| follows(&old.hostname).or_else(|| Some(old.hostname.clone())));
    filled.zone = filled
        .zone
        .or_else(|| follows(&old.zone).or_else(|| Some(old.zone.clone())));
    filled.sender = filled.sender.or_else(|| Some(old.sender.clone()));
    filled.display_name = filled
        .display_name
        .or_else(|| Some(old.display_name.clone()));
    filled.return_path = filled.return_path.or_else(|| Some(old.return_path.clone()));
    filled.selector = filled.selector.or_else(|| Some(old.selector.clone()));
    filled.purpose = filled.purpose.or(Some(old.purpose));
    filled.pool = filled.pool.or_else(|| Some(old.pool.clone()));
    filled.vmta = filled.vmta.or_else(|| Some(old.vmta.clone()));
    filled.status = filled.status.or(Some(old.status));
    filled.phase = filled.phase.or(Some(old.phase));
    filled.planned_daily = filled.planned_daily.or(Some(old.planned_daily));
    filled.reserve = filled.reserve.or(Some(old.reserve));
    filled
}

/// The tenant's only PowerMTA host; without one of its own, the only shared one.
fn default_host(index: usize, ip: &IpDocument, wanted: &Wanted<'_>) -> Result<HostId, Rejection> {
    let hosts = || {
        wanted
            .hosts
            .values()
            .filter(|host| host.role == Role::Powermta)
    };
    let own: Vec<_> = hosts()
        .filter(|host| host.tenant.as_ref() == Some(&ip.tenant))
        .collect();
    let candidates = if own.is_empty() {
        hosts().filter(|host| host.tenant.is_none()).collect()
    } else {
        own
    };
    match candidates.as_slice() {
        [only] => Ok(only.id.clone()),
        [] => Err(reject(
            RejectionCode::NotFound,
            format!("ips[{index}].host"),
            "",
            "declare a powermta host for its tenant, or one without a tenant",
        )),
        several => Err(reject(
            RejectionCode::Invalid,
            format!("ips[{index}].host"),
            "",
            format!(
                "several hosts may have it: write host = \"...\" with {}",
                names(several.iter().map(|host| &host.id))
            ),
        )),
    }
}

fn check_host(index: usize, spec: &IpSpec, wanted: &Wanted<'_>) -> Result<(), Rejection> {
    let place = |field: &str| format!("ips[{index}].{field}");
    let usable = wanted.hosts.values().filter(|host| {
        host.role == Role::Powermta
            && host
                .tenant
                .as_ref()
                .is_none_or(|tenant| *tenant == spec.tenant)
    });
    let Some(host) = wanted.hosts.get(&spec.host) else {
        let known = names(usable.map(|host| &host.id));
        return Err(reject(
            RejectionCode::NotFound,
            place("host"),
            &spec.host,
            known,
        ));
    };
    if host.role != Role::Powermta {
        let known = format!(
            "it is a {} host; {}",
            host.role,
            names(usable.map(|host| &host.id))
        );
        return Err(reject(
            RejectionCode::WrongRole,
            place("host"),
            &spec.host,
            known,
        ));
    }
    if host
        .tenant
        .as_ref()
        .is_some_and(|tenant| *tenant != spec.tenant)
    {
        let known = format!(
            "it belongs to another tenant; {}",
            names(usable.map(|host| &host.id))
        );
        return Err(reject(
            RejectionCode::ForeignTenant,
            place("host"),
            &spec.host,
            known,
        ));
    }
    Ok(())
}

/// What can be judged by the identity alone.
fn check_values(index: usize, spec: &IpSpec) -> Result<(), Rejection> {
    let place = |field: &str| format!("ips[{index}].{field}");
    let own = sending_address("address", spec.address)
        .and_then(|()| text("display_name", &spec.display_name));
    own.map_err(|rejection| Rejection {
        field: place(&rejection.field),
        ..rejection
    })?;
    if powermta::is_reserved(&spec.vmta) {
        let accepted = "a name that begins neither with 'reject-' nor with 'fleet-'";
        return Err(reject(
            RejectionCode::Invalid,
            place("vmta"),
            &spec.vmta,
            accepted,
        ));
    }
    if !powermta::is_selector(&spec.selector) {
        let accepted = "one lower-case DNS label, such as mail";
        return Err(reject(
            RejectionCode::Invalid,
            place("selector"),
            &spec.selector,
            accepted,
        ));
    }
    if !spec.domain.is_within(&spec.zone) {
        let accepted = format!("{} or a domain above it", spec.domain);
        return Err(reject(
            RejectionCode::Invalid,
            place("zone"),
            &spec.zone,
            accepted,
        ));
    }
    Ok(())
}

/// Adds and changes what differs. Where only the file's words do, they are remembered, and nothing is told.
pub(super) fn compare(
    plan: &mut DocumentPlan,
    state: &FleetState,
    document: &FleetDocument,
    identities: &[IpSpec],
) -> Result<(), Rejection> {
    let (mut moves, mut words, mut new_keys) = (Vec::new(), Vec::new(), 0);
    for (index, new) in identities.iter().enumerate() {
        let identity = state.identities.get(&new.address);
        let (old, said) = (
            identity.map(|old| &old.spec),
            Said::of(&document.ips[index]),
        );
        if let Some(old) = old.filter(|old| old.tenant != new.tenant) {
            return Err(other_tenant(index, old, new));
        }
        if plan.compare("ip", &new.address.to_string(), old, new) {
            let signs_anew =
                |old: &IpSpec| old.domain != new.domain || old.selector != new.selector;
            new_keys += usize::from(old.is_some_and(signs_anew));
            if let Some(left) = leaves(state, new) {
                plan.tell_last(left);
            }
            if let Some(begins) = lives::begins(state, new).filter(|_| old.is_none()) {
                plan.tell_last(begins);
            }
            moves.push(Move { old, new });
            words.push(said);
        } else if identity.is_some_and(|one| one.life.said != one.life.said.with(said)) {
            moves.push(Move { old, new });
            words.push(said);
        }
    }
    if new_keys > 0 {
        plan.warnings.push(format!(
            "{new_keys} identities that exist get new DKIM keys with their new domain or selector: \
             publish their records anew (`email-engine domains`) before they send"
        ));
    }
    let mut now: Vec<Option<&IpSpec>> = moves.iter().map(|it| it.old).collect();
    let strides = order(&moves);
    for Stride { of, ip } in &strides {
        let has_key = |old: &IpSpec| old.domain == ip.domain && old.selector == ip.selector;
        if !now[*of].is_some_and(has_key) {
            plan.new_identities += 1;
        }
        let (is_new, ip, said) = (now[*of].replace(ip).is_none(), ip.clone(), words[*of]);
        plan.commands.push(match is_new {
            true => Command::AddIdentity(AddIdentity { ip, said }),
            false => Command::ChangeIdentity(ChangeIdentity { ip, said }),
        });
    }
    Ok(())
}

/// What an identity leaves behind that goes to another host, or gets another virtual MTA.
fn leaves(state: &FleetState, new: &IpSpec) -> Option<String> {
    let identity = state.identities.get(&new.address)?;
    let old = &identity.spec;
    let stays = (&old.host, &old.vmta) == (&new.host, &new.vmta);
    (!stays && is_on_its_host(state, identity)).then(|| {
        format!(
            "{} drains on {} until its queue is empty; mail that waits there can leave only while that \
             host still has the address",
            old.vmta, old.host
        )
    })
}

fn other_tenant(index: usize, old: &IpSpec, new: &IpSpec) -> Rejection {
    let accepted = format!(
        "{}, whose it is: key, pool and reputation are a tenant's own and do not change hands; to \
         begin anew for {}, run `email-engine ips remove {}` and apply the file again",
        old.tenant, new.tenant, new.address
    );
    let field = format!("ips[{index}].tenant");
    reject(RejectionCode::ForeignTenant, field, &new.tenant, accepted)
}
