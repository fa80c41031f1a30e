//! What must be seen of an identity before it sends.

use std::collections::BTreeMap;

use email_engine_protocol::api::{Check, Statement, Verdict};
use email_engine_protocol::time::Timestamp;

/// How long what was seen holds. DNS changes within hours, and what nobody looked at for a day is not
/// known.
pub const FRESH_MILLIS: u64 = Timestamp::DAY;

/// What is known of an identity now, from wherever it comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preflight {
    verdicts: BTreeMap<Check, Verdict>,
    /// An admin takes it as it is.
    pub overruled: bool,
}

impl Preflight {
    /// What the latest statements come to now.
    #[must_use]
    pub fn of(checks: &BTreeMap<Check, Statement>, now: Timestamp) -> Self {
        let verdicts = Check::ALL.into_iter().map(|check| {
            let verdict = match checks.get(&check) {
                None => unknown("nobody has looked"),
                // A time that is still to come is of a clock that was set back: it is as fresh as can be.
                Some(said) if now.since(said.at) > FRESH_MILLIS => unknown(&format!(
                    "{} looked last at {}, which is more than 24 hours ago",
                    said.by, said.at
                )),
                Some(said) => said.verdict.clone(),
            };
            (check, verdict)
        });
        Self {
            verdicts: verdicts.collect(),
            overruled: false,
        }
    }

    /// The same, and an admin takes it as it is, or does not.
    #[must_use]
    pub fn overruled(mut self, overruled: bool) -> Self {
        self.overruled = overruled;
        self
    }

    /// What is not seen to be valid. Nothing when all is well.
    #[must_use]
    pub fn missing(&self) -> BTreeMap<Check, Verdict> {
        let missing = Check::ALL.into_iter().filter_map(|check| {
            let verdict = self.verdicts.get(&check).cloned();
            let verdict = verdict.unwrap_or_else(|| unknown("nobody has looked"));
            (verdict != Verdict::Valid).then_some((check, verdict))
        });
        missing.collect()
    }
}

fn unknown(why: &str) -> Verdict {
    Verdict::Unknown {
        why: why.to_owned(),
    }
}

/// For people: what is missing and why.
pub(super) fn told(missing: &BTreeMap<Check, Verdict>) -> String {
    let one = |(check, verdict): (&Check, &Verdict)| match verdict {
        Verdict::Valid => format!("{check}: valid"),
        Verdict::Invalid { what } => format!("{check}: invalid, {what}"),
        Verdict::Unknown { why } => format!("{check}: not known, {why}"),
    };
    missing.iter().map(one).collect::<Vec<_>>().join("; ")
}
