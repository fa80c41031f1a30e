//! Schedule and lines of the warm-up: the fleet's, and what a tenant makes tighter.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::api::Phase;
use crate::id::ReceiverGroup;

/// Schedule and lines of a fleet. Rates are in ten-thousandths: 500 is 5 %.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WarmupSettings {
    /// Mails a day in `week_1` to `week_6`.
    pub quotas: [u32; 6],
    /// Days that a phase lasts at least.
    pub least_days: u32,
    /// Mails a day that an identity grows to after `week_6`.
    pub target: u32,
    /// Growth a day after `week_6`, in percent.
    pub growth_percent: u32,
    /// Part of the quota that counts as used, in percent.
    pub used_percent: u32,
    /// On how many of the last seven days it must have been used.
    pub used_days: u32,
    /// How long a broken line pauses.
    pub pause_days: u32,
    /// Hard bounces above this pause.
    pub pause_bounces: u32,
    /// Complaints above this pause.
    pub pause_complaints: u32,
    /// Refusals as spam or by policy above this pause, at any group of receivers.
    pub pause_blocks: u32,
    /// Deferrals above this pause.
    pub pause_deferrals: u32,
    /// Hard bounces above this stop.
    pub stop_bounces: u32,
    /// Complaints above this stop.
    pub stop_complaints: u32,
    /// Refusals as spam or by policy above this stop, at any group of receivers.
    pub stop_blocks: u32,
    /// Opens below this hold.
    pub least_opens: u32,
}

impl Default for WarmupSettings {
    fn default() -> Self {
        Self {
            quotas: [50, 100, 250, 500, 1_000, 2_000],
            least_days: 7,
            target: 10_000,
            growth_percent: 20,
            used_percent: 60,
            used_days: 5,
            pause_days: 7,
            pause_bounces: 500,
            pause_complaints: 10,
            pause_blocks: 500,
            pause_deferrals: 3_000,
            stop_bounces: 1_000,
            stop_complaints: 30,
            stop_blocks: 2_000,
            least_opens: 1_000,
        }
    }
}

/// What a tenant makes tighter than the fleet has it; what is absent is the fleet's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantWarmup {
    /// Receivers at which feedback loops are enrolled for this tenant's addresses: complaints are
    /// measured there and nowhere else.
    pub feedback_loops: BTreeSet<ReceiverGroup>,
    /// See [`WarmupSettings::quotas`].
    pub quotas: Option<[u32; 6]>,
    /// See [`WarmupSettings::least_days`].
    pub least_days: Option<u32>,
    /// See [`WarmupSettings::target`].
    pub target: Option<u32>,
    /// See [`WarmupSettings::growth_percent`].
    pub growth_percent: Option<u32>,
    /// See [`WarmupSettings::used_percent`].
    pub used_percent: Option<u32>,
    /// See [`WarmupSettings::used_days`].
    pub used_days: Option<u32>,
    /// See [`WarmupSettings::pause_days`].
    pub pause_days: Option<u32>,
    /// See [`WarmupSettings::pause_bounces`].
    pub pause_bounces: Option<u32>,
    /// See [`WarmupSettings::pause_complaints`].
    pub pause_complaints: Option<u32>,
    /// See [`WarmupSettings::pause_blocks`].
    pub pause_blocks: Option<u32>,
    /// See [`WarmupSettings::pause_deferrals`].
    pub pause_deferrals: Option<u32>,
    /// See [`WarmupSettings::stop_bounces`].
    pub stop_bounces: Option<u32>,
    /// See [`WarmupSettings::stop_complaints`].
    pub stop_complaints: Option<u32>,
    /// See [`WarmupSettings::stop_blocks`].
    pub stop_blocks: Option<u32>,
    /// See [`WarmupSettings::least_opens`].
    pub least_opens: Option<u32>,
}

/// A value that a setting may not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {value} is not accepted: {accepted}")]
pub struct WarmupBound {
    /// Which setting.
    pub field: &'static str,
    /// The refused value.
    pub value: u32,
    /// What would be accepted.
    pub accepted: String,
}

/// Most mails a day of one identity.
const MOST: u32 = 50_000;
/// Least quota: of less, a week's results are too few to be judged.
const LEAST: u32 = 20;
/// All of something, in ten-thousandths.
const ALL: u32 = 10_000;
const WEEKS: [&str; 6] = ["week_1", "week_2", "week_3", "week_4", "week_5", "week_6"];
const WEEK_FIELDS: [&str; 6] = [
    "quotas[0]",
    "quotas[1]",
    "quotas[2]",
    "quotas[3]",
    "quotas[4]",
    "quotas[5]",
];

fn within(field: &'static str, value: u32, least: u32, most: u32) -> Result<(), WarmupBound> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let accepted = format!("{least} to {most}");
    Err(WarmupBound {
        field,
        value,
        accepted,
    })
}

/// Which way is tighter.
#[derive(Clone, Copy)]
enum Tighter {
    Higher,
    Lower,
}

/// One setting of the fleet and what a tenant wants of it.
struct Pair<'a> {
    field: &'static str,
    own: &'a mut u32,
    wanted: Option<u32>,
    tighter: Tighter,
}

