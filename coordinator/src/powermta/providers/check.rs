//! What a catalogue must hold to before it is rendered. Nothing here runs an expression.

use std::collections::{BTreeMap, BTreeSet};

use super::super::lint::is_broad;
use super::super::schema::value::parse_time;
use super::super::schema::{Scope, Standing, directive};
use super::error::CatalogueError;
use super::expression::unwritable;
use super::model::{Action, CATEGORIES, Catalogue, Category, Provider, Reply, Rollup, Spool};

/// Directives of a `<domain>` that a provider may set: how fast, how often, how it slows down.
pub(super) const SETTINGS: [&str; 29] = [
    "backoff-max-connect-rate",
    "backoff-max-data-volume-rate",
    "backoff-max-msg-rate",
    "backoff-max-smtp-out",
    "backoff-retry-after",
    "backoff-to-normal-after",
    "backoff-to-normal-after-delivery",
    "backoff-upon-all-sources-disabled",
    "bounce-after",
    "bounce-upon-5xx-greeting",
    "bounce-upon-no-mx",
    "connect-timeout",
    "connection-idle-timeout",
    "data-send-timeout",
    "max-connect-rate",
    "max-data-volume-rate",
    "max-errors-per-connection",
    "max-msg-per-connection",
    "max-msg-rate",
    "max-rcpt-per-transaction",
    "max-smtp-out",
    "reenable-source-ip-after",
    "retry-after",
    "retry-recipients-after",
    "retry-upon-new-mail",
    "smtp-421-means-mx-unavailable",
    "smtp-553-means-invalid-mailbox",
    "smtp-greeting-timeout",
    "smtp-out-rampup-interval",
];

/// Directives outside of sections that a base may set.
pub(super) const GLOBAL: [&str; 6] = [
    "log-auto-rotation",
    "log-file",
    "log-file-world-readable",
    "log-rotate",
    "spool-delete-corrupted",
    "spool-max-recipients",
];

/// Directives of a `<spool>` that a base may set.
pub(super) const SPOOL: [&str; 4] = [
    "delete-file-holders",
    "deliver-only",
    "min-free-space",
    "priority",
];

fn refuse(file: &str, field: &str, value: &str, accepted: impl Into<String>) -> CatalogueError {
    CatalogueError::Value {
        file: file.to_owned(),
        field: field.to_owned(),
        value: value.to_owned(),
        accepted: accepted.into(),
    }
}

/// A day of the calendar.
pub(super) fn date(file: &str, text: &str) -> Result<(), CatalogueError> {
    let day = text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok();
    if day {
        Ok(())
    } else {
        Err(refuse(file, "checked", text, "a day as YYYY-MM-DD"))
    }
}

pub(super) fn global(file: &str, lines: &BTreeMap<String, String>) -> Result<(), CatalogueError> {
    settings(file, "global", lines, Scope::Global, &GLOBAL)
}

pub(super) fn spools(file: &str, spools: &[Spool]) -> Result<(), CatalogueError> {
    for spool in spools {
        if !super::super::is_file_path(&spool.path) {
            let accepted = "an absolute path of letters, digits, dots, dashes and slashes";
            return Err(refuse(file, "spool.path", &spool.path, accepted));
        }
        settings(file, "spool", &spool.settings, Scope::Spool, &SPOOL)?;
    }
    Ok(())
}

/// Keywords that may stand there, with one value that each takes.
fn settings(
    file: &str,
    table: &str,
    lines: &BTreeMap<String, String>,
    scope: Scope,
    allowed: &[&str],
) -> Result<(), CatalogueError> {
    for (keyword, value) in lines {
        if !allowed.contains(&keyword.as_str()) {
            return Err(refuse(
                file,
                table,
                keyword,
                format!("one of {}", allowed.join(", ")),
            ));
        }
        setting(scope, keyword, value)
            .map_err(|accepted| refuse(file, &format!("{table}.{keyword}"), value, accepted))?;
    }
    Ok(())
}

