//! Comments, quotes, braces, includes and macros: what holds for every directive.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::schema::value::RESERVED_NAMES;
use super::super::super::schema::{Argument, SECTIONS, Scope};
use super::super::super::syntax::{Include, WordFault, Words};
use super::super::check::{Check, shown};
use super::super::codes::{
    BRACES, CLOSING_ARGUMENT, COMMENT_IN_EXPRESSION, CONTINUATION, CUT_VALUE, DOMAIN_TWICE,
    INCLUDE_NOTHING, INCLUDE_UNREAD, KEYWORD_CASE, MACRO_LOOP, RELATIVE_INCLUDE, RESERVED_NAME,
    SECTION_ARGUMENT, SEVERAL_PATTERNS, TOO_NEW, UNKNOWN_MACRO, UNKNOWN_SECTION, VERBATIM,
    VERBATIM_MARK,
};
use super::super::outline::{Block, Entry};

pub(super) fn run(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    for block in &outline.blocks {
        for entry in &block.entries {
            line(check, entry);
            if entry.is("include") {
                include(check, entry);
            }
        }
    }
    let mut domains = BTreeSet::new();
    for block in outline.blocks.iter().skip(1) {
        section(check, block);
        if block.is(Scope::Domain) {
            domain(check, block);
            if !domains.insert((block.parent, block.name.to_ascii_lowercase())) {
                let what = format!("`<domain {}>` is there before, at this level", block.name);
                check.report(DOMAIN_TWICE, block.at, what);
            }
        }
    }
    for at in &outline.verbatim {
        check.report(
            VERBATIM,
            *at,
            "a verbatim block: what is in it was not looked up",
        );
    }
    for at in &outline.stray_marks {
        check.report(
            VERBATIM_MARK,
            *at,
            "this mark of a verbatim block has no partner",
        );
    }
    macros(check);
}

/// Whether a line opens or closes a block as in other languages.
pub(super) fn has_braces(entry: &Entry<'_>) -> bool {
    let body = entry.line.body;
    body == "{" || body.starts_with('}') || body.ends_with(" {") || body.contains(" { ")
}

/// Whether a `#` stands where it cuts an expression or a quote.
pub(super) fn is_cut_open(entry: &Entry<'_>) -> bool {
    if entry.line.comment().is_empty() {
        return false;
    }
    let mut words = Words::of(if entry.keyword.starts_with('/') {
        entry.line.body
    } else {
        entry.value
    });
    if entry.is("header") {
        let _ = words.word();
    }
    let patterns = [
        "mail-from",
        "rcpt-to",
        "header",
        "reply",
        "relay-address",
        "address",
    ];
    let is_pattern = entry.keyword.starts_with('/') || patterns.iter().any(|word| entry.is(word));
    let open_expression = is_pattern && words.regex() == Err(WordFault::Open);
    let quotes = entry.value.replace("\\\"", "").matches('"').count();
    open_expression || quotes % 2 == 1
}

fn line(check: &mut Check<'_, '_>, entry: &Entry<'_>) {
    let body = entry.line.body;
    if has_braces(entry) {
        check.report(
            BRACES,
            entry.at,
            format!("{} has a brace", shown(entry.keyword)),
        );
    }
    if is_cut_open(entry) {
        let what = "the expression or quote ends at its `#`, which begins a comment";
        check.report(COMMENT_IN_EXPRESSION, entry.at, what);
    } else if entry.line.is_cut() && !entry.value.is_empty() {
        let what = format!("the value of {} ends at its `#`", shown(entry.keyword));
        check.report(CUT_VALUE, entry.at, what);
    }
    if body.ends_with(',') || body.ends_with('\\') {
        let what = format!("{} seems to go on in the next line", shown(entry.keyword));
        check.report(CONTINUATION, entry.at, what);
    }
    let is_word = entry
        .keyword
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    if is_word && entry.keyword.bytes().any(|b| b.is_ascii_uppercase()) {
        check.report(
            KEYWORD_CASE,
            entry.at,
            format!("{} has capitals", shown(entry.keyword)),
        );
    }
}

fn include(check: &mut Check<'_, '_>, entry: &Entry<'_>) {
    let path = entry.text();
    let web = path.starts_with("http://") || path.starts_with("https://");
    if !path.starts_with('/') && !web {
        check.report(
            RELATIVE_INCLUDE,
            entry.at,
            format!("{} is relative", shown(path)),
        );
        return;
    }
    match check.sources().include(entry.at.file, entry.at.line) {
        Some(Include::Files(_)) => {}
        Some(Include::Nothing) => {
            check.report(
                INCLUDE_NOTHING,
                entry.at,
                format!("{} matches no file", shown(path)),
            );
        }
        Some(Include::Unread(reason)) => {
            let what = format!("{} was not read: {reason}", shown(path));
            check.report(INCLUDE_UNREAD, entry.at, what);
        }
        None => check.report(
            INCLUDE_UNREAD,
            entry.at,
            format!("{} was not read", shown(path)),
        ),
    }
}

