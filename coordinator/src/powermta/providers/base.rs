//! An operator's own receivers, categories, spool and log, before those of the catalogue.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::check;
use super::error::CatalogueError;
use super::model::{Catalogue, Category, EVERYONE, Provider, Rollup, Spool};

/// What goes before the catalogue. Same form as its files, in one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Base {
    /// When it was made; `YYYY-MM-DD`.
    pub checked: String,
    /// What it was made of.
    pub origin: String,
    /// Directives outside of sections: those of log and spool.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub global: BTreeMap<String, String>,
    /// Folders in which mail waits.
    #[serde(default, rename = "spool", skip_serializing_if = "Vec::is_empty")]
    pub spools: Vec<Spool>,
    /// Receivers.
    #[serde(default, rename = "provider", skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<Provider>,
    /// Categories of bounces, tried before those of the catalogue.
    #[serde(default, rename = "category", skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Category>,
}

impl Base {
    pub(super) fn name_file(&mut self, file: &str) {
        for provider in &mut self.providers {
            provider.name_file(file);
        }
        for category in &mut self.categories {
            file.clone_into(&mut category.file);
        }
    }

    /// Refuses what must not be rendered, but for what only shows beside the catalogue.
    pub(super) fn check(&self, file: &str) -> Result<(), CatalogueError> {
        check::date(file, &self.checked)?;
        check::global(file, &self.global)?;
        check::spools(file, &self.spools)
    }

    /// Its text, which [`Catalogue::load`] reads as `powermta/base.toml`.
    ///
    /// # Errors
    /// Never in practice: texts by names are TOML.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }
}

impl Catalogue {
    /// Puts a base before what is there. A domain belongs to one provider: the base's, if it names
    /// it; and so do an MX host and a shared queue. What loses a domain also loses its shared queues,
    /// which would take the domain along; what is left of a provider whose name the base has too goes on
    /// as its rest. For everyone the two are one: the base's settings win, its
    /// rules go first.
    pub(super) fn put_before(&mut self, mut base: Base) {
        self.join_everyone(&mut base);
        self.keep_queues(&mut base);
        let names: BTreeSet<&str> = base.providers.iter().map(|p| p.name.as_str()).collect();
        let taken: BTreeSet<&str> = base
            .providers
            .iter()
            .flat_map(|provider| provider.domains.iter().map(String::as_str))
            .collect();
        let rollups: Vec<&Rollup> = base.providers.iter().flat_map(|p| &p.rollups).collect();
        self.providers
            .retain(|provider| !(provider.is_everyone() && names.contains(EVERYONE)));
        for provider in &mut self.providers {
            if names.contains(provider.name.as_str()) {
                provider.name.push_str("_rest");
            }
            let before = provider.domains.len();
            provider
                .domains
                .retain(|domain| !taken.contains(domain.as_str()));
            if provider.domains.len() < before {
                provider.rollups.clear();
            }
            provider
                .rollups
                .retain(|rollup| !rollups.iter().any(|own| own.meets(rollup)));
            let special = !provider.is_everyone();
            if special && provider.rollups.is_empty() && provider.no_rollup.is_none() {
                provider.no_rollup = Some("an operator's base has its domains or hosts".to_owned());
            }
        }
        self.providers
            .retain(|p| !(p.domains.is_empty() && p.rollups.is_empty()));
        self.providers.extend(base.providers);
        self.providers.sort_by(|a, b| a.name.cmp(&b.name));
        self.categories_before(base.categories);
        self.global = base.global;
        self.spools = base.spools;
    }

    /// A shared queue that says nothing, as imports make of bare lines of MX hosts, would only take
    /// limits away. It gives way to ours of the same hosts, and is ours where its hosts lie below one
    /// of our domains.
    fn keep_queues(&mut self, base: &mut Base) {
        let silent = |p: &&mut Provider| p.settings.is_empty() && p.replies.is_empty();
        for provider in base.providers.iter_mut().filter(silent) {
            for own in std::mem::take(&mut provider.rollups) {
                let mut ours = self.providers.iter().flat_map(|p| &p.rollups);
                if ours.any(|our| own.meets(our)) {
                    continue;
                }
                match self.providers.iter_mut().find(|p| p.receives_at(&own)) {
                    Some(receiver) => {
                        receiver.no_rollup = None;
                        receiver.rollups.push(own);
                    }
                    None => provider.rollups.push(own),
                }
            }
        }
        base.providers
            .retain(|p| !(p.domains.is_empty() && p.rollups.is_empty()));
    }

    fn join_everyone(&self, base: &mut Base) {
        let own = base.providers.iter_mut().find(|p| p.name == EVERYONE);
        let (Some(stock), Some(own)) = (self.everyone(), own) else {
            return;
        };
        for (keyword, value) in &stock.settings {
            let entry = own.settings.entry(keyword.clone());
            entry.or_insert_with(|| value.clone());
        }
        let said: BTreeSet<String> = own.replies.iter().map(|r| r.pattern.clone()).collect();
        let rest = stock.replies.iter().filter(|r| !said.contains(&r.pattern));
        own.replies.extend(rest.cloned());
        own.sources.extend(stock.sources.clone());
    }

    /// A second line of the same expression would never be reached.
    fn categories_before(&mut self, own: Vec<Category>) {
        let stock = std::mem::replace(&mut self.categories, own);
        let said: BTreeSet<String> = self
            .categories
            .iter()
            .flat_map(|category| category.patterns.iter().cloned())
            .collect();
        for mut category in stock {
            category.patterns.retain(|pattern| !said.contains(pattern));
            if !category.patterns.is_empty() {
                self.categories.push(category);
            }
        }
        let ended = |category: &Category| category.patterns.iter().any(String::is_empty);
        if !self.categories.is_empty() && !self.categories.iter().any(ended) {
            self.categories.push(Category {
                file: String::new(),
                name: "other".to_owned(),
                patterns: vec![String::new()],
                samples: Vec::new(),
            });
        }
    }
}