/// Whether a value can be written behind a keyword; else what would be accepted.
pub(super) fn setting(scope: Scope, keyword: &str, value: &str) -> Result<(), String> {
    let known = directive(scope, keyword)
        .filter(|known| known.standing == Standing::Documented && known.arguments.len() == 1);
    let Some(kind) = known.and_then(|known| known.arguments.first()) else {
        return Err("a documented directive with one value".to_owned());
    };
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"#\"<>".contains(c);
    if value.is_empty() || !value.chars().all(plain) {
        return Err(kind.accepted());
    }
    kind.check(value)
}

pub(super) fn all(catalogue: &Catalogue) -> Result<(), CatalogueError> {
    let mut names = BTreeSet::new();
    let mut ids = BTreeMap::new();
    let mut domains: BTreeMap<&str, &str> = BTreeMap::new();
    for provider in &catalogue.providers {
        let file = provider.file.as_str();
        self::provider(provider)?;
        if !names.insert(&provider.name) {
            return Err(refuse(
                file,
                "name",
                &provider.name,
                "a name of no other provider",
            ));
        }
        for domain in &provider.domains {
            if let Some(other) = domains.insert(domain, &provider.name) {
                let accepted = format!("a domain of no other provider; {other} has it");
                return Err(refuse(file, "domains", domain, accepted));
            }
        }
        for reply in &provider.replies {
            if ids.insert(&reply.id, file).is_some() {
                return Err(refuse(
                    file,
                    "reply.id",
                    &reply.id,
                    "an id of no other rule",
                ));
            }
            way_back(catalogue, provider, reply)?;
        }
    }
    queues(catalogue)?;
    categories(&catalogue.categories)
}

fn provider(provider: &Provider) -> Result<(), CatalogueError> {
    let file = provider.file.as_str();
    let in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if provider.name.is_empty() || provider.name.len() > 40 || !provider.name.bytes().all(in_name) {
        let accepted = "1 to 40 lower-case letters, digits or _";
        return Err(refuse(file, "name", &provider.name, accepted));
    }
    date(file, &provider.checked)?;
    if provider.title.contains(['\n', '\r']) {
        return Err(refuse(file, "title", &provider.title, "one line"));
    }
    if provider.domains.is_empty() && provider.rollups.is_empty() {
        return Err(refuse(file, "domains", "[]", "at least one domain"));
    }
    for domain in &provider.domains {
        let everyone = domain == "*";
        if everyone != provider.is_everyone() || !(everyone || is_domain(domain)) {
            let accepted = "a domain in lower case such as example.com, *.example.com or \
                            [*.]example.com; * for everyone alone";
            return Err(refuse(file, "domains", domain, accepted));
        }
    }
    settings(
        file,
        "settings",
        &provider.settings,
        Scope::Domain,
        &SETTINGS,
    )?;
    provider
        .rollups
        .iter()
        .try_for_each(|rollup| self::rollup(file, rollup))?;
    provider
        .replies
        .iter()
        .try_for_each(|reply| self::reply(provider, reply))
}

/// Domains in lower case, with the wildcards of the product.
pub(super) fn is_domain(text: &str) -> bool {
    let plain = text
        .strip_prefix("[*.]")
        .or_else(|| text.strip_prefix("*."))
        .unwrap_or(text);
    let inner = |c: char| c.is_alphanumeric() && !c.is_uppercase() || c == '-' || c == '_';
    plain.contains('.')
        && plain.len() <= 253
        && plain
            .split('.')
            .all(|label| !label.is_empty() && label.chars().all(inner))
}

fn rollup(file: &str, rollup: &Rollup) -> Result<(), CatalogueError> {
    if !(rollup.queue.ends_with(".rollup") && is_domain(&rollup.queue)) {
        let accepted = "a name in lower case that ends in .rollup";
        return Err(refuse(file, "rollup.queue", &rollup.queue, accepted));
    }
    let pattern = |mx: &&String| mx.contains('*');
    if let Some(mx) = rollup.mx.iter().find(|mx| !is_domain(mx)) {
        return Err(refuse(
            file,
            "rollup.mx",
            mx,
            "the name of a host in lower case",
        ));
    }
    if rollup.mx.is_empty() {
        return Err(refuse(file, "rollup.mx", "[]", "at least one host"));
    }
    if rollup.hosts.is_none()
        && !rollup.by_ip
        && let Some(mx) = rollup.mx.iter().find(pattern)
    {
        let accepted = "a host without *, as long as `hosts` does not say where to deliver";
        return Err(refuse(file, "rollup.mx", mx, accepted));
    }
    if let Some(hosts) = &rollup.hosts {
        setting(Scope::Domain, "smtp-hosts", hosts)
            .map_err(|accepted| refuse(file, "rollup.hosts", hosts, accepted))?;
    }
    Ok(())
}

