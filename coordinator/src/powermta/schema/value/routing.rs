//! What patterns lead to, and keys and records.

use super::names::{is_domain_pattern, is_name, list};
use super::quantity::parse_time;

/// What a line of a pattern list leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatternResult<'a> {
    /// A virtual MTA or pool.
    pub virtual_mta: Option<&'a str>,
    /// Another list.
    pub list: Option<&'a str>,
}

/// Reads `virtual-mta=NAME[,recipient-priority=N]` and `call-to:LIST`.
#[must_use]
pub fn parse_result(text: &str) -> Option<PatternResult<'_>> {
    let mut result = PatternResult::default();
    if let Some(name) = text.strip_prefix("call-to:") {
        result.list = Some(name.trim()).filter(|name| !name.is_empty() && is_name(name));
        return result.list.is_some().then_some(result);
    }
    for part in list(text) {
        match part.split_once('=')? {
            ("virtual-mta", name) if !name.is_empty() && is_name(name) => {
                result.virtual_mta = Some(name);
            }
            ("recipient-priority", n) if n.parse::<u8>().is_ok_and(|n| n <= 100) => {}
            _ => return None,
        }
    }
    Some(result)
}

/// What a reply leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    /// `mode=backoff`.
    pub backoff: bool,
    /// `mode=normal`.
    pub normal: bool,
    /// `skip-mx`.
    pub skip_mx: bool,
    /// `bounce-queue`.
    pub bounce_queue: bool,
    /// `defer-queue`.
    pub defer_queue: bool,
    /// `disable-source-ip`.
    pub disable_source: bool,
    /// How often `reenable-after` is there.
    pub reenable: u8,
    /// `reenable-after` before any `disable-source-ip`.
    pub reenable_alone: bool,
}

impl Actions {
    /// Whether they slow down, hold or empty a whole queue, or take its address away.
    #[must_use]
    pub const fn strikes(&self) -> bool {
        self.backoff || self.bounce_queue || self.defer_queue || self.disable_source
    }
}

/// Reads a list of actions, whether or not they may stand together.
#[must_use]
pub fn parse_actions(text: &str) -> Option<Actions> {
    let mut actions = Actions::default();
    for action in list(text) {
        match action {
            "mode=backoff" => actions.backoff = true,
            "mode=normal" => actions.normal = true,
            "skip-mx" => actions.skip_mx = true,
            "bounce-queue" => actions.bounce_queue = true,
            "disable-source-ip" => actions.disable_source = true,
            "defer-queue" => actions.defer_queue = true,
            "bounce-rcpt" => {}
            action => {
                parse_time(action.strip_prefix("reenable-after=")?)?;
                actions.reenable = actions.reenable.saturating_add(1);
                actions.reenable_alone |= !actions.disable_source;
            }
        }
    }
    Some(actions)
}

/// Reads `SELECTOR,DOMAIN,FILE`.
#[must_use]
pub fn parse_dkim_key(text: &str) -> Option<(&str, &str, &str)> {
    let mut parts = list(text);
    let key = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && is_name(key.0) && !key.0.is_empty();
    (whole && is_domain_pattern(key.1) && !key.2.is_empty()).then_some(key)
}

/// Whether a text is the name of a type of accounting records, short or long.
#[must_use]
pub fn is_record_type(text: &str) -> bool {
    const SHORT: [&str; 8] = ["d", "b", "t", "tq", "r", "f", "rb", "rs"];
    const LONG: [&str; 9] = [
        "delivery",
        "bounce",
        "transient",
        "transient-queue",
        "receipt",
        "fbl",
        "feedback-loop",
        "remote-bounce",
        "remote-status",
    ];
    SHORT.contains(&text) || LONG.contains(&text)
}
