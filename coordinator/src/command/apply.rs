//! The way into the state: the gate, the memory of answers, the verb, the audit.
//!
//! Three decisions live here.
//! - Answers are remembered whether they accept or refuse: whoever repeats a request because its
//!   outcome was unclear must be told that outcome, not a second judgement. Not remembered are
//!   refusals of the clock gate (another leader's clock may be right) and reported outcomes, which are
//!   harmless to repeat and would crowd out the answers that people wait for.
//! - A refusal leaves every table, the revision and the fleet's clock as they were; only the answer
//!   itself is kept.
//! - Reported outcomes do not change the fleet: no audit entry, no revision, or the operator's base
//!   revision would be stale each time a host converges. The shell still wakes whoever watches the
//!   applied index. Whatever else the system does by itself (targets, stocked keys, certificates) is a
//!   change, audited under `node N` or `host NAME`.

use std::io;
use std::sync::Arc;

use ring::digest;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::time::Timestamp;

use super::refuse::{cut, refuse};
use super::verb::{Change, Turn, Verb};
use super::{
    Answer, BodyChange, Command, Effect, Outcome, Proposal, Rejection, RejectionCode, batch,
};
use crate::fleet;
use crate::state::{AuditEntry, FleetState, Remembered};

/// Furthest that a proposal may move the fleet's clock.
pub(crate) const CLOCK_AHEAD_MILLIS: u64 = Timestamp::DAY;
/// Most answers that are remembered.
const REMEMBERED: usize = 10_000;
/// How long an answer is remembered.
const REMEMBERED_MILLIS: u64 = Timestamp::DAY;
/// Most audit entries that are kept.
pub(crate) const AUDIT_ENTRIES: usize = 50_000;
/// Longest text of an audit entry, in characters.
const AUDIT_CHARS: usize = 500;

impl FleetState {
    /// Carries a proposal out, or refuses it. The same proposals in the same order give the same bytes
    /// of state on every node.
    ///
    /// # Panics
    /// In debug builds, when a command broke an invariant of the fleet.
    pub fn apply(&mut self, proposal: &Proposal) -> (Answer, Vec<BodyChange>) {
        let hash = hash_of(&proposal.command);
        if let Some(first) = self.remembered.get(&proposal.request) {
            return (repeat(first, proposal, hash), Vec::new());
        }
        if let Err(rejection) = gate(self, proposal) {
            return (Err(rejection), Vec::new());
        }
        let mut turn = Turn::new(proposal);
        let answer = run(self, &proposal.command, &mut turn).map(|effect| Outcome {
            revision: self.revision,
            effect,
        });
        if answer.is_ok() {
            self.now = proposal.now;
        } else {
            turn.bodies.clear();
        }
        if is_remembered(&proposal.command) {
            remember(self, proposal, &answer, hash);
        }
        if cfg!(debug_assertions)
            && fleet::is_small(self)
            && let Err(violation) = fleet::check(self)
        {
            panic!("{violation} after {:?}", name(&proposal.command));
        }
        (answer, turn.bodies)
    }
}

/// Runs a command inside its turn.
fn run(
    state: &mut FleetState,
    command: &Command,
    turn: &mut Turn<'_>,
) -> Result<Effect, Rejection> {
    match (command, command.verb()) {
        (Command::Batch(batch), _) => batch::run(state, batch, turn),
        (_, Some(verb)) => step(state, verb, turn),
        (_, None) => unreachable!("every command but a batch has a verb"),
    }
}

/// Runs one verb; its audit entry and revision come in the same step.
pub(super) fn step(
    state: &mut FleetState,
    verb: &dyn Verb,
    turn: &mut Turn<'_>,
) -> Result<Effect, Rejection> {
    if state.cluster.is_none() && verb.name() != "found" {
        let accepted = "the cluster is founded first";
        return Err(refuse(
            RejectionCode::ClusterState,
            "command",
            &verb.name(),
            accepted,
        ));
    }
    let effect = match verb.apply(state, turn)? {
        Change::Kept(effect) => return Ok(effect),
        Change::Made(effect) => effect,
    };
    if verb.is_change_of_fleet() {
        state.revision += 1;
        audit(state, verb, turn);
    }
    Ok(effect)
}

