//! Names: of macros and what they stand for, and of providers.

use std::collections::BTreeMap;

use super::super::super::lint::Block;
use super::super::model::EVERYONE;

/// How deep macros may name each other.
const DEPTH: usize = 8;
/// Most domains that all tags together may stand for.
const MOST: usize = 20_000;
/// Longest name of a domain, with macros in it.
const LONGEST: usize = 300;

/// A name in the form of a macro.
pub(super) fn named_after(tag: &str) -> String {
    let first = tag.split_whitespace().next().unwrap_or_default();
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() => c.to_ascii_lowercase(),
        _ => '_',
    };
    let signs = first.trim_matches(['$', '"']).chars();
    let name: String = signs.take(40).map(plain).collect();
    if name.is_empty() {
        "unnamed".to_owned()
    } else {
        name
    }
}

/// A name that no other provider has.
pub(super) fn unique(name: &str, names: &mut BTreeMap<String, usize>) -> String {
    let mut fresh = name.to_owned();
    while fresh == EVERYONE || names.contains_key(&fresh) {
        let count = names.entry(name.to_owned()).or_insert(1);
        *count += 1;
        fresh = format!("{}_{count}", name.get(..33).unwrap_or(name));
    }
    names.insert(fresh.clone(), 1);
    fresh
}

/// Macros with what they stand for.
pub(super) fn macros<'a>(global: &Block<'a>) -> BTreeMap<&'a str, &'a str> {
    let cut = |value: &'a str| value.split_once(char::is_whitespace);
    global
        .all("domain-macro")
        .filter_map(|entry| cut(entry.value))
        .collect()
}

/// The domains that a pattern with macros stands for.
pub(super) fn expand(
    word: &str,
    macros: &BTreeMap<&str, &str>,
    depth: usize,
    domains: &mut Vec<String>,
    expanded: &mut usize,
) {
    if *expanded >= MOST || word.len() > LONGEST {
        *expanded += 1;
        return;
    }
    let named = word.split_once('$').filter(|_| depth < DEPTH);
    let list = named.and_then(|(before, rest)| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = rest.find(|c| !inner(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        macros.get(name).map(|list| (before, *list, after))
    });
    let Some((before, list, after)) = list else {
        *expanded += 1;
        domains.push(word.to_lowercase());
        return;
    };
    for part in list.split(',').map(str::trim) {
        if *expanded >= MOST {
            return;
        }
        let word = format!("{before}{part}{after}");
        expand(&word, macros, depth + 1, domains, expanded);
    }
}
