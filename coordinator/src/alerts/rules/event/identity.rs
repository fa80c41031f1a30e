//! What is told of a sending identity.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{AlertKind, Phase};
use email_engine_protocol::id::HostId;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::time::Timestamp;

use crate::alerts::rules::words::phase_word;
use crate::alerts::rules::{Line, Words};

/// Something of a sending identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityEvent {
    /// Which one.
    pub address: IpAddr,
    /// Its domain.
    pub domain: DomainName,
    /// What.
    pub what: OfIdentity,
}

/// What is told of a sending identity. Append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OfIdentity {
    /// Its warm-up is slowed: half the quota.
    WarmupPaused {
        /// Which lines are broken, by which rates.
        reasons: Vec<Line>,
        /// Until when.
        until: Timestamp,
    },
    /// It takes no new mail.
    WarmupStopped {
        /// Which lines are broken, by which rates.
        reasons: Vec<Line>,
    },
    /// It stays where it is.
    WarmupHeld {
        /// The phase.
        phase: Phase,
        /// Since when.
        since: Timestamp,
        /// Why it did not move when it was judged last.
        reasons: Vec<Line>,
    },
    /// It is in quarantine.
    Quarantined {
        /// On which lists it was said to be.
        lists: Vec<Line>,
        /// Who put it there.
        by: Line,
        /// Why.
        reason: Line,
    },
    /// The rotation of its DKIM key is beyond a deadline.
    RotationWaits {
        /// For whom or what.
        why: Line,
    },
    /// A listing is confirmed.
    Listed(Listing),
    /// It took the place of another.
    Promoted {
        /// Whose.
        replaces: IpAddr,
        /// How much of what that one could send it can, in percent.
        restores_percent: u32,
        /// The phase that it goes on from.
        phase: Phase,
    },
    /// A record of it is not as it has to be.
    DnsInvalid {
        /// Which: `spf`, `dkim`, `dmarc`, `a`, `mx`, `ptr`.
        record: Line,
        /// What is wrong.
        what: Line,
        /// The exact line to publish, where there is one.
        publish: Option<Line>,
    },
    /// Mail that waited for it in quarantine was deleted.
    QueueExpired {
        /// How many recipients it was for.
        recipients: u64,
        /// The host on which they are listed.
        host: HostId,
        /// The file there.
        file: Line,
    },
}

/// A confirmed listing, and what was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The lists that name it.
    pub lists: Vec<ListHit>,
    /// What becomes of its mail.
    pub remedy: Remedy,
    /// Before this it does not leave quarantine.
    pub until: Timestamp,
    /// Campaigns that are paused, by name.
    pub campaigns: Vec<Line>,
}

/// One list's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListHit {
    /// The list, such as `zen.spamhaus.org`.
    pub list: Line,
    /// Its codes, such as `127.0.0.2`.
    pub codes: Vec<Line>,
    /// What they mean.
    pub meaning: Line,
}

/// What becomes of the mail of a listed identity. Append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Remedy {
    /// A candidate is being checked; what comes of it is told apart.
    Searching,
    /// Another takes its place.
    Replaced {
        /// Which one.
        by: IpAddr,
        /// Its domain.
        domain: DomainName,
        /// How much of what was lost it can send, in percent.
        restores_percent: u32,
    },
    /// Nobody takes its place, and somebody has to act.
    NoneLeft {
        /// Why.
        why: Line,
    },
    /// It did not send: nothing is lost.
    NothingLost,
}

impl OfIdentity {
    pub(super) const fn kind(&self) -> AlertKind {
        match self {
            Self::WarmupPaused { .. } => AlertKind::WarmupPaused,
            Self::WarmupStopped { .. } => AlertKind::WarmupStopped,
            Self::WarmupHeld { .. } => AlertKind::WarmupHeld,
            Self::Quarantined { .. } => AlertKind::Quarantined,
            Self::RotationWaits { .. } => AlertKind::RotationWaits,
            Self::Listed(_) => AlertKind::ListingConfirmed,
            Self::Promoted { .. } => AlertKind::Promoted,
            Self::DnsInvalid { .. } => AlertKind::DnsInvalid,
            Self::QueueExpired { .. } => AlertKind::QueueExpired,
        }
    }

