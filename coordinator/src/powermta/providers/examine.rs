//! Judges samples as the product would: in the order in which rules are written, the first
//! expression that matches.

use std::collections::BTreeMap;

use fancy_regex::Regex;

use super::error::CatalogueError;
use super::expression::{compile, takes};
use super::load::FOLDER;
use super::model::{Action, CATEGORIES, Catalogue, Category, Provider, Reply};

/// Expressions by rule.
type Compiled<'c> = BTreeMap<&'c str, Regex>;

impl Catalogue {
    /// The rule that takes a reply of a provider, if one does.
    ///
    /// # Errors
    /// When an expression is none.
    pub fn judge(
        &self,
        provider: &Provider,
        reply: &str,
    ) -> Result<Option<&Reply>, CatalogueError> {
        let compiled = self.compiled()?;
        Ok(self.first(&compiled, provider, reply))
    }

    /// The category of a bounce, given as `STATUS;DIAGNOSTIC`.
    ///
    /// # Errors
    /// When an expression is none.
    pub fn category(&self, bounce: &str) -> Result<Option<&str>, CatalogueError> {
        for category in &self.categories {
            for pattern in &category.patterns {
                if takes(&category_expression(category, pattern)?, bounce) {
                    return Ok(Some(&category.name));
                }
            }
        }
        Ok(None)
    }

    /// Judges all samples: each is taken by its own rule and by none before it, in every list that
    /// the rule stands in; what must be left alone is.
    ///
    /// # Errors
    /// The first fault.
    pub fn examine(&self) -> Result<(), CatalogueError> {
        let compiled = self.compiled()?;
        for provider in &self.providers {
            for rule in &provider.replies {
                self.samples(&compiled, provider, rule)?;
            }
            // What everyone replies must not be taken by a provider's rule of another meaning.
            for rule in self.everyone().into_iter().flat_map(|everyone| &everyone.replies) {
                for sample in &rule.samples {
                    self.own(&compiled, provider, rule, sample)?;
                }
            }
        }
        self.bounces()
    }

    fn compiled(&self) -> Result<Compiled<'_>, CatalogueError> {
        let mut compiled = BTreeMap::new();
        for provider in &self.providers {
            for rule in &provider.replies {
                let expression = compile(&rule.pattern).map_err(|error| CatalogueError::Value {
                    file: provider.file.clone(),
                    field: format!("reply {}.pattern", rule.id),
                    value: rule.pattern.clone(),
                    accepted: format!("an expression of PCRE; {error}"),
                })?;
                compiled.insert(rule.id.as_str(), expression);
            }
        }
        Ok(compiled)
    }

    fn first<'c>(
        &'c self,
        compiled: &Compiled<'_>,
        provider: &'c Provider,
        reply: &str,
    ) -> Option<&'c Reply> {
        self.rules(provider)
            .find(|rule| compiled.get(rule.id.as_str()).is_some_and(|e| takes(e, reply)))
    }

    fn samples(
        &self,
        compiled: &Compiled<'_>,
        provider: &Provider,
        rule: &Reply,
    ) -> Result<(), CatalogueError> {
        let field = || format!("reply {}", rule.id);
        let shipped = provider.file.starts_with(FOLDER);
        if shipped && (rule.samples.is_empty() || rule.near.is_empty() || rule.source.is_empty()) {
            return Err(CatalogueError::Value {
                file: provider.file.clone(),
                field: field(),
                value: rule.pattern.clone(),
                accepted: "a rule with source, samples and near".to_owned(),
            });
        }
        for sample in &rule.samples {
            self.own(compiled, provider, rule, sample)?;
        }
        let taken = |near: &&String| compiled.get(rule.id.as_str()).is_some_and(|e| takes(e, near));
        match rule.near.iter().find(taken) {
            None => Ok(()),
            Some(near) => Err(CatalogueError::NotLeft {
                file: provider.file.clone(),
                field: field(),
                reply: near.clone(),
                by: rule.id.clone(),
            }),
        }
    }

    /// A sample is taken by its rule and by no rule before it; by none at all, when it is left.
    fn own(
        &self,
        compiled: &Compiled<'_>,
        provider: &Provider,
        rule: &Reply,
        sample: &str,
    ) -> Result<(), CatalogueError> {
        let (file, field) = (provider.file.clone(), format!("reply {}", rule.id));
        let reply = sample.to_owned();
        if !compiled.get(rule.id.as_str()).is_some_and(|e| takes(e, sample)) {
            return Err(CatalogueError::NotTaken { file, field, reply });
        }
        match self.first(compiled, provider, sample) {
            Some(taker) if rule.action == Action::Leave => {
                Err(CatalogueError::NotLeft { file, field, reply, by: taker.id.clone() })
            }
            Some(taker) if taker.id != rule.id => {
                Err(CatalogueError::Shadowed { file, field, reply, by: taker.id.clone() })
            }
            _ => Ok(()),
        }
    }

    fn bounces(&self) -> Result<(), CatalogueError> {
        let shipped = |category: &&Category| category.file.starts_with(FOLDER);
        if let Some(first) = self.categories.iter().find(shipped)
            && let Some(missing) = CATEGORIES
                .iter()
                .find(|name| !self.categories.iter().any(|c| c.name == **name))
        {
            return Err(CatalogueError::Value {
                file: first.file.clone(),
                field: "category".to_owned(),
                value: String::new(),
                accepted: format!("all of the product's categories; {missing} is missing"),
            });
        }
        for category in &self.categories {
            let field = || format!("category {}", category.name);
            for sample in &category.samples {
                let by = self.category(sample)?;
                if by != Some(category.name.as_str()) {
                    return Err(CatalogueError::Shadowed {
                        file: category.file.clone(),
                        field: field(),
                        reply: sample.clone(),
                        by: by.unwrap_or("no category").to_owned(),
                    });
                }
            }
        }
        Ok(())
    }
}

fn category_expression(category: &Category, pattern: &str) -> Result<Regex, CatalogueError> {
    compile(pattern).map_err(|error| CatalogueError::Value {
        file: category.file.clone(),
        field: format!("category {}.patterns", category.name),
        value: pattern.to_owned(),
        accepted: format!("an expression of PCRE; {error}"),
    })
}
