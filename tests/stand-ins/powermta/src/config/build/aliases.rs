//! `alias`: to whom mail for an address goes instead.

use super::rules::rules;
use crate::config::error::{At, ConfigError};
use crate::config::model::{Alias, Config};
use crate::config::named::is_address;
use crate::config::parse::{Entry, Section, word};

impl Config {
    /// The first alias that fits an address.
    pub(crate) fn alias_of(&self, address: &str) -> Option<&Alias> {
        let (local, domain) = address.rsplit_once('@')?;
        let is_own = || {
            let mut names = self.host_names.iter();
            names.any(|own| own.eq_ignore_ascii_case(domain))
        };
        let same = |wanted: &String, found: &str| wanted.eq_ignore_ascii_case(found);
        self.aliases.iter().find(|alias| {
            let local_fits = alias.local.as_ref().is_none_or(|own| same(own, local));
            local_fits
                && alias
                    .domain
                    .as_ref()
                    .map_or_else(is_own, |own| same(own, domain))
        })
    }
}

pub(super) fn aliases(section: &Section) -> Result<Vec<Alias>, ConfigError> {
    let read = rules(section).map(|rule| match rule.keyword.as_str() {
        "alias" => {
            let (source, targets) = word(&rule.rest);
            alias(source, targets, &rule.at)
        }
        other => Err(rule.at.grammar(format!("unknown directive {other}"))),
    });
    read.collect()
}

/// The same outside `<aliases>`; the table of directives has checked it.
pub(super) fn of_entry(entry: &Entry) -> Option<Alias> {
    let (source, targets) = word(&entry.text);
    alias(source, targets, &entry.at).ok()
}

/// `ADDRESS`, `*@DOMAIN` or a local part alone; then one or more addresses.
fn alias(source: &str, targets: &str, at: &At) -> Result<Alias, ConfigError> {
    let targets: Vec<String> = targets
        .split(',')
        .map(|target| target.trim().to_owned())
        .collect();
    if let Some(bad) = targets.iter().find(|target| !is_address(target)) {
        return Err(at.value(format!("e-mail address expected instead of '{bad}'")));
    }
    if source.starts_with('/') {
        return Err(at.value("an alias is no regular expression"));
    }
    let (local, domain) = match source.rsplit_once('@') {
        Some((local, domain)) => (local, Some(domain.to_lowercase())),
        None => (source, None),
    };
    Ok(Alias {
        local: (local != "*").then(|| local.to_lowercase()),
        domain,
        targets,
    })
}
