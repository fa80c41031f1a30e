//! `<domain>` sections and the macros that they may name.

use std::collections::BTreeMap;

use crate::config::error::ConfigError;
use crate::config::model::DomainMatch;
use crate::config::parse::{Entry, Node, Section};
use crate::config::pattern::DomainPattern;
use crate::config::schema::Scope;
use crate::config::settings::Settings;
use crate::config::value::Value;

/// Macros name macros, but not so deep; and loops are refused.
const DEEPEST: usize = 32;
/// What all macros of a tag may come to.
const MOST_PATTERNS: usize = 100_000;

/// `domain-macro` lines by name.
pub(super) struct Macros<'a> {
    bindings: BTreeMap<&'a str, &'a [String]>,
}

impl<'a> Macros<'a> {
    pub(super) fn collect(tree: &'a Section) -> Result<Self, ConfigError> {
        let mut bindings = BTreeMap::new();
        for node in &tree.nodes {
            let Node::Entry(entry) = node else { continue };
            if entry.name != "domain-macro" {
                continue;
            }
            let [Value::Text(name), Value::List(list)] = entry.values.as_slice() else {
                continue;
            };
            if !is_macro_name(name) {
                return Err(entry.at.value(format!(
                    "only letters, digits and _ are allowed in the name of a macro, not '{name}'"
                )));
            }
            bindings.insert(name.as_str(), list.as_slice());
        }
        let macros = Self { bindings };
        for node in &tree.nodes {
            if let Node::Entry(entry) = node
                && entry.name == "domain-macro"
            {
                macros.check(entry)?;
            }
        }
        Ok(macros)
    }

    fn check(&self, entry: &Entry) -> Result<(), ConfigError> {
        if let Some(Value::List(list)) = entry.values.get(1) {
            for item in list {
                self.expand(item, 0).map_err(|what| entry.at.value(what))?;
            }
        }
        Ok(())
    }

    /// Every text that the argument can stand for.
    fn expand(&self, text: &str, depth: usize) -> Result<Vec<String>, String> {
        let Some(dollar) = text.find('$') else {
            return Ok(vec![text.to_owned()]);
        };
        if depth == DEEPEST {
            return Err(format!("macros of '{text}' name each other"));
        }
        let after = &text[dollar + 1..];
        let end = after
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(after.len());
        let name = &after[..end];
        let list = self
            .bindings
            .get(name)
            .ok_or_else(|| format!("domain-macro '{name}' is not defined"))?;
        let mut all = Vec::new();
        for item in *list {
            let front = &text[..dollar];
            let joined = match (front.strip_suffix('.'), item.strip_prefix('.')) {
                (Some(front), Some(item)) => format!("{front}.{item}{}", &after[end..]),
                _ => format!("{front}{item}{}", &after[end..]),
            };
            all.extend(self.expand(&joined, depth + 1)?);
            if all.len() > MOST_PATTERNS {
                return Err(format!("'{text}' stands for too many domains"));
            }
        }
        Ok(all)
    }
}

fn is_macro_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// One section, once for each pattern of its argument.
pub(super) fn read(
    section: &Section,
    macros: &Macros<'_>,
) -> Result<Vec<(DomainMatch, Settings)>, ConfigError> {
    let argument = &section.argument;
    let texts = macros
        .expand(argument, 0)
        .map_err(|what| section.at.value(what))?;
    let settings = super::settings(section);
    let mut all = Vec::new();
    for text in texts {
        let pattern = DomainPattern::read(&text).ok_or_else(|| {
            section
                .at
                .value(format!("domain pattern expected instead of '{text}'"))
        })?;
        let from_macro = argument.contains('$');
        all.push((
            DomainMatch {
                pattern,
                from_macro,
            },
            settings.clone(),
        ));
    }
    Ok(all)
}

/// All `<domain>` sections of a virtual MTA or pool.
pub(super) fn inside(
    section: &Section,
    macros: &Macros<'_>,
) -> Result<Vec<(DomainMatch, Settings)>, ConfigError> {
    let mut all = Vec::new();
    for inner in super::inner_sections(section).filter(|inner| inner.scope == Scope::Domain) {
        all.extend(read(inner, macros)?);
    }
    Ok(all)
}