fn section(check: &mut Check<'_, '_>, block: &Block<'_>) {
    if let Some(at) = block.closing_argument {
        check.report(
            CLOSING_ARGUMENT,
            at,
            format!("`</{}>` is followed by more", block.tag),
        );
    }
    if block.tag.bytes().any(|b| b.is_ascii_uppercase()) {
        check.report(
            KEYWORD_CASE,
            block.at,
            format!("`<{}>` has capitals", block.tag),
        );
    }
    if block.verbatim {
        return;
    }
    let Some(rule) = SECTIONS.iter().find(|rule| block.is(rule.scope)) else {
        let what = format!("there is no section `<{}>`", block.tag);
        return check.report(UNKNOWN_SECTION, block.at, what);
    };
    let version = check.options.version;
    if !version.knows(rule.since) {
        let (name, since) = (rule.name, rule.since);
        let what = format!("`<{name}>` is there since {since}, and not in {version}");
        check.report(TOO_NEW, block.at, what);
    }
    let parent = check.outline.blocks[block.parent].scope;
    if parent.is_some_and(|parent| !rule.parents.contains(&parent)) {
        let places: Vec<_> = rule.parents.iter().map(ToString::to_string).collect();
        let what = format!("`<{}>` may stand {}", rule.name, places.join(" or "));
        check.report(UNKNOWN_SECTION, block.at, what);
    }
    let named_inside = rule.scope == Scope::AddressList && parent == Some(Scope::Global);
    let wanted = match rule.argument {
        Argument::Required => !block.inline,
        _ => named_inside,
    };
    if wanted && block.name.is_empty() {
        let what = format!("`<{}>` lacks its argument", rule.name);
        check.report(SECTION_ARGUMENT, block.at, what);
    } else if rule.argument == Argument::None && !block.argument.is_empty() {
        check.report(
            SECTION_ARGUMENT,
            block.at,
            format!("`<{}>` takes nothing", rule.name),
        );
    }
    named(check, block, rule.scope);
}

fn named(check: &mut Check<'_, '_>, block: &Block<'_>, scope: Scope) {
    if block.name.starts_with('{') && !RESERVED_NAMES.contains(&block.name) {
        let what = format!("{} begins with a brace", shown(block.name));
        check.report(RESERVED_NAME, block.at, what);
    }
    let free = matches!(scope, Scope::AcctFile | Scope::Spool | Scope::Domain);
    if !free
        && block.argument.split_ascii_whitespace().nth(1).is_some()
        && block.name == block.argument
    {
        let what = format!("`<{}>` takes one argument", block.tag);
        check.report(SECTION_ARGUMENT, block.at, what);
    }
}

fn domain(check: &mut Check<'_, '_>, block: &Block<'_>) {
    if block.argument.split_ascii_whitespace().nth(1).is_some() {
        let what = format!("{} are several patterns", shown(block.argument));
        check.report(SEVERAL_PATTERNS, block.at, what);
    }
}

/// Macros are used by a `$`, and may name each other.
fn macros(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    let mut known: BTreeMap<&str, (&Entry<'_>, Vec<&str>)> = BTreeMap::new();
    for entry in outline.global().all("domain-macro") {
        let name = entry.pair().0;
        known.insert(name, (entry, uses(&entry.value[name.len()..])));
    }
    for (entry, used) in known.values() {
        for name in used.iter().filter(|name| !known.contains_key(*name)) {
            check.report(
                UNKNOWN_MACRO,
                entry.at,
                format!("`${name}` is defined nowhere"),
            );
        }
    }
    for (_, block) in outline.sections(Scope::Domain) {
        for name in uses(block.name)
            .into_iter()
            .filter(|name| !known.contains_key(name))
        {
            check.report(
                UNKNOWN_MACRO,
                block.at,
                format!("`${name}` is defined nowhere"),
            );
        }
    }
    for name in circles(&known) {
        let what = format!("`${name}` leads to itself");
        check.report(MACRO_LOOP, known[name].0.at, what);
    }
}

/// What names nothing unsettled is settled; whatever is left goes in circles, or leads into one.
fn circles<'a>(known: &BTreeMap<&'a str, (&Entry<'a>, Vec<&'a str>)>) -> BTreeSet<&'a str> {
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut unsettled: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, (_, used)) in known {
        let used = used.iter().filter(|used| known.contains_key(*used));
        for used in used {
            users.entry(used).or_default().push(name);
            *unsettled.entry(name).or_default() += 1;
        }
    }
    let mut ready: Vec<&str> = known
        .keys()
        .filter(|n| !unsettled.contains_key(*n))
        .copied()
        .collect();
    while let Some(name) = ready.pop() {
        for user in users.remove(name).unwrap_or_default() {
            if let Some(count) = unsettled.get_mut(user) {
                *count -= 1;
                if *count == 0 {
                    unsettled.remove(user);
                    ready.push(user);
                }
            }
        }
    }
    known
        .keys()
        .filter(|name| unsettled.contains_key(*name))
        .copied()
        .collect()
}

fn uses(text: &str) -> Vec<&str> {
    let end = |rest: &str| rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = text
        .split('$')
        .skip(1)
        .map(|rest| &rest[..end(rest).unwrap_or(rest.len())]);
    names.filter(|name| !name.is_empty()).collect()
}
