//! What a change from the configuration in use to this one does.

use std::collections::BTreeMap;

use super::super::super::schema::{Effect, Scope, directives};
use super::super::check::{Check, shown};
use super::super::codes::{QUEUE_LOST, RESTART_NEEDED};
use super::super::outline::{At, Outline};

pub(super) fn run(check: &mut Check<'_, '_>, before: &Outline<'_>) {
    restarts(check, before);
    processors(check, before);
    removed(check, before);
}

/// Values of a directive, by the sections that it stands in.
fn values<'a>(
    outline: &Outline<'a>,
    scope: Scope,
    keyword: &str,
) -> BTreeMap<String, (&'a str, At)> {
    let mut values = BTreeMap::new();
    for (_, block) in outline.sections(scope) {
        if let Some(entry) = block.last(keyword) {
            let holder = &outline.blocks[block.parent];
            let key = format!("{} {} {}", holder.tag, holder.name, block.name).to_ascii_lowercase();
            values.insert(key, (entry.text(), entry.at));
        }
    }
    values
}

fn restarts(check: &mut Check<'_, '_>, before: &Outline<'_>) {
    for directive in directives()
        .iter()
        .filter(|directive| directive.effect != Effect::Reload)
    {
        let scope = directive.scope;
        let old = values(before, scope, directive.keyword);
        let new = values(check.outline, scope, directive.keyword);
        let default = directive.default.unwrap_or_default();
        let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let was = old.get(key).map_or(default, |(value, _)| value);
            let absent = (default, check.outline.global().at);
            let (now, at) = new.get(key).copied().unwrap_or(absent);
            if canonical(was) != canonical(now) && lives(check, directive.scope, key) {
                let (name, words) = (shown(directive.keyword), directive.effect.words());
                let what = format!("{name} from {} to {}: {words}", shown(was), shown(now));
                check.report(RESTART_NEEDED, at, what);
            }
        }
    }
}

/// A section that is gone with its virtual MTA changes nothing any more.
fn lives(check: &Check<'_, '_>, scope: Scope, key: &str) -> bool {
    let mut words = key.split(' ');
    match (scope, words.next(), words.next()) {
        (Scope::Domain, Some("virtual-mta" | "virtual-mta-pool"), Some(name)) => {
            check.egress(name).is_some()
        }
        _ => true,
    }
}

pub(in super::super) fn canonical(value: &str) -> String {
    match value.to_ascii_lowercase().as_str() {
        "yes" => "true".to_owned(),
        "no" => "false".to_owned(),
        other => other.to_owned(),
    }
}

/// The first processor of its kind only starts with the program, and nothing says that the last one
/// ends without.
fn processors(check: &mut Check<'_, '_>, before: &Outline<'_>) {
    for scope in [Scope::BounceProcessor, Scope::FeedbackLoopProcessor] {
        let new = check
            .outline
            .sections(scope)
            .next()
            .map(|(_, block)| block.at);
        let was = before.sections(scope).next().is_some();
        let (words, name) = (Effect::Restart.words(), scope.name());
        match new {
            Some(at) if !was => {
                let what = format!("the first `<{name}>` works {words}");
                check.report(RESTART_NEEDED, at, what);
            }
            None if was => {
                let what = format!("the last `<{name}>` goes {words}");
                check.report(RESTART_NEEDED, check.outline.global().at, what);
            }
            _ => {}
        }
    }
}

fn removed(check: &mut Check<'_, '_>, before: &Outline<'_>) {
    for (_, block) in before.sections(Scope::VirtualMta) {
        if check.named(Scope::VirtualMta, block.name).is_none() {
            let what = format!(
                "{} goes, and with it the mail in its queues",
                shown(block.name)
            );
            check.report(QUEUE_LOST, check.outline.global().at, what);
        }
    }
}
