//! What a catalogue must hold to before it is rendered. Nothing here runs an expression.

mod provider;
mod reply;
mod settings;

use std::collections::{BTreeMap, BTreeSet};

use super::error::{CatalogueError, Fault};
use super::expression::unwritable;
use super::model::{CATEGORIES, Catalogue, Category};

pub(super) use provider::is_domain;
pub(super) use reply::action;
pub(super) use settings::{GLOBAL, SETTINGS, SPOOL, date, global, setting, spools};

pub(super) fn refuse(
    file: &str,
    field: &str,
    value: &str,
    accepted: impl Into<String>,
) -> CatalogueError {
    let fault = Fault::Value {
        field: field.to_owned(),
        value: value.to_owned(),
        accepted: accepted.into(),
    };
    fault.of(file)
}

pub(super) fn all(catalogue: &Catalogue) -> Result<(), CatalogueError> {
    let mut names = BTreeSet::new();
    let mut ids = BTreeSet::new();
    let mut domains: BTreeMap<&str, &str> = BTreeMap::new();
    for provider in &catalogue.providers {
        let file = provider.file.as_str();
        provider::provider(provider)?;
        if !names.insert(&provider.name) {
            let accepted = "a name of no other provider";
            return Err(refuse(file, "name", &provider.name, accepted));
        }
        for domain in &provider.domains {
            if let Some(other) = domains.insert(domain, &provider.name) {
                let accepted = format!("a domain of no other provider; {other} has it");
                return Err(refuse(file, "domains", domain, accepted));
            }
        }
        if let Some(reply) = provider.replies.iter().find(|reply| !ids.insert(&reply.id)) {
            let accepted = "an id of no other rule";
            return Err(refuse(&reply.file, "reply.id", &reply.id, accepted));
        }
        reply::way_back(catalogue, provider)?;
    }
    queues(catalogue)?;
    categories(&catalogue.categories)
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
            if pattern.is_empty() && category.name != "other" {
                let accepted = "the empty expression for `other` alone, which takes everything";
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
