//! All or nothing.

use super::apply::step;
use super::host::shares_no_address;
use super::refuse::{at_most, refuse};
use super::verb::Turn;
use super::{AddHost, Batch, ChangeHost, Command, Effect, Rejection, RejectionCode};
use crate::state::FleetState;

/// Most commands of one batch.
const COMMANDS: usize = 50_000;

/// Runs the commands on a copy and keeps the copy when all went through. The rows that make a fleet
/// large are shared between the two, so that the copy costs the maps alone.
pub(super) fn run(
    state: &mut FleetState,
    batch: &Batch,
    turn: &mut Turn<'_>,
) -> Result<Effect, Rejection> {
    if let Some(base) = batch.base_revision.filter(|base| *base != state.revision) {
        let accepted = format!("{}: the fleet changed, look again", state.revision);
        return Err(refuse(
            RejectionCode::StaleRevision,
            "base_revision",
            &base,
            accepted,
        ));
    }
    at_most("commands", batch.commands.len(), COMMANDS)?;
    let mut copy = state.clone();
    let mut effects = Vec::with_capacity(batch.commands.len());
    turn.in_batch = true;
    for (at, command) in batch.commands.iter().enumerate() {
        let effect = one(&mut copy, command, turn).map_err(|rejection| Rejection {
            field: format!("commands[{at}].{}", rejection.field),
            ..rejection
        })?;
        effects.push(effect);
    }
    hosts_share_no_address(&copy, &batch.commands)?;
    *state = copy;
    Ok(Effect::Batch(effects))
}

/// Judged at the end: an address may move from one host to another within a batch.
fn hosts_share_no_address(state: &FleetState, commands: &[Command]) -> Result<(), Rejection> {
    let declared = commands.iter().enumerate().filter_map(|(at, command)| {
        let (Command::AddHost(AddHost { host }) | Command::ChangeHost(ChangeHost { host })) =
            command
        else {
            return None;
        };
        Some((at, host))
    });
    for (at, host) in declared {
        shares_no_address(state, host).map_err(|rejection| Rejection {
            field: format!("commands[{at}].{}", rejection.field),
            ..rejection
        })?;
    }
    Ok(())
}

fn one(
    state: &mut FleetState,
    command: &Command,
    turn: &mut Turn<'_>,
) -> Result<Effect, Rejection> {
    let verb = match command {
        Command::Batch(_) | Command::Found(_) | Command::Recover(_) => None,
        _ => command.verb(),
    };
    let Some(verb) = verb else {
        let accepted = "no batch, founding or recovery: each is a proposal of its own";
        let name = command.verb().map_or("batch", |verb| verb.name());
        return Err(refuse(RejectionCode::Invalid, "command", &name, accepted));
    };
    step(state, verb, turn)
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::Role;

    use crate::command::fixture::{Fleet, found, host, identity, tenant};
    use crate::command::{
        AddHost, AddIdentity, Batch, ChangeHost, ChangeTenant, Command, CreateTenant, Effect,
        RejectionCode,
    };

    fn batch(base_revision: Option<u64>, commands: Vec<Command>) -> Command {
        Command::Batch(Batch {
            base_revision,
            commands,
        })
    }

    fn add(at: u32) -> Command {
        Command::AddIdentity(AddIdentity::of(identity(at)))
    }

    #[test]
    fn identity_57_of_100_is_bad_and_none_is_added() {
        let mut fleet = Fleet::with_identities(0);
        fleet.accept(fleet.stock(100));
        let mut commands: Vec<_> = (0..100).map(add).collect();
        let mut bad = identity(56);
        bad.domain = identity(3).domain;
        bad.zone = bad.domain.clone();
        commands[56] = Command::AddIdentity(AddIdentity::of(bad));
        let rejection = fleet.refuse(batch(None, commands));
        assert_eq!(rejection.code, RejectionCode::Duplicate);
        assert_eq!(rejection.field, "commands[56].domain");
        assert!(fleet.state.identities.is_empty());
    }

    #[test]
    fn each_change_has_its_own_revision_and_audit_entry_and_unchanged_ones_have_none() {
        let mut fleet = Fleet::with_identities(0);
        let before = fleet.state.revision;
        let same = Command::ChangeTenant(ChangeTenant {
            tenant: tenant("client-1"),
        });
        let outcome = fleet.accept(batch(Some(before), vec![add(0), same, add(1)]));
        let effects = vec![Effect::Done, Effect::Unchanged, Effect::Done];
        assert_eq!(
            (outcome.effect, outcome.revision),
            (Effect::Batch(effects), before + 2)
        );
        let requests: Vec<_> = fleet
            .state
            .audit
            .iter()
            .rev()
            .take(2)
            .map(|entry| &entry.request)
            .collect();
        assert_eq!(requests[0], requests[1]);
    }

    #[test]
    fn a_batch_that_was_made_for_another_revision_is_refused() {
        let mut fleet = Fleet::with_identities(0);
        let base = fleet.state.revision;
        fleet.accept(Command::CreateTenant(CreateTenant {
            tenant: tenant("client-2"),
        }));
        let rejection = fleet.refuse(batch(Some(base), vec![add(0)]));
        assert_eq!(rejection.code, RejectionCode::StaleRevision);
        fleet.accept(batch(None, vec![add(0)]));
    }

    #[test]
    fn batches_do_not_nest_and_found_no_cluster() {
        let mut fleet = Fleet::with_identities(0);
        let found = Command::Found(Box::new(found()));
        for bad in [batch(None, vec![]), found] {
            let rejection = fleet.refuse(batch(None, vec![add(0), bad]));
            assert_eq!(rejection.field, "commands[1].command");
        }
    }

    #[test]
    fn an_address_moves_between_hosts_of_two_tenants_and_is_never_shared() {
        let mut fleet = Fleet::with_content();
        for name in ["client-1", "client-2"] {
            let tenant = tenant(name);
            fleet.accept(Command::CreateTenant(CreateTenant { tenant }));
        }
        let of = |name: &str, owner: &str, at: u8, and: Option<u8>| {
            let mut spec = host(name, Role::Mailwizz, at);
            spec.tenant = Some(tenant(owner).id);
            let more = and.map(|at| host(name, Role::Mailwizz, at).addresses[0]);
            spec.addresses.extend(more);
            spec
        };
        let add = |host| Command::AddHost(AddHost { host });
        let change = |host| Command::ChangeHost(ChangeHost { host });
        fleet.accept(add(of("mw1", "client-1", 1, Some(9))));
        fleet.accept(add(of("mw2", "client-2", 2, None)));
        let taken = of("mw2", "client-2", 2, Some(9));
        for alone in [
            change(taken.clone()),
            add(of("mw3", "client-2", 3, Some(9))),
        ] {
            let refused = fleet.refuse(alone.clone());
            let told = (refused.code, &*refused.field);
            assert_eq!(told, (RejectionCode::Duplicate, "addresses[1]"));
            let refused = fleet.refuse(batch(None, vec![alone]));
            assert_eq!(refused.field, "commands[0].addresses[1]");
        }
        fleet.accept(add(of("mw4", "client-1", 4, Some(9))));
        let moved = [
            change(taken),
            change(of("mw1", "client-1", 1, None)),
            change(of("mw4", "client-1", 4, None)),
        ];
        fleet.accept(batch(None, moved.to_vec()));
    }
}
