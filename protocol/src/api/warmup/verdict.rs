//! What the evidence comes to, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{HostId, ReceiverGroup};
use crate::time::Timestamp;

/// What happens to a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmupStep {
    /// The next phase begins.
    Advance,
    /// More mails a day, after the last phase.
    Grow,
    /// All stays as it is.
    Hold,
    /// A line is broken: half the quota for some days.
    Pause,
    /// A pause is over.
    Resume,
    /// A pause goes on.
    StayPaused,
}

/// Part of a whole, and whether there is enough of it to be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// What happened.
    pub events: u64,
    /// Out of how many.
    pub of: u64,
    /// The least samples are reached.
    pub measured: bool,
}

impl Rate {
    /// Whether it is above so many ten-thousandths. What is not measured is above nothing.
    #[must_use]
    pub fn is_above(&self, line: u32) -> bool {
        self.measured && u128::from(self.events) * 10_000 > u128::from(self.of) * u128::from(line)
    }

    /// Which of two is worse, where both are measured or none is.
    #[must_use]
    pub fn is_worse_than(&self, other: &Self) -> bool {
        let (own, theirs) = (
            u128::from(self.events) * u128::from(other.of.max(1)),
            u128::from(other.events) * u128::from(self.of.max(1)),
        );
        (self.measured, own) > (other.measured, theirs)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.of == 0 {
            return f.write_str("nothing counted");
        }
        let parts = u128::from(self.events) * 10_000 / u128::from(self.of);
        let (events, of) = (self.events, self.of);
        write!(f, "{}.{:02} % ({events} of {of})", parts / 100, parts % 100)?;
        if self.measured {
            return Ok(());
        }
        f.write_str(", too few to judge")
    }
}

/// Rates of the days that were judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmupRates {
    /// Hard bounces of what was delivered or bounced so.
    pub bounces: Rate,
    /// Complaints of what was delivered at receivers with an enrolled feedback loop. None: no loop is
    /// enrolled, so that they are not measured.
    pub complaints: Option<Rate>,
    /// Refusals as spam or by policy, at the group of receivers where they are worst.
    pub blocks: Option<(ReceiverGroup, Rate)>,
    /// Deferred messages of those delivered.
    pub deferrals: Rate,
    /// Delivered in all.
    pub delivered: u64,
    /// On how many days the quota was used.
    pub used_days: u32,
}

/// Why a plan was judged as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmupReason {
    /// It sends as much as it shall.
    AtTarget,
    /// Too many refusals as spam or by policy.
    Blocks {
        /// At these receivers.
        group: ReceiverGroup,
        /// How many.
        rate: Rate,
        /// Ten-thousandths that would be accepted.
        line: u32,
    },
    /// Too many hard bounces.
    Bounces {
        /// How many.
        rate: Rate,
        /// Ten-thousandths that would be accepted.
        line: u32,
    },
    /// Too many complaints.
    Complaints {
        /// How many.
        rate: Rate,
        /// Ten-thousandths that would be accepted.
        line: u32,
    },
    /// No feedback loop is enrolled: bounces and refusals alone were judged.
    ComplaintsUnmeasured,
    /// Too many deferrals.
    Deferrals {
        /// How many.
        rate: Rate,
        /// Ten-thousandths that would be accepted.
        line: u32,
    },
    /// Few opens. They are machine-made to a large part, so that this pauses nothing.
    FewOpens {
        /// How many.
        rate: Rate,
        /// Ten-thousandths that would be enough.
        least: u32,
    },
    /// This day was judged already, or is before one that was.
    Judged,
    /// The phase has not lasted long enough.
    LeastDays {
        /// Days that passed.
        passed: u32,
        /// Days that are wanted.
        least: u32,
    },
    /// No line is broken.
    LinesHold,
    /// An operator's word.
    Operator,
    /// The pause is not over.
    PausedUntil(Timestamp),
    /// An operator's word alone ends a stop.
    Stopped,
    /// Too little was delivered to judge by.
    TooFewResults {
        /// Delivered in seven days.
        delivered: u64,
        /// That would be enough.
        least: u64,
    },
    /// The accounting files of some host are not read to the end of the day.
    Unread,
    /// The quota was not really used.
    Unused {
        /// Days of seven on which it was.
        days: u32,
        /// Days that are wanted.
        least: u32,
    },
    /// The application runs a plan of its own for it: two plans are none. (Here and below, as the log numbers them.)
    ForeignPlan {
        /// The host that the application is on.
        host: HostId,
        /// The plan's number there.
        plan: String,
    },
    /// The application counts nothing, or does not stop at quotas.
    NoQuotas {
        /// The host that it is on.
        host: HostId,
    },
}

struct Percent(u32);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02} %", self.0 / 100, self.0 % 100)
    }
}

impl fmt::Display for WarmupReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtTarget => f.write_str("its target is reached"),
            Self::Blocks { group, rate, line } => write!(
                f,
                "refused as spam or by policy at {group}: {rate}, above {}",
                Percent(*line)
            ),
            Self::Bounces { rate, line } => {
                write!(f, "hard bounces {rate}, above {}", Percent(*line))
            }
            Self::Complaints { rate, line } => {
                write!(f, "complaints {rate}, above {}", Percent(*line))
            }
            Self::ComplaintsUnmeasured => {
                f.write_str("complaints are unmeasured: no feedback loop is enrolled")
            }
            Self::Deferrals { rate, line } => {
                write!(f, "deferrals {rate}, above {}", Percent(*line))
            }
            Self::FewOpens { rate, least } => write!(f, "opens {rate}, below {}", Percent(*least)),
            Self::ForeignPlan { host, plan } => write!(
                f,
                "MailWizz on {host} runs its own warm-up plan {plan} on this server: take it out there"
            ),
            Self::NoQuotas { host } => write!(
                f,
                "MailWizz on {host} keeps no quotas: see MW_PERF_LVL in its performance-levels-custom.php"
            ),
            Self::Judged => f.write_str("this day was judged already"),
            Self::LeastDays { passed, least } => {
                write!(f, "{passed} of at least {least} days in this phase")
            }
            Self::LinesHold => f.write_str("no line is broken"),
            Self::Operator => f.write_str("an operator's word"),
            Self::PausedUntil(until) => write!(f, "paused until {until}"),
            Self::Stopped => f.write_str("stopped; `warmup resume` with a reason ends it"),
            Self::TooFewResults { delivered, least } => {
                write!(
                    f,
                    "{delivered} delivered in 7 days, {least} are needed to judge"
                )
            }
            Self::Unread => {
                f.write_str("the accounting of its host is not read to the end of the day")
            }
            Self::Unused { days, least } => {
                write!(
                    f,
                    "its quota was used on {days} of 7 days, {least} are wanted"
                )
            }
        }
    }
}

/// What was decided of a plan, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmupVerdict {
    /// What happens.
    pub step: WarmupStep,
    /// Why.
    pub reasons: Vec<WarmupReason>,
}
