//! What a change of the fleet would do to its hosts, before it is made.
//!
//! The commands are carried out on a copy ([`carried_out`]), each host is planned before and after, and
//! the two plans are compared: `resources` says what differs, `text` how. Everything is bounded: an
//! answer is read by people. Secrets have no text here, only ids and versions.

mod notes;
mod resources;
mod text;

use std::collections::BTreeMap;

use email_engine_protocol::api::HostChange;
use email_engine_protocol::bytes::Commitment;
use email_engine_protocol::desired::Disposition;
use email_engine_protocol::id::{HostId, RequestId};

use super::role::EXTRA;
use super::{cautions, plan};
use crate::command::{Batch, Command, Proposal, Rejection};
use crate::state::{FleetState, Host, PreparedKey, SealedAtRest};

use text::Paper;

/// Hosts that are compared at most; planning takes milliseconds each.
const HOSTS_COMPARED: usize = 2_000;
/// Hosts that are shown at most.
const HOSTS_SHOWN: usize = 100;
/// Hosts that one flag names.
const HOSTS_NAMED: usize = 3;

/// What would change on the hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Hosts that would change, in order of name.
    pub hosts: Vec<HostChange>,
    /// Hosts that were not compared, because there are many.
    pub more: u64,
    /// What whoever asks may not have in mind.
    pub cautions: Vec<String>,
}

/// The fleet as it would be after these commands. `new_keys` are the DKIM keys that they take.
///
/// # Errors
/// The first command that is refused; `apply` would be refused for the same reason.
pub fn carried_out(
    state: &FleetState,
    commands: &[Command],
    new_keys: usize,
) -> Result<FleetState, Rejection> {
    let mut after = state.clone();
    for _ in after.prepared_keys.len()..new_keys {
        let key = stand_in(after.next_prepared_key);
        after.stock_key(key);
    }
    let proposal = Proposal {
        actor: "preview".to_owned(),
        request: RequestId::new("preview-of-a-change").expect("letters and dashes"),
        reason: String::new(),
        now: after.now,
        override_clock: false,
        command: Command::Batch(Batch {
            base_revision: None,
            commands: commands.to_vec(),
        }),
    };
    after.apply(&proposal).0?;
    Ok(after)
}

/// In the place of a key that is made when the change is. It is never opened, for no text shows keys;
/// but it is nobody else's, as the invariants of keys want it.
fn stand_in(number: u64) -> PreparedKey {
    let mut commitment = [0; 32];
    commitment[..8].copy_from_slice(&number.to_be_bytes());
    PreparedKey {
        commitment: Commitment(commitment),
        sealed: SealedAtRest {
            uid: u128::from(number).to_be_bytes(),
            kek_version: 0,
            wrapped_key: Vec::new(),
            ciphertext: Vec::new(),
        },
        public: format!("stand-in {number}"),
    }
}

/// Compares the hosts that may be seen, as they would be with those that are.
#[must_use]
pub fn preview(
    before: &FleetState,
    after: &FleetState,
    may_see: &dyn Fn(&Host) -> bool,
) -> Preview {
    let mut preview = Preview {
        cautions: cautions(before, after, may_see),
        ..Preview::default()
    };
    let mut paper = Paper::default();
    let hosts = after.hosts.iter();
    let seen = hosts.filter(|(_, host)| !host.is_retired() && may_see(host));
    for (at, (id, host)) in seen.enumerate() {
        if at >= HOSTS_COMPARED || preview.hosts.len() >= HOSTS_SHOWN {
            preview.more += 1;
            continue;
        }
        preview
            .hosts
            .extend(compare(before, after, id, host, &mut paper));
    }
    preview.cautions.extend(flags(after, may_see));
    preview
}

/// What every plan says of the hosts that may be seen, whether they would change or not: what they are
/// given that nobody checked. Only hosts with lines of an operator's own are planned for it.
#[must_use]
pub fn flags(state: &FleetState, may_see: &dyn Fn(&Host) -> bool) -> Vec<String> {
    let with_own = |host: &Host| {
        let bundle = state.bundles.get(&host.release.bundle);
        bundle.is_some_and(|bundle| bundle.view(&host.spec).files.contains_key(EXTRA))
    };
    let hosts = state.hosts.iter();
    let seen = hosts.filter(|(_, host)| !host.is_retired() && may_see(host) && with_own(host));
    let mut flagged: BTreeMap<String, Vec<&HostId>> = BTreeMap::new();
    for (id, _) in seen.take(HOSTS_COMPARED) {
        let flags = plan(state, id).map(|planned| planned.flags);
        for flag in flags.unwrap_or_default() {
            flagged.entry(flag).or_default().push(id);
        }
    }
    let told = |(flag, hosts): (&String, &Vec<&HostId>)| {
        let named = hosts.iter().take(HOSTS_NAMED).map(ToString::to_string);
        let mut names: Vec<String> = named.collect();
        if hosts.len() > HOSTS_NAMED {
            names.push(format!("{} more", hosts.len() - HOSTS_NAMED));
        }
        format!("{}: {flag}", names.join(", "))
    };
    flagged.iter().map(told).collect()
}

/// What of a host's new state waits there for an operator's word.
pub(super) fn waits(before: &FleetState, after: &FleetState, id: &HostId) -> Option<String> {
    let (old, new) = (plan(before, id).ok()?, plan(after, id).ok()?);
    notes::waits(&old, &new)
}

fn compare(
    before: &FleetState,
    after: &FleetState,
    id: &HostId,
    host: &Host,
    paper: &mut Paper,
) -> Option<HostChange> {
    let mut change = HostChange {
        host: id.clone(),
        resources: Vec::new(),
        notes: Vec::new(),
        more: 0,
        retired: false,
        error: None,
    };
    let old = before.hosts.get(id).filter(|old| !old.is_retired());
    let old = old.and_then(|_| plan(before, id).ok());
    let new = match plan(after, id) {
        Ok(new) => new,
        Err(error) => {
            // What is broken already is not this change's doing.
            let broken_before = before.hosts.contains_key(id) && old.is_none();
            change.error = Some(error.to_string());
            return (!broken_before).then_some(change);
        }
    };
    if new.config.disposition == Disposition::Retired {
        let told = old.is_some_and(|old| old.config.disposition == Disposition::Active);
        change.retired = !host.is_retired();
        return told.then_some(change);
    }
    let (resources, more) = resources::compare(old.as_ref(), &new, paper);
    (change.resources, change.more) = (resources, more);
    change.notes = notes::of(old.as_ref(), &new);
    (!change.resources.is_empty() || change.more > 0).then_some(change)
}
