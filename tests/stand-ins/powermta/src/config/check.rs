//! What one line says about another: names that must exist, and in time.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{At, ConfigError};
use super::model::{Config, PatternList, PatternResult, SourceMatch};
use super::parse::{Entry, Node, Section};
use super::schema::{self, Scope};
use super::value::Value;

/// Checks in the order of the file, so that the first fault is the first one reported.
pub(super) fn references(tree: &Section, config: &Config) -> Result<(), ConfigError> {
    let mut seen_lists = BTreeSet::new();
    for node in &tree.nodes {
        match node {
            Node::Entry(entry) => entry_references(entry, config)?,
            Node::Section(section) => {
                section_references(section, config, &seen_lists)?;
                if section.scope == Scope::PatternList {
                    seen_lists.insert(section.argument.to_lowercase());
                }
            }
            Node::Rule(_) => {}
        }
    }
    pools_with_domains(tree, config)?;
    mandatory(config)
}

fn section_references(
    section: &Section,
    config: &Config,
    seen_lists: &BTreeSet<String>,
) -> Result<(), ConfigError> {
    if section.scope == Scope::PatternList
        && let Some(list) = config.pattern_lists.get(&section.argument.to_lowercase())
    {
        list_references(list, section, config)?;
    }
    for node in &section.nodes {
        match node {
            Node::Section(inner) => section_references(inner, config, seen_lists)?,
            Node::Entry(entry) => {
                entry_references(entry, config)?;
                if entry.name == "pattern-list" && !seen_lists.contains(&name_of(entry)) {
                    return Err(entry.at.value(format!(
                        "pattern list '{}' is not defined (it has to be defined before)",
                        entry.text
                    )));
                }
            }
            Node::Rule(_) => {}
        }
    }
    Ok(())
}

fn name_of(entry: &Entry) -> String {
    match entry.values.first() {
        Some(Value::Text(name)) => name.to_lowercase(),
        _ => String::new(),
    }
}

fn entry_references(entry: &Entry, config: &Config) -> Result<(), ConfigError> {
    let name = name_of(entry);
    let is_vmta = config.virtual_mtas.contains_key(&name);
    let is_either = is_vmta || config.pools.contains_key(&name);
    let known = match entry.name {
        "default-virtual-mta" => is_either || name == "by-smtp-source-ip",
        "virtual-mta" | "cold-virtual-mta" | "invalid-virtual-mta-fallback" => is_vmta,
        // The guide supports no reroute to a pool.
        "reroute-to-virtual-mta" | "backoff-reroute-to-virtual-mta" => name.is_empty() || is_vmta,
        "smtp-pattern-list" => name.is_empty() || config.reply_lists.contains_key(&name),
        "suppression-lists" => {
            let Some(Value::List(lists)) = entry.values.first() else {
                return Ok(());
            };
            lists
                .iter()
                .all(|list| config.address_lists.contains_key(&list.to_lowercase()))
        }
        "smtp-listener" => match entry.values.get(1) {
            Some(Value::Text(source)) => is_source(source, config),
            _ => true,
        },
        "source" => is_source(&name, config),
        "domain-key" => return key_file(entry),
        _ => true,
    };
    if known {
        Ok(())
    } else {
        Err(entry
            .at
            .value(format!("{}: '{}' is not defined", entry.name, entry.text)))
    }
}

fn is_source(name: &str, config: &Config) -> bool {
    config.sources.iter().any(|source| {
        matches!(&source.matches, SourceMatch::Named(own) if own.eq_ignore_ascii_case(name))
    })
}

/// A key that cannot be read would show only at the first signature, on a live queue.
fn key_file(entry: &Entry) -> Result<(), ConfigError> {
    let Some(Value::List(parts)) = entry.values.first() else {
        return Ok(());
    };
    let file = parts.last().map_or("", String::as_str);
    let text = std::fs::read_to_string(file).map_err(|error| {
        entry
            .at
            .value(format!("domain-key: cannot read {file}: {error}"))
    })?;
    if text.contains("PRIVATE KEY-----") {
        Ok(())
    } else {
        Err(entry
            .at
            .value(format!("domain-key: {file} holds no private key")))
    }
}

fn list_references(
    list: &PatternList,
    section: &Section,
    config: &Config,
) -> Result<(), ConfigError> {
    for (index, rule) in list.rules.iter().enumerate() {
        let at = section
            .nodes
            .iter()
            .filter_map(|node| match node {
                Node::Rule(rule) => Some(rule),
                _ => None,
            })
            .nth(index)
            .map_or(&section.at, |rule| &rule.at);
        match &rule.result {
            PatternResult::VirtualMta(name) => {
                let key = name.to_lowercase();
                let known =
                    config.virtual_mtas.contains_key(&key) || config.pools.contains_key(&key);
                if !known {
                    return Err(at.value(format!("virtual-mta '{name}' is not defined")));
                }
            }
            PatternResult::CallTo(other) if !config.pattern_lists.contains_key(other) => {
                return Err(at.value(format!("pattern list '{other}' is not defined")));
            }
            PatternResult::CallTo(_) => {}
            PatternResult::Nested(inner) => list_references(inner, section, config)?,
        }
    }
    Ok(())
}

/// Two pools that both have domains would say different things about one queue.
fn pools_with_domains(tree: &Section, config: &Config) -> Result<(), ConfigError> {
    let mut claimed = BTreeSet::new();
    for node in &tree.nodes {
        let Node::Section(section) = node else {
            continue;
        };
        if section.scope != Scope::Pool {
            continue;
        }
        let Some(pool) = config.pools.get(&section.argument.to_lowercase()) else {
            continue;
        };
        if pool.domains.is_empty() {
            continue;
        }
        for member in &pool.members {
            if !claimed.insert(member.to_lowercase()) {
                return Err(section.at.value(format!(
                    "virtual-mta '{member}' is in more than one pool that contains <domain>"
                )));
            }
        }
    }
    Ok(())
}

/// Each directive that is taken and not carried out, with its first place.
pub(super) fn idle(tree: &Section) -> Vec<String> {
    let mut first = BTreeMap::new();
    note_idle(tree, &mut first);
    let line = |(name, at): (&str, At)| {
        let file = at.file.display();
        format!("{name} (line {} of {file})", at.line)
    };
    first.into_iter().map(line).collect()
}

fn note_idle(section: &Section, first: &mut BTreeMap<&'static str, At>) {
    for node in &section.nodes {
        match node {
            Node::Entry(entry) if schema::is_idle(section.scope, entry.name) => {
                let place = first.entry(entry.name);
                place.or_insert_with(|| entry.at.clone());
            }
            Node::Section(inner) => note_idle(inner, first),
            Node::Entry(_) | Node::Rule(_) => {}
        }
    }
}

fn mandatory(config: &Config) -> Result<(), ConfigError> {
    let missing = if config.log_file.as_os_str().is_empty() {
        "log-file is missing"
    } else if config.spools.is_empty() {
        "no spool is configured"
    } else {
        return Ok(());
    };
    Err(ConfigError::Missing {
        file: config.file.clone(),
        what: missing.to_owned(),
    })
}
