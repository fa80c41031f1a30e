//! Every kind of alert in one table: its stable code, how grave it is, whether it ends by itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How grave something is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know; nobody has to do anything.
    #[default]
    Info,
    /// Somebody should look at it in the next days.
    Warning,
    /// Somebody has to act now.
    Critical,
}

/// A word that is no severity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("severity {got:?} is not known: accepted are info, warning and critical")]
pub struct SeverityError {
    /// The refused text, cut to 120 characters.
    pub got: String,
}

impl Severity {
    /// All of them, the mildest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = SeverityError;

    fn from_str(text: &str) -> Result<Self, SeverityError> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| SeverityError {
            got: text.chars().take(120).collect(),
        })
    }
}

/// Declares the table.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident, $code:literal, $severity:ident, $resolves:literal;)*) => {
        /// What happened. Append-only: its order is in logs and snapshots.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum AlertKind {
            $($(#[$doc])* $name,)*
        }

        impl AlertKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its stable code, by which routes, silences and receivers know it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// How grave it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$name => Severity::$severity,)*
                }
            }

            /// Whether it is a state that ends, which is told as well; the others are events.
            #[must_use]
            pub const fn resolves(self) -> bool {
                match self {
                    $(Self::$name => $resolves,)*
                }
            }
        }
    };
}

kinds! {
    /// A day's evidence slowed an identity's warm-up.
    WarmupPaused, "warmup-paused", Warning, true;
    /// A stop line is broken: an identity takes no new mail until somebody says why it may.
    WarmupStopped, "warmup-stopped", Critical, true;
    /// Identities reached their next phase, or are through.
    WarmupAdvanced, "warmup-advanced", Info, false;
    /// An identity stands in one phase for three times its least days.
    WarmupHeld, "warmup-held", Warning, true;
    /// Somebody, or a list, put an identity into quarantine.
    Quarantined, "quarantined", Warning, true;
    /// A host's agent is not connected.
    HostAway, "host-away", Critical, true;
    /// A host did not take the target that it was given.
    HostRefused, "host-refused", Warning, true;
    /// Somebody undoes on a host what is repaired there, again and again.
    DriftContested, "drift-contested", Warning, true;
    /// A certificate ends soon and was not renewed.
    CertificateEnding, "certificate-ending", Critical, true;
    /// A host knows a state that the cluster does not: a backup may be older than it.
    StateFromFuture, "state-from-future", Critical, true;
    /// Mail of a host is not counted.
    AccountingGap, "accounting-gap", Warning, true;
    /// The rotation of a DKIM key waits for somebody beyond its deadline.
    RotationWaits, "rotation-waits", Warning, true;
    /// A disk of a host is nearly full.
    DiskLow, "disk-low", Warning, true;
    /// A node has lost the majority; each node tells it for itself.
    NoQuorum, "no-quorum", Critical, true;
    /// A second machine showed what is one machine's alone.
    CloneRefused, "clone-refused", Critical, false;
    /// An address is on a list, and that was confirmed.
    ListingConfirmed, "listing-confirmed", Critical, false;
    /// An identity took the place of another.
    Promoted, "promoted", Warning, false;
    /// A tenant's breaker is open: nothing is promoted, and parts of its mail are paused.
    BreakerOpen, "breaker-open", Critical, true;
    /// One list names so many addresses at once that nothing is done because of it.
    MassBrake, "mass-brake", Critical, true;
    /// What a list says is not known for more than a day.
    ZoneUnknown, "zone-unknown", Warning, true;
    /// A list gives an answer whose meaning is not known.
    NewCode, "new-code", Warning, false;
    /// A DNS record of an identity is not as it has to be.
    DnsInvalid, "dns-invalid", Warning, true;
    /// A channel takes no alerts.
    ChannelDead, "channel-dead", Critical, true;
    /// Somebody tries whether alerts arrive.
    Test, "test", Info, false;
    /// Campaigns stand still because none of their servers takes mail.
    CampaignsHeld, "campaigns-held", Critical, true;
    /// A zone that the fleet changes is not as it has to be for more than an hour.
    DnsZoneStuck, "dns-zone-stuck", Warning, true;
    /// Mail that waited for an identity in quarantine was deleted: its recipients are listed.
    QueueExpired, "queue-expired", Warning, false;
}

/// A word that is no kind of alert.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kind {got:?} is not known: accepted are {}", known())]
pub struct AlertKindError {
    /// The refused text, cut to 120 characters.
    pub got: String,
}

fn known() -> String {
    let codes: Vec<_> = AlertKind::ALL.iter().map(|kind| kind.as_str()).collect();
    codes.join(", ")
}

impl fmt::Display for AlertKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for AlertKind {
    type Err = AlertKindError;

    fn from_str(text: &str) -> Result<Self, AlertKindError> {
        let found = Self::ALL.iter().find(|kind| kind.as_str() == text);
        found.copied().ok_or_else(|| AlertKindError {
            got: text.chars().take(120).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_they_are_written_everywhere() {
        for kind in AlertKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for severity in Severity::ALL {
            assert_eq!(severity.as_str().parse(), Ok(severity));
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.as_str());
        }
        let error = "dns".parse::<AlertKind>().unwrap_err().to_string();
        assert!(error.contains("dns-invalid, channel-dead"), "{error}");
    }

    /// What receivers know alerts by: a code is never changed, and its place in logs neither.
    #[test]
    fn the_table_is_what_it_was() {
        let lines = AlertKind::ALL.iter().enumerate().map(|(at, kind)| {
            let ends = if kind.resolves() { "ends" } else { "event" };
            format!("{at} {kind} {} {ends}", kind.severity())
        });
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines.join("\n"), include_str!("kinds.golden").trim_end());
        assert_eq!(AlertKind::Test as usize, 23);
    }
}
