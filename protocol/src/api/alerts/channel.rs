//! Ways to people.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::id::{ChannelName, TenantId};
use crate::mail::MailAddress;
use crate::time::Timestamp;
use crate::url::ServiceUrl;

/// Where alerts go. What has to stay secret is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ChannelSpec {
    /// The leading node's own log.
    Log {},
    /// Mail. Its secret is the password of `username`.
    Smtp(SmtpSpec),
    /// A bot of Telegram. Its secret is the bot's token.
    Telegram(TelegramSpec),
    /// A web service of one's own. Its secret is the key of the signatures.
    Webhook(WebhookSpec),
}

/// A chat that a bot of Telegram writes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelegramSpec {
    /// The chat: a number, or `@name` of a public channel.
    pub chat: String,
    /// The topic in it, where the chat has topics.
    #[serde(default)]
    pub topic: Option<i64>,
    /// Where the API of bots answers.
    #[serde(default = "telegram")]
    pub api: ServiceUrl,
}

fn telegram() -> ServiceUrl {
    ServiceUrl::new("https://api.telegram.org").expect("a good address")
}

/// A web service that takes signed posts. The address is shown to whoever may read channels; nothing secret
/// belongs into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSpec {
    /// Where it answers: `https`, or `http` with a loopback address.
    pub url: ServiceUrl,
}

/// A server that takes mail, and whom it is from and for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpSpec {
    /// Name or address of the server. Its certificate has to be for it.
    pub server: String,
    /// Its port: 587 as a rule with `starttls`, 465 with `tls`.
    pub port: u16,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: SmtpTls,
    /// Who is let in; nobody has to be named where the server takes mail without.
    #[serde(default)]
    pub username: Option<String>,
    /// Sender.
    pub from: MailAddress,
    /// Receivers, 1 to 16.
    pub to: Vec<MailAddress>,
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmtpTls {
    /// Not at all: to a loopback address alone.
    Plain,
    /// `STARTTLS`, and nothing is said before it.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
}

/// Makes a channel, or changes one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelRequest {
    /// Where alerts go.
    pub spec: ChannelSpec,
    /// Whose it is: it gets alerts of this tenant alone. None: the fleet's.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// Its secret: 8 to 512 visible ASCII characters. None keeps the one that it has.
    #[serde(default)]
    pub secret: Option<ChannelSecret>,
}

/// A channel's secret on its way in. It never prints and is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct ChannelSecret(pub String);

impl ChannelSecret {
    /// What one must be.
    pub const RULE: &str = "8 to 512 visible ASCII characters without blanks";

    /// Whether it may be one.
    #[must_use]
    pub fn is_good(&self) -> bool {
        (8..=512).contains(&self.0.len()) && self.0.bytes().all(|b| b.is_ascii_graphic())
    }
}

impl fmt::Debug for ChannelSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelSecret(redacted)")
    }
}

impl fmt::Debug for ChannelRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelRequest")
            .field("spec", &self.spec)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

/// A channel, and how it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelView {
    /// Its name.
    pub name: ChannelName,
    /// Where alerts go.
    pub spec: ChannelSpec,
    /// Whose it is; none: the fleet's.
    pub tenant: Option<TenantId>,
    /// It has a secret. What that is is never answered.
    pub has_secret: bool,
    /// What waits to be delivered.
    pub waiting: u64,
    /// Last time that it took something.
    pub delivered_at: Option<Timestamp>,
    /// Since when it takes nothing; none while it does.
    pub failing_since: Option<Timestamp>,
    /// Why, the last time.
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_has_a_default_and_what_is_mistyped_is_named() {
        let telegram: ChannelSpec = serde_json::from_str(r#"{"telegram":{"chat":"-1"}}"#).unwrap();
        let ChannelSpec::Telegram(spec) = &telegram else {
            panic!("{telegram:?}");
        };
        assert_eq!(spec.api.as_str(), "https://api.telegram.org");
        let bytes = postcard::to_stdvec(&telegram).unwrap();
        assert_eq!(
            postcard::from_bytes::<ChannelSpec>(&bytes).unwrap(),
            telegram
        );
        let text = r#"{"smtp":{"server":"mx","port":25,"from":"a@example.com","to":[],"pass":""}}"#;
        let error = serde_json::from_str::<ChannelSpec>(text).unwrap_err();
        assert!(
            error.to_string().contains("unknown field `pass`"),
            "{error}"
        );
    }

    #[test]
    fn a_secret_never_prints() {
        let text = r#"{"spec":{"log":{}},"secret":"hunter2hunter2"}"#;
        let request: ChannelRequest = serde_json::from_str(text).unwrap();
        let secret = request.secret.clone().unwrap();
        assert!(secret.is_good());
        assert!(!format!("{request:?} {secret:?}").contains("hunter2"));
        for bad in ["1234567", "1234 5678", "12345678\n", &"a".repeat(513)] {
            assert!(!ChannelSecret(bad.to_owned()).is_good(), "{bad}");
        }
    }
}
