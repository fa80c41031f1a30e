//! The rules of the warm-up: a table of evidence and verdicts, laws under chance, figures of the schedule.

mod bounds;
mod figures;
mod laws;
mod opens;
mod table;

use std::collections::BTreeSet;

use email_engine_protocol::api::{Phase, WarmupPlan, WarmupSettings};
use email_engine_protocol::id::ReceiverGroup;
use email_engine_protocol::observed::{BounceCategory, Counts, DayCounts};

use super::{Facts, at_phase, day_begins};

/// The day that is judged in these tests.
const TODAY: u32 = 20_000;

fn group(name: &str) -> ReceiverGroup {
    ReceiverGroup::new(name).unwrap()
}

fn plan(phase: Phase, days_ago: u32) -> WarmupPlan {
    at_phase(
        phase,
        &WarmupSettings::default(),
        day_begins(TODAY - days_ago),
    )
}

fn loops() -> BTreeSet<ReceiverGroup> {
    [group("yahoo")].into()
}

fn facts(loops: &BTreeSet<ReceiverGroup>) -> Facts<'_> {
    Facts {
        is_read: true,
        loops,
        opens: None,
        obstacle: None,
    }
}

/// What one day came to: delivered, hard bounces, refusals as spam, deferred, complaints.
fn counts([delivered, bounced, spam, deferred, complaints]: [u64; 5]) -> Counts {
    let mut counts = Counts {
        sent: delivered + bounced + spam,
        delivered,
        bounced,
        deferred,
        complaints,
        ..Counts::NONE
    };
    counts.categories.0[BounceCategory::BadMailbox as usize] = bounced;
    counts.categories.0[BounceCategory::SpamRelated as usize] = spam;
    counts
}

/// Each of the seven days before [`TODAY`] so, all at one group.
fn week(at: &str, each: [u64; 5]) -> Vec<DayCounts> {
    days(at, [each; 7])
}

fn days(at: &str, days: [[u64; 5]; 7]) -> Vec<DayCounts> {
    let day = |(number, each)| DayCounts {
        day: number,
        groups: [(group(at), counts(each))].into(),
    };
    (TODAY - 7..TODAY).zip(days).map(day).collect()
}
