//! What leads a queue into back-off or takes an address away, and the way back.

use std::collections::BTreeMap;

use super::super::super::super::schema::Scope;
use super::super::super::super::schema::value::{Actions, parse_actions, parse_time};
use super::super::super::check::{Check, shown};
use super::super::super::codes::{NO_WAY_BACK, REPLY_LIST_UNKNOWN, SOURCE_STAYS_DISABLED};
use super::super::super::outline::{Block, Entry};
use super::reply;

pub(in super::super) fn run(check: &mut Check<'_, '_>) {
    let mut general = BTreeMap::new();
    for (index, domain) in check.outline.sections(Scope::Domain) {
        if domain.name == "*" {
            general.entry(domain.parent).or_insert(index);
        }
    }
    for (_, domain) in check.outline.sections(Scope::Domain) {
        bound(check, domain, &general);
    }
}

/// `general` has the `<domain *>` of each level.
fn bound(check: &mut Check<'_, '_>, domain: &Block<'_>, general: &BTreeMap<usize, usize>) {
    let mut enters = domain.says_yes("backoff-upon-all-sources-disabled");
    let mut at = domain.at;
    let mut actions: Vec<Actions> = Vec::new();
    if let Some(entry) = domain
        .last("smtp-pattern-list")
        .filter(|entry| !entry.text().is_empty())
    {
        at = entry.at;
        match check.named(Scope::SmtpPatternList, entry.text()) {
            None if check.is_unknown(Scope::SmtpPatternList, entry.text()) => {
                let what = format!("there is no list {}", shown(entry.text()));
                check.report(REPLY_LIST_UNKNOWN, entry.at, what);
            }
            None => {}
            Some(index) => {
                let list = &check.outline.blocks[index];
                let lines = list.all("reply").filter_map(|entry| reply(entry).1);
                actions.extend(lines.filter_map(parse_actions));
            }
        }
    }
    enters |= actions.iter().any(|actions| actions.backoff);
    let returns = actions.iter().any(|actions| actions.normal);
    let name = shown(domain.name);
    if enters && !returns && !has_way_back(check, domain, general) {
        let what = format!("queues of {name} go into back-off and stay there");
        check.report(NO_WAY_BACK, at, what);
    }
    let for_good = |actions: &Actions| actions.disable_source && actions.reenable == 0;
    let after = first(check, domain, general, "reenable-source-ip-after");
    let ends = after.is_some_and(|entry| parse_time(entry.text()).is_some());
    if actions.iter().any(for_good) && !ends {
        let what = format!("addresses that a reply disables for {name} stay disabled");
        check.report(SOURCE_STAYS_DISABLED, at, what);
    }
}

fn has_way_back(
    check: &Check<'_, '_>,
    domain: &Block<'_>,
    general: &BTreeMap<usize, usize>,
) -> bool {
    let first = |keyword| first(check, domain, general, keyword);
    let after = first("backoff-to-normal-after").is_some_and(|entry| entry.text() != "never");
    after || first("backoff-to-normal-after-delivery").is_some_and(Entry::is_yes)
}

/// What a domain does not say, the general one of its level says, and then the global one.
fn first<'c, 'a>(
    check: &Check<'a, 'c>,
    domain: &'c Block<'a>,
    general: &BTreeMap<usize, usize>,
    keyword: &str,
) -> Option<&'c Entry<'a>> {
    let general = |parent: usize| general.get(&parent).map(|at| &check.outline.blocks[*at]);
    let chain = [Some(domain), general(domain.parent), general(0)];
    chain
        .into_iter()
        .flatten()
        .find_map(|block| block.last(keyword))
}