fn audit(state: &mut FleetState, verb: &dyn Verb, turn: &Turn<'_>) {
    let proposal = turn.proposal;
    state.audit.push(Arc::new(AuditEntry {
        sequence: state.next_audit,
        at: proposal.now,
        actor: cut(&proposal.actor, AUDIT_CHARS),
        request: proposal.request.clone(),
        command: verb.name().to_owned(),
        object: cut(&verb.object(), AUDIT_CHARS),
        reason: cut(&proposal.reason, AUDIT_CHARS),
        revision: state.revision,
    }));
    state.next_audit += 1;
    while state.audit.len() > AUDIT_ENTRIES {
        state.audit.pop_first();
    }
}

/// Every change has an author. The first command of a cluster's life sets the clock; an admin may move
/// it either way, and `tell-time` answers for itself when it goes further than a day.
fn gate(state: &FleetState, proposal: &Proposal) -> Result<(), Rejection> {
    if proposal.actor.is_empty() {
        return Err(refuse(
            RejectionCode::Invalid,
            "actor",
            &"",
            "who proposes, such as `key NAME`",
        ));
    }
    let latest = state.now.plus(CLOCK_AHEAD_MILLIS);
    let fits = (state.now..=latest).contains(&proposal.now);
    let tells = matches!(proposal.command, Command::TellTime(_)) && proposal.now > latest;
    if fits || tells || proposal.override_clock || state.cluster.is_none() {
        return Ok(());
    }
    let accepted = format!("{} to {latest}; an admin can override it", state.now);
    Err(refuse(RejectionCode::Clock, "now", &proposal.now, accepted))
}

fn repeat(first: &Remembered, proposal: &Proposal, hash: ContentHash) -> Answer {
    if first.command == hash {
        return first.answer.clone();
    }
    let accepted = format!(
        "an id of its own: {} took this one for another command",
        first.at
    );
    Err(refuse(
        RejectionCode::RequestReused,
        "request",
        &proposal.request,
        accepted,
    ))
}

fn is_remembered(command: &Command) -> bool {
    match command {
        Command::Batch(batch) => batch.commands.iter().any(is_remembered),
        _ => command.verb().is_some_and(Verb::is_change_of_fleet),
    }
}

fn remember(state: &mut FleetState, proposal: &Proposal, answer: &Answer, hash: ContentHash) {
    let row = Remembered {
        answer: answer.clone(),
        at: proposal.now,
        command: hash,
    };
    state
        .remembered
        .insert(proposal.request.clone(), Arc::new(row));
    state.remembered_order.push(proposal.request.clone());
    while let Some(oldest) = state.remembered_order.first() {
        let expired = state
            .remembered
            .get(oldest)
            .is_none_or(|row| proposal.now.since(row.at) > REMEMBERED_MILLIS);
        if !expired && state.remembered_order.len() <= REMEMBERED {
            break;
        }
        state.remembered.remove(oldest);
        state.remembered_order.pop_first();
    }
}

fn name(command: &Command) -> &'static str {
    command.verb().map_or("batch", Verb::name)
}