    pub(super) fn cause(&self) -> Line {
        match self {
            Self::Listed(listing) => {
                let mut lists: Vec<_> = listing.lists.iter().map(|hit| hit.list.clone()).collect();
                lists.sort();
                let lists = Line::joined(&lists, " ");
                // That nobody replaces it is not what was told before, within the same hour or not.
                match &listing.remedy {
                    Remedy::NoneLeft { .. } => format!("{lists} unreplaced").into(),
                    _ => lists.into(),
                }
            }
            Self::Promoted { replaces, .. } => replaces.to_string().into(),
            Self::DnsInvalid { record, .. } => record.clone(),
            // More of it in the same file is no news.
            Self::QueueExpired { host, file, .. } => format!("{host} {file}").into(),
            _ => Line::default(),
        }
    }
}

impl IdentityEvent {
    pub(super) fn words(&self) -> Words {
        let Self {
            address, domain, ..
        } = self;
        let who = format!("{address} ({domain})");
        match &self.what {
            OfIdentity::WarmupPaused { reasons, until } => {
                Words::new(format!("{who}: warm-up paused until {until}"))
                    .each(reasons.iter().map(ToString::to_string))
                    .line("It sends half of its phase's quota meanwhile, then goes on by itself.")
            }
            OfIdentity::WarmupStopped { reasons } => {
                Words::new(format!("{who}: stopped, it takes no new mail"))
                    .each(reasons.iter().map(ToString::to_string))
                    .line(format!(
                        "Action required: find the cause, then `email-engine warmup resume {address} --why ...`."
                    ))
            }
            OfIdentity::WarmupHeld { phase, since, reasons } => {
                let phase = phase_word(*phase);
                Words::new(format!("{who}: in {phase} since {since}"))
                    .each(reasons.iter().map(ToString::to_string))
                    .line("It moves on when at least 60 % of its quota are used on 5 of 7 days and all lines hold.")
            }
            OfIdentity::Quarantined { lists, by, reason } => {
                let on = match lists.is_empty() {
                    true => String::new(),
                    false => format!(" on {}", Line::joined(lists, ", ")),
                };
                Words::new(format!("{who}: in quarantine{on}, it takes no new mail"))
                    .line(format!("By {by}: {reason}"))
            }
            OfIdentity::RotationWaits { why } => {
                Words::new(format!("{who}: the rotation of its DKIM key waits"))
                    .line(why.to_string())
                    .line("It signs with the earlier key until then.")
            }
            OfIdentity::Listed(listing) => listing.words(&who),
            OfIdentity::Promoted {
                replaces,
                restores_percent,
                phase,
            } => Words::new(format!("{who}: promoted in the place of {replaces}")).line(format!(
                "It goes on from {} and restores {restores_percent} % of what was lost.",
                phase_word(*phase)
            )),
            OfIdentity::DnsInvalid {
                record,
                what,
                publish,
            } => Words::new(format!("{who}: its {record} record is not valid"))
                .line(what.to_string())
                .maybe(publish.as_ref().map(|line| format!("Publish: {line}"))),
            OfIdentity::QueueExpired {
                recipients,
                host,
                file,
            } => Words::new(format!(
                "{who}: mail for {recipients} recipients expired in quarantine"
            ))
            .line("It waited for 12 hours, was deleted, and counts as expired, not as bounced.")
            .line(format!(
                "Action required where they shall have it: send it again to those in {file} on host {host}."
            )),
        }
    }
}

impl Listing {
    fn words(&self, who: &str) -> Words {
        let names: Vec<_> = self.lists.iter().map(|hit| hit.list.clone()).collect();
        let hit = |hit: &ListHit| {
            let codes = Line::joined(&hit.codes, ", ");
            format!("{} answers {codes}: {}", hit.list, hit.meaning)
        };
        let campaigns = (!self.campaigns.is_empty())
            .then(|| format!("Paused campaigns: {}", Line::joined(&self.campaigns, ", ")));
        let title = format!("{who}: listed on {}", Line::joined(&names, ", "));
        let words = Words::new(title).each(self.lists.iter().map(hit));
        let words = match &self.remedy {
            Remedy::Searching => words.line("A replacement is being checked."),
            Remedy::Replaced {
                by,
                domain,
                restores_percent,
            } => words.line(format!(
                "Replaced by {by} ({domain}), which restores {restores_percent} % of what was lost."
            )),
            Remedy::NoneLeft { why } => words.line(format!(
                "Action required: nothing replaces it ({why}), and its mail waits."
            )),
            Remedy::NothingLost => words.line("It did not send: nothing is lost."),
        };
        words
            .line(format!(
                "In quarantine until {} at the earliest.",
                self.until
            ))
            .maybe(campaigns)
    }
}