fn reply(provider: &Provider, reply: &Reply) -> Result<(), CatalogueError> {
    let file = provider.file.as_str();
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
        return Err(refuse(
            file,
            &field("source"),
            &reply.source,
            known.join(", "),
        ));
    }
    action(&reply.action)
        .map_err(|accepted| refuse(file, &field("action"), &reply.action.to_string(), accepted))
}

/// Whether actions may stand together.
pub(super) fn action(action: &Action) -> Result<(), &'static str> {
    const KNOWN: &str = "leave, mode=backoff, mode=normal, skip-mx, bounce-queue, bounce-rcpt, \
                         defer-queue, disable-source-ip[,reenable-after=TIME], or several of them";
    if *action == Action::Leave {
        return Ok(());
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

/// What goes into back-off comes out again by itself.
fn way_back(
    catalogue: &Catalogue,
    provider: &Provider,
    reply: &Reply,
) -> Result<(), CatalogueError> {
    let Some(actions) = reply.action.parsed() else {
        return Ok(());
    };
    let everyone = catalogue.everyone().map(|everyone| &everyone.settings);
    let value = |keyword: &str| {
        let own = provider.settings.get(keyword);
        own.or_else(|| everyone.and_then(|settings| settings.get(keyword)))
            .map(String::as_str)
    };
    let ends = |keyword: &str| value(keyword).and_then(parse_time).is_some();
    let normal = |rule: &Reply| rule.action.parsed().is_some_and(|actions| actions.normal);
    let no_way_back = |accepted| {
        Err(CatalogueError::NoWayBack {
            file: provider.file.clone(),
            field: format!("reply {}", reply.id),
            accepted,
        })
    };
    let delivery = value("backoff-to-normal-after-delivery")
        .is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "yes" | "true"));
    let back = ends("backoff-to-normal-after") || delivery || catalogue.rules(provider).any(normal);
    if actions.backoff && !back {
        return no_way_back("backoff-to-normal-after TIME among the settings");
    }
    if actions.disable_source && actions.reenable == 0 && !ends("reenable-source-ip-after") {
        return no_way_back("reenable-after=TIME behind disable-source-ip");
    }
    Ok(())
}

/// A queue and an MX belong to one provider.
fn queues(catalogue: &Catalogue) -> Result<(), CatalogueError> {
    let (mut queues, mut hosts) = (BTreeSet::new(), BTreeSet::new());
    for provider in &catalogue.providers {
        let file = provider.file.as_str();
        for rollup in &provider.rollups {
            if !queues.insert(&rollup.queue) {
                let accepted = "a queue that is named once";
                return Err(refuse(file, "rollup.queue", &rollup.queue, accepted));
            }
            if let Some(mx) = rollup.mx.iter().find(|mx| !hosts.insert(*mx)) {
                return Err(refuse(file, "rollup.mx", mx, "a host of one queue"));
            }
        }
    }
    Ok(())
}

/// Known names; the last expression takes what is left, and no other does.
fn categories(categories: &[Category]) -> Result<(), CatalogueError> {
    let mut ended = false;
    for category in categories {
        let file = category.file.as_str();
        if !CATEGORIES.contains(&category.name.as_str()) {
            let accepted = format!("one of {}", CATEGORIES.join(", "));
            return Err(refuse(file, "category.name", &category.name, accepted));
        }
        let field = format!("category {}.patterns", category.name);
        for pattern in &category.patterns {
            if let Some(accepted) = unwritable(pattern) {
                return Err(refuse(file, &field, pattern, accepted));
            }
            if ended {
                let accepted = "nothing behind the empty expression, which takes everything";
                return Err(refuse(file, &field, pattern, accepted));
            }
            ended = pattern.is_empty();
        }
    }
    if categories.is_empty() || ended {
        return Ok(());
    }
    let accepted = "an empty expression of `other` as the last one";
    Err(refuse(&categories[0].file, "category", "", accepted))
}