/// SHA-256 of the command's encoding, without holding that encoding: it may be tens of megabytes.
fn hash_of(command: &Command) -> ContentHash {
    struct Hashing(digest::Context);
    impl io::Write for Hashing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let hashing = Hashing(digest::Context::new(&digest::SHA256));
    let hashing = postcard::to_io(command, hashing).expect("a command serialises");
    let mut out = [0; 32];
    out.copy_from_slice(hashing.0.finish().as_ref());
    ContentHash(out)
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::RequestId;

    use super::*;
    use crate::command::fixture::{Fleet, SECOND, tenant};
    use crate::command::{CreateTenant, RemoveTenant};

    fn create(name: &str) -> Command {
        Command::CreateTenant(CreateTenant {
            tenant: tenant(name),
        })
    }

    #[test]
    fn a_change_has_an_audit_entry_and_a_revision() {
        let mut fleet = Fleet::founded();
        let outcome = fleet.accept(create("client-1"));
        let entry = fleet.state.audit.last().unwrap();
        assert_eq!(entry.revision, outcome.revision);
        assert_eq!(
            (&*entry.actor, &*entry.command),
            ("key admin", "create-tenant")
        );
        assert_eq!(
            (&*entry.object, entry.at),
            ("tenant client-1", fleet.state.now)
        );
    }

    #[test]
    fn a_repeated_request_gets_its_first_answer_whether_yes_or_no() {
        let mut fleet = Fleet::founded();
        let yes = fleet.proposal(create("client-1"));
        let first = fleet.state.apply(&yes);
        let no = fleet.proposal(create("client-1"));
        let refused = fleet.state.apply(&no);
        assert!(first.0.is_ok() && refused.0.is_err());
        let tenant = tenant("client-1").id;
        fleet.accept(Command::RemoveTenant(RemoveTenant { tenant }));
        let state = fleet.state.clone();
        assert_eq!(fleet.state.apply(&yes).0, first.0);
        assert_eq!(
            fleet.state.apply(&no).0,
            refused.0,
            "though it would be accepted by now"
        );
        assert_eq!(fleet.state, state);
    }

    #[test]
    fn another_command_under_the_same_request_id_is_refused() {
        let mut fleet = Fleet::founded();
        let first = fleet.proposal(create("client-1"));
        fleet.state.apply(&first).0.unwrap();
        let other = Proposal {
            command: create("client-2"),
            ..first.clone()
        };
        let rejection = fleet.state.apply(&other).0.unwrap_err();
        assert_eq!(rejection.code, RejectionCode::RequestReused);
        assert!(
            fleet.state.apply(&first).0.is_ok(),
            "the first answer is still remembered"
        );
    }

    #[test]
    fn answers_are_remembered_for_a_day_and_up_to_a_bound() {
        let mut fleet = Fleet::founded();
        let first = fleet.proposal(create("client-1"));
        fleet.state.apply(&first).0.unwrap();
        fleet.wait(Timestamp::DAY - SECOND);
        fleet.accept(create("client-2"));
        assert!(fleet.state.remembered.contains_key(&first.request));
        fleet.wait(2 * SECOND);
        fleet.accept(create("client-3"));
        assert!(!fleet.state.remembered.contains_key(&first.request));
        let row = fleet.state.remembered.values().next().unwrap().clone();
        for at in 0..REMEMBERED {
            let request = RequestId::new(format!("filler-{at}")).unwrap();
            fleet
                .state
                .remembered
                .insert(request.clone(), Arc::clone(&row));
            fleet.state.remembered_order.push(request);
        }
        fleet.accept(create("client-4"));
        assert_eq!(fleet.state.remembered.len(), REMEMBERED);
        assert_eq!(fleet.state.remembered_order.len(), REMEMBERED);
    }

    #[test]
    fn the_clock_goes_neither_back_nor_a_day_ahead_unless_an_admin_says_so() {
        let mut fleet = Fleet::founded();
        let now = fleet.state.now;
        for (clock, fits) in [
            (Timestamp(now.0 - 1), false),
            (now, true),
            (now.plus(Timestamp::DAY), true),
            (now.plus(Timestamp::DAY + 1), false),
        ] {
            let mut copy = fleet.clone();
            let proposal = Proposal {
                now: clock,
                ..copy.proposal(create("client-1"))
            };
            let answer = copy.state.apply(&proposal).0;
            assert_eq!(answer.is_ok(), fits, "{answer:?}");
            if let Err(rejection) = answer {
                assert_eq!(rejection.code, RejectionCode::Clock);
                assert_eq!(
                    copy.state, fleet.state,
                    "not even remembered: another clock may be right"
                );
                let forced = Proposal {
                    override_clock: true,
                    ..proposal
                };
                copy.state.apply(&forced).0.unwrap();
            }
            assert_eq!(copy.state.now, clock);
        }
        fleet.accept(create("client-1"));
    }

    #[test]
    fn a_refusal_leaves_the_clock_alone_and_nobody_proposes_without_a_name() {
        let mut fleet = Fleet::founded();
        let now = fleet.state.now;
        fleet.wait(SECOND);
        let tenant = tenant("nobody").id;
        fleet.refuse(Command::RemoveTenant(RemoveTenant { tenant }));
        assert_eq!(fleet.state.now, now);
        let nameless = Proposal {
            actor: String::new(),
            ..fleet.proposal(create("client-1"))
        };
        assert_eq!(fleet.state.apply(&nameless).0.unwrap_err().field, "actor");
    }

    #[test]
    fn the_audit_is_bounded_and_the_oldest_go() {
        let mut fleet = Fleet::founded();
        let row = Arc::clone(fleet.state.audit.first().unwrap());
        fleet.state.audit = std::iter::repeat_n(row, AUDIT_ENTRIES).collect();
        fleet.accept(create("client-1"));
        assert_eq!(fleet.state.audit.len(), AUDIT_ENTRIES);
        assert_eq!(fleet.state.audit.last().unwrap().object, "tenant client-1");
    }
}
