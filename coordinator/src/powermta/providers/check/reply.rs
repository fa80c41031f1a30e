//! Rules for replies, one by one.

use super::super::super::lint::is_broad;
use super::super::super::schema::value::parse_time;
use super::super::error::{CatalogueError, Fault};
use super::super::expression::unwritable;
use super::super::model::{Action, Catalogue, Provider, Reply};
use super::refuse;

pub(super) fn reply(provider: &Provider, reply: &Reply) -> Result<(), CatalogueError> {
    let file = reply.file.as_str();
    let field = |name: &str| format!("reply {}.{name}", reply.id);
    let in_id = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if reply.id.is_empty() || !reply.id.bytes().all(in_id) {
        let accepted = "lower-case letters, digits and dashes";
        return Err(refuse(file, "reply.id", &reply.id, accepted));
    }
    if reply.meaning.is_empty() || reply.meaning.contains(['\n', '\r']) {
        return Err(refuse(file, &field("meaning"), &reply.meaning, "one line"));
    }
    if let Some(accepted) = unwritable(&reply.pattern) {
        return Err(refuse(file, &field("pattern"), &reply.pattern, accepted));
    }
    if is_broad(&reply.pattern) {
        let accepted = "an expression that takes this reply and not greylisting, one full mailbox \
                        or one refused text";
        return Err(refuse(file, &field("pattern"), &reply.pattern, accepted));
    }
    if !reply.source.is_empty() && !provider.sources.contains_key(&reply.source) {
        let known: Vec<_> = provider.sources.keys().map(String::as_str).collect();
        let accepted = format!("one of the file's sources: {}", known.join(", "));
        return Err(refuse(file, &field("source"), &reply.source, accepted));
    }
    action(&reply.action)
        .map_err(|accepted| refuse(file, &field("action"), &reply.action.to_string(), accepted))
}

/// Whether actions may stand together.
pub(in super::super) fn action(action: &Action) -> Result<(), &'static str> {
    const KNOWN: &str = "leave, mode=backoff, mode=normal, skip-mx, bounce-queue, bounce-rcpt, \
                         defer-queue, disable-source-ip[,reenable-after=TIME], or several of them";
    if *action == Action::Leave {
        return Ok(());
    }
    // It is written as it stands, and a line break would make two lines of it.
    if action.to_string().contains(char::is_control) {
        return Err("one line");
    }
    let actions = action.parsed().ok_or(KNOWN)?;
    if actions.backoff && actions.normal {
        return Err("one mode");
    }
    if actions.skip_mx && actions.bounce_queue {
        return Err("skip-mx or bounce-queue, not both");
    }
    if actions.reenable_alone || actions.reenable > 1 {
        return Err("one reenable-after, behind disable-source-ip");
    }
    Ok(())
}

/// What goes into back-off comes out again by itself, whichever rule of the written list put it there.
pub(super) fn way_back(catalogue: &Catalogue, provider: &Provider) -> Result<(), CatalogueError> {
    let everyone = catalogue.everyone().map(|everyone| &everyone.settings);
    let value = |keyword: &str| {
        let own = provider.settings.get(keyword);
        own.or_else(|| everyone.and_then(|settings| settings.get(keyword)))
            .map(String::as_str)
    };
    let ends = |keyword: &str| value(keyword).and_then(parse_time).is_some();
    let normal = |rule: &Reply| rule.action.parsed().is_some_and(|actions| actions.normal);
    let delivery = value("backoff-to-normal-after-delivery")
        .is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "yes" | "true"));
    let back = ends("backoff-to-normal-after") || delivery || catalogue.rules(provider).any(normal);
    for reply in catalogue.rules(provider) {
        let Some(actions) = reply.action.parsed() else {
            continue;
        };
        let accepted = if actions.backoff && !back {
            "backoff-to-normal-after TIME among the settings"
        } else if actions.disable_source
            && actions.reenable == 0
            && !ends("reenable-source-ip-after")
        {
            "reenable-after=TIME behind disable-source-ip"
        } else {
            continue;
        };
        let field = format!("reply {}", reply.id);
        return Err(Fault::NoWayBack { field, accepted }.of(&provider.file));
    }
    Ok(())
}
