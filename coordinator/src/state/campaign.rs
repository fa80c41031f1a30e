//! Campaigns that were asked for through this cluster. Each is written down before the tenant's MailWizz is
//! asked, because making one cannot be taken back and an answer may be lost: whoever asks again under the
//! same request is told what became of the first time.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::TenantId;
use email_engine_protocol::time::Timestamp;

/// One campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// Identities that send it, the one that it is from first.
    pub ips: Vec<IpAddr>,
    /// When it was asked for.
    pub begun_at: Timestamp,
    /// What became of it; absent while that is not known.
    pub end: Option<CampaignEnd>,
}

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
}
