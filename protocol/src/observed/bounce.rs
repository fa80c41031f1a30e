//! Why a message bounced: the categories that PowerMTA ships.

use serde::{Deserialize, Serialize};

/// A stock category. An operator's own categories count as [`Other`](Self::Other).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BounceCategory {
    /// The receiving host is set up wrongly.
    BadConfiguration,
    /// The connection broke.
    BadConnection,
    /// There is no such domain.
    BadDomain,
    /// There is no such mailbox.
    BadMailbox,
    /// The content was refused.
    ContentRelated,
    /// The mailbox is no longer used.
    InactiveMailbox,
    /// The sender was refused.
    InvalidSender,
    /// It waited too long.
    MessageExpired,
    /// Nobody answers there.
    NoAnswerFromHost,
    /// None of the others.
    Other,
    /// A rule of the receiver.
    PolicyRelated,
    /// SMTP went wrong.
    ProtocolErrors,
    /// The mailbox is full.
    QuotaIssues,
    /// The receiver does not relay.
    RelayingIssues,
    /// No way leads there.
    RoutingErrors,
    /// Taken for spam.
    SpamRelated,
    /// Taken for a virus.
    VirusRelated,
}

impl BounceCategory {
    /// All of them, in order.
    pub const ALL: [Self; 17] = [
        Self::BadConfiguration,
        Self::BadConnection,
        Self::BadDomain,
        Self::BadMailbox,
        Self::ContentRelated,
        Self::InactiveMailbox,
        Self::InvalidSender,
        Self::MessageExpired,
        Self::NoAnswerFromHost,
        Self::Other,
        Self::PolicyRelated,
        Self::ProtocolErrors,
        Self::QuotaIssues,
        Self::RelayingIssues,
        Self::RoutingErrors,
        Self::SpamRelated,
        Self::VirusRelated,
    ];

    /// The name that accounting files have.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadConfiguration => "bad-configuration",
            Self::BadConnection => "bad-connection",
            Self::BadDomain => "bad-domain",
            Self::BadMailbox => "bad-mailbox",
            Self::ContentRelated => "content-related",
            Self::InactiveMailbox => "inactive-mailbox",
            Self::InvalidSender => "invalid-sender",
            Self::MessageExpired => "message-expired",
            Self::NoAnswerFromHost => "no-answer-from-host",
            Self::Other => "other",
            Self::PolicyRelated => "policy-related",
            Self::ProtocolErrors => "protocol-errors",
            Self::QuotaIssues => "quota-issues",
            Self::RelayingIssues => "relaying-issues",
            Self::RoutingErrors => "routing-errors",
            Self::SpamRelated => "spam-related",
            Self::VirusRelated => "virus-related",
        }
    }

    /// The category of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|category| category.as_str().eq_ignore_ascii_case(name))
            .unwrap_or(Self::Other)
    }

    /// Whether sending there again is of no use: what `MailWizz` calls a hard bounce.
    #[must_use]
    pub const fn is_hard(self) -> bool {
        matches!(
            self,
            Self::BadDomain | Self::BadMailbox | Self::InactiveMailbox
        )
    }
}

/// Counts by category, in the order of [`BounceCategory::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Categories(pub [u64; BounceCategory::ALL.len()]);

impl Categories {
    /// Counts one.
    pub const fn count(&mut self, category: BounceCategory) {
        let slot = &mut self.0[category as usize];
        *slot = slot.saturating_add(1);
    }

    /// How many there were of one.
    #[must_use]
    pub const fn of(&self, category: BounceCategory) -> u64 {
        self.0[category as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_has_its_place_and_is_found_by_its_name() {
        let mut counts = Categories::default();
        for (at, category) in BounceCategory::ALL.into_iter().enumerate() {
            assert_eq!(category as usize, at);
            assert_eq!(BounceCategory::named(category.as_str()), category);
            counts.count(category);
            assert_eq!(counts.of(category), 1);
        }
        assert_eq!(
            BounceCategory::named("invalid-mailbox"),
            BounceCategory::Other
        );
    }
}
