//! The firewall: one table of our own, `inet email_engine`; no other is ever touched.
//!
//! New rules are judged first ([`refuse`]), then set in one transaction of nft, and stand only when the
//! agent's other half has made a new connection to a coordinator through them. Else the former rules
//! are put back, at once or by the next life of the agent, and the same rules are not tried again
//! until they change or an operator says so. Nothing is tried while no coordinator can be reached:
//! nothing could confirm it. Rules that are confirmed are put back whenever they are found changed.

mod boot;
mod record;
mod refuse;
mod render;
mod seen;

use std::time::Duration;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{FirewallSpec, HostPath, Spec};
use email_engine_protocol::id::ResourceId;

use self::record::{Confirmed, Record, TakenBack};
use self::seen::Seen;
use super::{ApplyError, Finding, spec_hash};
use crate::host::{Machine, Unreached, WallError};

/// For a new connection before anything is changed. Everything else waits as long.
const BEFORE: Duration = Duration::from_secs(12);
/// What a sandbox knows it by.
const KEY: &str = "firewall";

/// The file in which drift shows.
pub(super) fn watched() -> HostPath {
    boot::unit()
}

pub(super) fn observe(machine: &mut Machine, spec: &FirewallSpec) -> Finding {
    let text = render::render(spec);
    if let Some(stand_in) = machine.system.stand_in() {
        return match stand_in.recorded(KEY) {
            Some(known) if known == text => Finding::Simulated,
            Some(_) => Finding::Differs("other rules".to_owned()),
            None => Finding::Differs("missing".to_owned()),
        };
    }
    let record = Record::read(machine);
    if record.trying.is_some() {
        return Finding::Differs("rules are being tried".to_owned());
    }
    let Some(confirmed) = record.confirmed.filter(|known| known.text == text) else {
        return Finding::Differs("its rules are not these".to_owned());
    };
    match drift(machine, &confirmed) {
        Ok(diff) if diff.is_empty() => Finding::Right,
        Ok(diff) => Finding::Differs(diff.join("; ")),
        Err(error) => Finding::Unknown(error.to_string()),
    }
}

fn drift(machine: &mut Machine, confirmed: &Confirmed) -> Result<Vec<&'static str>, ApplyError> {
    let mut diff = Vec::new();
    match look(machine) {
        Ok(Some(seen)) if seen.digest == confirmed.seen => {}
        Ok(Some(_)) => diff.push("the table inet email_engine was changed"),
        Ok(None) => diff.push("the table inet email_engine is not there"),
        Err(ApplyError::Wall(WallError::Missing(_))) => diff.push("nft is not there"),
        Err(error) => return Err(error),
    }
    if !boot::keeps(machine, &confirmed.text)? {
        diff.push("not set at boot");
    }
    Ok(diff)
}

fn look(machine: &mut Machine) -> Result<Option<Seen>, ApplyError> {
    let listing = machine.wall.table()?;
    let seen = listing.map(|listing| seen::read(&listing)).transpose();
    seen.map_err(|reason| ApplyError::Wall(WallError::Refused(reason)))
}

pub(super) fn apply(
    machine: &mut Machine,
    id: &ResourceId,
    spec: &FirewallSpec,
) -> Result<(), ApplyError> {
    let text = render::render(spec);
    if let Some(stand_in) = machine.system.stand_in() {
        return Ok(stand_in.record(id, KEY, Some(text))?);
    }
    recover(machine)?;
    let mut record = Record::read(machine);
    if record
        .confirmed
        .as_ref()
        .is_some_and(|known| known.text == text)
    {
        return repair(machine, record, &text);
    }
    let rules = spec_hash(&Spec::Firewall(spec.clone()));
    if let Some(over) = record
        .taken_back
        .as_ref()
        .filter(|over| over.rules == rules)
    {
        return Err(ApplyError::Refused(over.reason.clone()));
    }
    refuse::judge(spec, &machine.wall.lifelines()?).map_err(|reason| cut_off(&reason))?;
    let reached = machine.reconnect.anew(BEFORE).map_err(|unreached| {
        let reason = said(unreached);
        ApplyError::Refused(format!(
            "new rules wait until a coordinator can be reached, because only that could confirm them: \
             {reason}"
        ))
    })?;
    refuse::judge_coordinator(spec, reached).map_err(|reason| cut_off(&reason))?;
    // Where nft is not there, or does not answer, nothing is tried.
    look(machine)?;
    record.trying = Some(rules);
    record.write(machine)?;
    attempt(machine, record, spec, &text, rules)
}

fn cut_off(reason: &str) -> ApplyError {
    ApplyError::Refused(format!(
        "nothing was changed, because with these rules {reason}"
    ))
}

