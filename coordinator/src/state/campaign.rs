//! Campaigns that were asked for through this cluster. Each is written down before the tenant's MailWizz is
//! asked, because making one cannot be taken back and an answer may be lost: whoever asks again under the
//! same request is told what became of the first time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::TenantId;
use email_engine_protocol::time::Timestamp;

use super::Table;

/// One campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// Identities that send it, the one that it is from first, and what each takes of its day.
    pub parts: Vec<(IpAddr, u64)>,
    /// Who asks for it: one of those that worked on the request, and no other.
    pub asker: Asker,
    /// Campaigns of its name that MailWizz had before, by their uids.
    pub known: BTreeSet<String>,
    /// When it was asked for.
    pub begun_at: Timestamp,
    /// What became of it; absent while that is not known.
    pub end: Option<CampaignEnd>,
    /// What MailWizz said of its mail.
    pub readings: Readings,
}

/// What MailWizz said of a campaign's mail: the last reading of each UTC day, days by their numbers from
/// 1970-01-01. Whole figures and never what came to them, so that one that is told twice counts once. The
/// first is the first with a mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readings(pub BTreeMap<u32, Reading>);

/// Figures, and when they were first said on their day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// When.
    pub at: Timestamp,
    /// What.
    pub figures: Figures,
}

/// A campaign's mail as MailWizz counts it, since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Handed over for delivery.
    pub delivered: u64,
    /// Recipients that opened it.
    pub opened: u64,
    /// Recipients that followed a link of it.
    pub clicked: u64,
}

impl Campaign {
    /// The one identity that sent all of it, where there is one.
    #[must_use]
    pub fn only_sender(&self) -> Option<IpAddr> {
        match &self.parts[..] {
            [(address, _)] => Some(*address),
            _ => None,
        }
    }

    /// What it goes by in MailWizz, when it is there.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        match &self.end {
            Some(CampaignEnd::Created { uid }) => Some(uid),
            _ => None,
        }
    }
}

/// Names one of several that work on one request at the same time.
pub type Asker = [u8; 16];

/// What became of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CampaignEnd {
    /// MailWizz has it.
    Created {
        /// `campaign_uid` there.
        uid: String,
    },
    /// There is none, for this reason.
    Refused {
        /// In MailWizz's words where it had any.
        reason: String,
    },
    /// MailWizz was asked, and whoever asked does not know. Nobody waits for its answer any more.
    Unclear,
}

/// What campaigns that were begun on one day take identities up to, so that two of them do not count on the
/// same part of a quota. A day later nothing of it is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// The UTC day, in days since 1970-01-01.
    pub day: u32,
    /// Mails of that day: what was known to be used when a campaign was begun, and what it takes.
    pub mails: Table<IpAddr, u64>,
}

impl Reserved {
    /// Mails that an identity is taken up to on a day.
    #[must_use]
    pub fn of(&self, day: u32, address: IpAddr) -> u64 {
        let mails = self.mails.get(&address).copied();
        mails.filter(|_| day == self.day).unwrap_or_default()
    }

    /// A day that is not the one before begins without any.
    pub fn enter(&mut self, day: u32) {
        if day != self.day {
            self.day = day;
            self.mails.clear();
        }
    }
}
