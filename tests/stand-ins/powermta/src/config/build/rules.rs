//! Lists whose lines are rules: pattern lists, reply patterns, bounce categories.

use std::time::Duration;

use crate::config::error::{At, ConfigError};
use crate::config::line::take_expression;
use crate::config::model::{
    PatternList, PatternResult, PatternRule, ReplyAction, ReplyRule, Subject,
};
use crate::config::named::is_name;
use crate::config::parse::{Node, Rule, Section, word};
use crate::config::pattern::Expression;
use crate::config::quantity::{digits, time};

pub(super) fn rules(section: &Section) -> impl Iterator<Item = &Rule> {
    section.nodes.iter().filter_map(|node| match node {
        Node::Rule(rule) => Some(rule),
        _ => None,
    })
}

fn expression<'a>(text: &'a str, at: &At) -> Result<(Expression, &'a str), ConfigError> {
    if text.is_empty() {
        return Err(at.value("argument missing"));
    }
    let (inner, rest) = take_expression(text).map_err(|what| at.value(what))?;
    let compiled = Expression::new(&inner).map_err(|what| at.value(what))?;
    Ok((compiled, rest))
}

pub(super) fn pattern_list(section: &Section) -> Result<PatternList, ConfigError> {
    let read = rules(section).map(pattern_rule).collect::<Result<_, _>>()?;
    Ok(PatternList { rules: read })
}

fn pattern_rule(rule: &Rule) -> Result<PatternRule, ConfigError> {
    let at = &rule.at;
    let (subject, result) = match rule.keyword.as_str() {
        "mail-from" => {
            let (pattern, rest) = expression(&rule.rest, at)?;
            (Subject::MailFrom(pattern), rest)
        }
        "rcpt-to" => {
            let (pattern, rest) = expression(&rule.rest, at)?;
            (Subject::RcptTo(pattern), rest)
        }
        "header" => {
            let (name, rest) = word(&rule.rest);
            let (pattern, rest) = expression(rest, at)?;
            (Subject::Header(name.to_lowercase(), pattern), rest)
        }
        "*" => (Subject::Any, rule.rest.as_str()),
        other => return Err(at.grammar(format!("unknown directive {other}"))),
    };
    let result = match &rule.nested {
        Some(_) if !result.is_empty() => {
            return Err(at.value(format!("too many arguments: '{result}'")));
        }
        Some(nested) => PatternResult::Nested(pattern_list(nested)?),
        None => pattern_result(result, at)?,
    };
    Ok(PatternRule { subject, result })
}

fn pattern_result(text: &str, at: &At) -> Result<PatternResult, ConfigError> {
    if text.is_empty() {
        return Err(at.value("argument missing"));
    }
    if let Some(list) = text.strip_prefix("call-to:") {
        let list = list.trim();
        return if is_name(list) {
            Ok(PatternResult::CallTo(list.to_lowercase()))
        } else {
            Err(at.value(format!(
                "name of a pattern list expected instead of '{list}'"
            )))
        };
    }
    let mut chosen = None;
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("virtual-mta", name)) if is_name(name) => chosen = Some(name.to_owned()),
            Some(("recipient-priority", number)) if digits(number).is_some_and(|n| n <= 100) => {}
            _ => {
                return Err(at.value(format!(
                    "virtual-mta=NAME[,recipient-priority=0-100] or call-to:LIST expected \
                     instead of '{text}'"
                )));
            }
        }
    }
    chosen
        .map(PatternResult::VirtualMta)
        .ok_or_else(|| at.value("virtual-mta=NAME is missing"))
}

pub(super) fn reply_list(section: &Section) -> Result<Vec<ReplyRule>, ConfigError> {
    rules(section).map(reply_rule).collect()
}

fn reply_rule(rule: &Rule) -> Result<ReplyRule, ConfigError> {
    let at = &rule.at;
    if rule.keyword != "reply" {
        return Err(at.grammar(format!("unknown directive {}", rule.keyword)));
    }
    let (reply, rest) = expression(&rule.rest, at)?;
    if rest.is_empty() {
        return Err(at.value("argument missing"));
    }
    let mut actions = Vec::new();
    let mut reenable: Option<Duration> = None;
    for part in rest.split(',').map(str::trim) {
        match part {
            "mode=backoff" => actions.push(ReplyAction::Backoff),
            "mode=normal" => actions.push(ReplyAction::Normal),
            "skip-mx" => actions.push(ReplyAction::SkipMx),
            "bounce-queue" => actions.push(ReplyAction::BounceQueue),
            "bounce-rcpt" => actions.push(ReplyAction::BounceRcpt),
            "defer-queue" => actions.push(ReplyAction::DeferQueue),
            "disable-source-ip" => actions.push(ReplyAction::DisableSource(None)),
            _ => {
                let interval = part.strip_prefix("reenable-after=").and_then(time);
                reenable =
                    Some(interval.ok_or_else(|| at.value(format!("unknown action '{part}'")))?);
            }
        }
    }
    refuse_conflicts(&actions, reenable.is_some(), at)?;
    for action in &mut actions {
        if let ReplyAction::DisableSource(after) = action {
            *after = reenable;
        }
    }
    Ok(ReplyRule { reply, actions })
}

fn refuse_conflicts(actions: &[ReplyAction], reenable: bool, at: &At) -> Result<(), ConfigError> {
    let has = |action: &ReplyAction| actions.contains(action);
    if has(&ReplyAction::Backoff) && has(&ReplyAction::Normal) {
        return Err(at.value("mode=backoff and mode=normal exclude each other"));
    }
    if has(&ReplyAction::SkipMx) && has(&ReplyAction::BounceQueue) {
        return Err(at.value("skip-mx and bounce-queue exclude each other"));
    }
    if reenable && !has(&ReplyAction::DisableSource(None)) {
        return Err(at.value("reenable-after is only allowed with disable-source-ip"));
    }
    Ok(())
}

pub(super) fn categories(section: &Section) -> Result<Vec<(Expression, String)>, ConfigError> {
    let mut all = Vec::new();
    for rule in rules(section) {
        let (pattern, rest) = expression(rule.rest.trim(), &rule.at)?;
        let category = rest.trim();
        if category.is_empty() {
            return Err(rule.at.value("argument missing"));
        }
        if !is_name(category) {
            let what = format!("name of a category expected instead of '{category}'");
            return Err(rule.at.value(what));
        }
        all.push((pattern, category.to_owned()));
    }
    Ok(all)
}