fn said(unreached: Unreached) -> String {
    match unreached {
        Unreached::Silent(reason) => reason,
        Unreached::Stopping => "the agent is to end".to_owned(),
    }
}

/// Sets new rules, and lets them stand or not.
fn attempt(
    machine: &mut Machine,
    mut record: Record,
    spec: &FirewallSpec,
    text: &str,
    rules: ContentHash,
) -> Result<(), ApplyError> {
    let seconds = spec.rollback_seconds;
    // What nft does not take changed nothing, and may be mended on the machine.
    let confirmed = set(machine, text).map_err(|error| (error.to_string(), false));
    let confirmed = confirmed.and_then(|seen| {
        let patience = Duration::from_secs(u64::from(seconds));
        match machine.reconnect.anew(patience) {
            Ok(_) => Ok(seen),
            Err(Unreached::Stopping) => Err((said(Unreached::Stopping), false)),
            Err(Unreached::Silent(reason)) => Err((
                format!("no new connection to a coordinator within {seconds} s: {reason}"),
                true,
            )),
        }
    });
    match confirmed {
        Ok(seen) => {
            boot::keep(machine, text)?;
            let text = text.to_owned();
            record = Record {
                confirmed: Some(Confirmed { text, seen }),
                ..Record::default()
            };
            record.write(machine)
        }
        Err((reason, for_good)) => {
            put_back(machine, &record)?;
            tracing::warn!(
                reason,
                "the former rules of the firewall are in force again"
            );
            record.trying = None;
            let over = taken_back(rules, &reason);
            let said = match for_good {
                true => over.reason.clone(),
                false => format!("taken back: {reason}"),
            };
            record.taken_back = for_good.then_some(over).or(record.taken_back);
            record.write(machine)?;
            Err(ApplyError::Refused(said))
        }
    }
}

fn taken_back(rules: ContentHash, reason: &str) -> TakenBack {
    TakenBack {
        rules,
        reason: format!(
            "taken back: {reason}; the former rules are in force, and these are not tried again until \
             they change or an operator has them tried"
        ),
    }
}

/// Confirmed rules are as good as when they were confirmed.
fn repair(machine: &mut Machine, mut record: Record, text: &str) -> Result<(), ApplyError> {
    let known = record.confirmed.as_ref().map(|known| known.seen);
    let is_there = look(machine)?.map(|seen| seen.digest);
    if is_there.is_none() || is_there != known {
        let seen = set(machine, text)?;
        if let Some(confirmed) = record.confirmed.as_mut().filter(|known| known.seen != seen) {
            // Another release of nft tells the same in other words.
            confirmed.seen = seen;
            record.write(machine)?;
        }
    }
    boot::keep(machine, text)
}

/// Sets rules, and says what they list as. A table that lists other rules is not ours.
fn set(machine: &mut Machine, text: &str) -> Result<ContentHash, ApplyError> {
    machine.wall.change(text)?;
    let seen = look(machine)?;
    let seen = seen.filter(|seen| seen.comments == render::comments(text));
    let other = || WallError::Refused("the table lists other rules than were set".to_owned());
    Ok(seen.ok_or_else(other)?.digest)
}

/// Takes back what a former life of the agent was trying when it ended. Nothing else is looked at
/// before.
pub(super) fn recover(machine: &mut Machine) -> Result<(), ApplyError> {
    if machine.system.is_simulated() {
        return Ok(());
    }
    let mut record = Record::read(machine);
    let Some(rules) = record.trying else {
        return Ok(());
    };
    put_back(machine, &record)?;
    tracing::warn!("rules that were being tried when the agent ended are taken back");
    record.trying = None;
    let reason = "the agent was ended while they were tried";
    record.taken_back = Some(taken_back(rules, reason));
    record.write(machine)
}

fn put_back(machine: &mut Machine, record: &Record) -> Result<(), ApplyError> {
    match &record.confirmed {
        Some(confirmed) => {
            machine.wall.change(&confirmed.text)?;
            boot::keep(machine, &confirmed.text)
        }
        None => {
            machine.wall.change(render::REMOVE)?;
            boot::forget(machine)
        }
    }
}

/// Takes our table away, and nothing else.
pub(super) fn remove(machine: &mut Machine, id: &ResourceId) -> Result<(), ApplyError> {
    if let Some(stand_in) = machine.system.stand_in() {
        return Ok(stand_in.record(id, KEY, None)?);
    }
    // Not at boot either, before anything: a removal that is cut off is done again.
    boot::forget(machine)?;
    match machine.wall.change(render::REMOVE) {
        // With nft its tables are not to be changed any more; they go with the next start.
        Ok(()) | Err(WallError::Missing(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Record::forget(machine)
}

#[cfg(test)]
mod tests;
