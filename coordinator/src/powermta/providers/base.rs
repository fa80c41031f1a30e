//! An operator's own receivers, categories, spool and log, before those of the catalogue.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::check;
use super::error::CatalogueError;
use super::model::{Catalogue, Category, EVERYONE, Provider, Spool};

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
        let providers = self.providers.iter_mut().map(|provider| &mut provider.file);
        let categories = self
            .categories
            .iter_mut()
            .map(|category| &mut category.file);
        providers
            .chain(categories)
            .for_each(|field| file.clone_into(field));
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
    /// it. What loses a domain also loses its shared queues, which would take the domain along.
    /// For everyone the two are one: the base's settings win, its rules go first.
    pub(super) fn put_before(&mut self, mut base: Base) {
        let taken: BTreeSet<String> = base
            .providers
            .iter()
            .flat_map(|provider| provider.domains.iter().cloned())
            .collect();
        let queues: BTreeSet<String> = base
            .providers
            .iter()
            .flat_map(|provider| &provider.rollups)
            .map(|rollup| rollup.queue.clone())
            .collect();
        if let Some(stock) = self.everyone().cloned()
            && let Some(own) = base.providers.iter_mut().find(|p| p.name == EVERYONE)
        {
            for (keyword, value) in stock.settings {
                own.settings.entry(keyword).or_insert(value);
            }
            own.replies.extend(stock.replies);
        }
        let own: BTreeSet<String> = base.providers.iter().map(|p| p.name.clone()).collect();
        self.providers
            .retain(|provider| !own.contains(&provider.name));
        for provider in &mut self.providers {
            let before = provider.domains.len();
            provider.domains.retain(|domain| !taken.contains(domain));
            if provider.domains.len() < before {
                provider.rollups.clear();
            }
            provider
                .rollups
                .retain(|rollup| !queues.contains(&rollup.queue));
        }
        self.providers
            .retain(|p| !(p.domains.is_empty() && p.rollups.is_empty()));
        self.providers.extend(base.providers);
        self.providers.sort_by(|a, b| a.name.cmp(&b.name));
        let stock = std::mem::take(&mut self.categories);
        self.categories = base.categories;
        self.categories.extend(stock);
        let ended = |category: &Category| category.patterns.iter().any(String::is_empty);
        if !self.categories.is_empty() && !self.categories.iter().any(ended) {
            self.categories.push(Category {
                file: String::new(),
                name: "other".to_owned(),
                patterns: vec![String::new()],
                samples: Vec::new(),
            });
        }
        self.global = base.global;
        self.spools = base.spools;
    }
}