impl WarmupSettings {
    /// Mails a day in a phase; after the last one, where growth begins.
    #[must_use]
    pub const fn quota(&self, phase: Phase) -> u32 {
        match phase {
            Phase::Week1 => self.quotas[0],
            Phase::Week2 => self.quotas[1],
            Phase::Week3 => self.quotas[2],
            Phase::Week4 => self.quotas[3],
            Phase::Week5 => self.quotas[4],
            Phase::Week6 | Phase::Active => self.quotas[5],
        }
    }

    /// Whether a warm-up can follow these.
    ///
    /// # Errors
    /// The first setting that is out of its bounds.
    pub fn check(&self) -> Result<(), WarmupBound> {
        let mut before = LEAST;
        for (field, quota) in WEEK_FIELDS.into_iter().zip(self.quotas) {
            within(field, quota, before, MOST)?;
            before = quota;
        }
        within("target", self.target, before, MOST)?;
        within("least_days", self.least_days, 7, 90)?;
        within("growth_percent", self.growth_percent, 1, 100)?;
        within("used_percent", self.used_percent, 1, 100)?;
        within("used_days", self.used_days, 1, 7)?;
        within("pause_days", self.pause_days, 1, super::PAUSE_DAYS)?;
        within("stop_bounces", self.stop_bounces, 1, ALL)?;
        within("stop_complaints", self.stop_complaints, 1, ALL)?;
        within("stop_blocks", self.stop_blocks, 1, ALL)?;
        within("pause_bounces", self.pause_bounces, 1, self.stop_bounces)?;
        let most = self.stop_complaints;
        within("pause_complaints", self.pause_complaints, 1, most)?;
        within("pause_blocks", self.pause_blocks, 1, self.stop_blocks)?;
        within("pause_deferrals", self.pause_deferrals, 1, ALL)?;
        within("least_opens", self.least_opens, 0, ALL)
    }

    /// Every setting that is a number alone, with the tenant's and which way is tighter.
    fn pairs(&mut self, tenant: &TenantWarmup) -> Vec<Pair<'_>> {
        macro_rules! pairs {
            ($($field:ident $tighter:ident),+ $(,)?) => {
                vec![$(Pair {
                    field: stringify!($field),
                    own: &mut self.$field,
                    wanted: tenant.$field,
                    tighter: Tighter::$tighter,
                }),+]
            };
        }
        pairs![
            least_days Higher,
            target Lower,
            growth_percent Lower,
            used_percent Higher,
            used_days Higher,
            pause_days Higher,
            pause_bounces Lower,
            pause_complaints Lower,
            pause_blocks Lower,
            pause_deferrals Lower,
            stop_bounces Lower,
            stop_complaints Lower,
            stop_blocks Lower,
            least_opens Higher,
        ]
    }

    /// The fleet's settings and a tenant's, whichever is tighter: a tenant's that was tighter once and is
    /// not any more loosens nothing. What must be ordered is made so, downwards.
    #[must_use]
    pub fn tightened(&self, tenant: &TenantWarmup) -> Self {
        let mut settings = self.clone();
        for pair in settings.pairs(tenant) {
            let wanted = pair.wanted.unwrap_or(*pair.own);
            *pair.own = match pair.tighter {
                Tighter::Higher => wanted.max(*pair.own),
                Tighter::Lower => wanted.min(*pair.own),
            };
        }
        let wanted = tenant.quotas.unwrap_or(self.quotas);
        for (own, wanted) in settings.quotas.iter_mut().zip(wanted) {
            *own = wanted.min(*own).min(settings.target);
        }
        for (pause, stop) in [
            (&mut settings.pause_bounces, settings.stop_bounces),
            (&mut settings.pause_complaints, settings.stop_complaints),
            (&mut settings.pause_blocks, settings.stop_blocks),
        ] {
            *pause = stop.min(*pause);
        }
        settings
    }

    /// Whether a tenant's settings are at least as tight as these, and a warm-up can follow them.
    ///
    /// # Errors
    /// The first that is looser, or out of its bounds, with the bound.
    pub fn permits(&self, tenant: &TenantWarmup) -> Result<(), WarmupBound> {
        for pair in self.clone().pairs(tenant) {
            let Some(value) = pair.wanted else { continue };
            let (field, own) = (pair.field, *pair.own);
            let bound = match pair.tighter {
                Tighter::Higher if value < own => format!("at least {own}"),
                Tighter::Lower if value > own => format!("at most {own}"),
                Tighter::Higher | Tighter::Lower => continue,
            };
            let accepted = format!("{bound}: the fleet's; a tenant tightens, and loosens nothing");
            return Err(WarmupBound {
                field,
                value,
                accepted,
            });
        }
        let wanted = tenant.quotas.into_iter().flatten();
        for (at, (value, own)) in wanted.zip(self.quotas).enumerate() {
            if value > own {
                let week = WEEKS[at];
                let accepted = format!(
                    "at most {own} in {week}: the fleet's; a tenant tightens, and loosens nothing"
                );
                return Err(WarmupBound {
                    field: WEEK_FIELDS[at],
                    value,
                    accepted,
                });
            }
        }
        self.tightened(tenant).check()
    }
}
