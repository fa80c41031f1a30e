//! What is told of a machine.

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::AlertKind;
use email_engine_protocol::id::HostId;
use email_engine_protocol::time::Timestamp;

use crate::alerts::rules::{Line, Words};

/// Something of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEvent {
    /// Which one.
    pub host: HostId,
    /// What.
    pub what: OfHost,
}

/// What is told of a machine. Append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OfHost {
    /// Its agent is not connected.
    Away {
        /// Since about when.
        since: Timestamp,
        /// Why it was turned away when it called last.
        why: Option<Line>,
    },
    /// It did not take a target.
    Refused {
        /// Which generation.
        generation: Line,
        /// At which stage it stood still.
        stage: Line,
        /// Why.
        reason: Line,
    },
    /// Somebody undoes what is repaired.
    Contested {
        /// What.
        resource: Line,
        /// How it differs.
        reason: Line,
    },
    /// Its certificate ends soon.
    CertificateEnding {
        /// When.
        ends_at: Timestamp,
    },
    /// It knows more than the cluster.
    FromFuture {
        /// What it says that it holds.
        holds: Line,
        /// What the cluster knows of.
        known: Line,
    },
    /// Mail of it is not counted.
    Uncounted {
        /// What is missing, each in words.
        what: Vec<Line>,
    },
    /// A file system is nearly full.
    DiskLow {
        /// Where it is mounted.
        mount: Line,
        /// What is left, in MiB.
        left_mib: u64,
        /// Its size, in MiB.
        size_mib: u64,
    },
}

impl OfHost {
    pub(super) const fn kind(&self) -> AlertKind {
        match self {
            Self::Away { .. } => AlertKind::HostAway,
            Self::Refused { .. } => AlertKind::HostRefused,
            Self::Contested { .. } => AlertKind::DriftContested,
            Self::CertificateEnding { .. } => AlertKind::CertificateEnding,
            Self::FromFuture { .. } => AlertKind::StateFromFuture,
            Self::Uncounted { .. } => AlertKind::AccountingGap,
            Self::DiskLow { .. } => AlertKind::DiskLow,
        }
    }

    pub(super) fn cause(&self) -> Line {
        match self {
            Self::Contested { resource, .. } => resource.clone(),
            Self::DiskLow { mount, .. } => mount.clone(),
            _ => Line::default(),
        }
    }
}

impl HostEvent {
    pub(super) fn words(&self) -> Words {
        let host = &self.host;
        match &self.what {
            OfHost::Away { since, why } => {
                Words::new(format!("{host}: its agent is away since {since}"))
                    .line("It keeps its last good state; changes wait until it is back.")
                    .maybe(why.as_ref().map(|why| format!("It called and got no session: {why}")))
            }
            OfHost::Refused {
                generation,
                stage,
                reason,
            } => Words::new(format!("{host}: did not take generation {generation}"))
                .line(format!("It stood still at {stage}: {reason}"))
                .line(format!(
                    "It keeps what it had. `email-engine hosts show {host}` says more, `email-engine hosts retry {host}` tries it once more."
                )),
            OfHost::Contested { resource, reason } => {
                Words::new(format!("{host}: somebody keeps changing {resource}")).line(format!(
                    "{reason}. It is repaired again and again, ever later: find who changes it."
                ))
            }
            OfHost::CertificateEnding { ends_at } => {
                Words::new(format!("{host}: its certificate ends at {ends_at}"))
                    .line("Its agent did not renew it at half of its life: see the agent's log.")
            }
            OfHost::FromFuture { holds, known } => {
                Words::new(format!("{host}: holds a state that the cluster does not know"))
                    .line(format!("It holds {holds}, the cluster knows of {known}."))
                    .line("Nothing is planned for it. Was an old backup restored, or is there a second cluster?")
            }
            OfHost::Uncounted { what } => {
                Words::new(format!("{host}: mail is not counted, or not as anybody's"))
                    .each(what.iter().map(ToString::to_string))
            }
            OfHost::DiskLow {
                mount,
                left_mib,
                size_mib,
            } => Words::new(format!("{host}: {mount} is nearly full"))
                .line(format!("{left_mib} MiB of {size_mib} MiB are left.")),
        }
    }
}
