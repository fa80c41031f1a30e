//! Campaigns: mail to a list, which a tenant's own MailWizz sends and this cluster finds senders for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::api::Purpose;
use crate::id::RequestId;
use crate::time::Timestamp;

/// Body of `POST /api/v1/tenants/{tenant}/campaigns`. Who it is from, where answers go and by which delivery
/// servers it is sent follows from the identities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignRequest {
    /// Its name, for people: 1 to 255 characters.
    pub name: String,
    /// Its subject: 1 to 500 characters.
    pub subject: String,
    /// `list_uid` of the recipients in MailWizz.
    pub list: String,
    /// `segment_uid`, when only a part of the list gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// What it is, by which identities are chosen; `marketing` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Purpose>,
    /// Identities that send it, the one that it is from first; chosen when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpAddr>,
    /// Mails that it comes to in a day, which the identities together must be able to send; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<u64>,
    /// Its text, HTML of at most 1 MiB; this or `template`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// `template_uid` in MailWizz; this or `content`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// When it begins, `YYYY-MM-DD HH:MM:SS` in the time zone that the customer chose in MailWizz.
    pub send_at: String,
    /// How it stands once it is made.
    #[serde(default)]
    pub status: CampaignStatus,
    /// MailWizz's own options by their names there, such as `url_tracking = "yes"`; at most 50.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// How a campaign stands once it is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CampaignStatus {
    /// Somebody looks at it before it is sent.
    #[default]
    Draft,
    /// It waits for somebody's word.
    Paused,
    /// It is sent at its time.
    PendingSending,
}

impl CampaignStatus {
    /// MailWizz's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Paused => "paused",
            Self::PendingSending => "pending-sending",
        }
    }
}

/// A campaign that was asked for through this cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignView {
    /// The request that asked for it.
    pub request: RequestId,
    /// Its name.
    pub name: String,
    /// Identities that send it, the one that it is from first.
    pub ips: Vec<IpAddr>,
    /// When it was asked for.
    pub begun_at: Timestamp,
    /// What became of it.
    pub state: CampaignState,
}

/// What became of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum CampaignState {
    /// MailWizz was asked, and what it answered is not known: it may have it or not.
    Asked,
    /// MailWizz has it.
    Created {
        /// `campaign_uid` there.
        uid: String,
    },
    /// There is none.
    Refused {
        /// Why, in MailWizz's words where it had any.
        reason: String,
    },
}
