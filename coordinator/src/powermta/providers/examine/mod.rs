//! Judges samples as the product would: in the order in which rules are written, the first
//! expression that matches.
//!
//! An operator's base goes before the catalogue on purpose, so a rule of the base that takes a sample
//! of the catalogue is no fault; one that takes another rule's of its own file is.

use std::collections::BTreeMap;

use fancy_regex::Regex;

use super::check::refuse;
use super::error::{CatalogueError, Fault};
use super::expression::{compile, takes};
use super::load::FOLDER;
use super::model::{Action, CATEGORIES, Catalogue, Category, Confidence, Provider, Reply};
use super::ordinary::ordinary_taken;

/// Expressions by rule.
type Compiled<'c> = BTreeMap<&'c str, Regex>;

impl Catalogue {
    /// The rule that takes a reply of a provider, if one does.
    ///
    /// # Errors
    /// When an expression is none.
    pub fn judge<'c>(
        &'c self,
        provider: &'c Provider,
        reply: &str,
    ) -> Result<Option<&'c Reply>, CatalogueError> {
        let compiled = self.compiled()?;
        Ok(self.first(&compiled, provider, reply))
    }

    /// The category of a bounce, given as `STATUS;DIAGNOSTIC`.
    ///
    /// # Errors
    /// When an expression is none.
    pub fn category(&self, bounce: &str) -> Result<Option<&Category>, CatalogueError> {
        Ok(in_category(&self.compiled_categories()?, bounce))
    }

    /// Judges all samples: each is taken by its own rule and by none before it, in every list that
    /// the rule stands in; what must be left alone is.
    ///
    /// # Errors
    /// The first fault.
    pub fn examine(&self) -> Result<(), CatalogueError> {
        let compiled = self.compiled()?;
        let everyone = self.everyone().into_iter().flat_map(|p| &p.replies);
        for provider in &self.providers {
            shipped_limits(provider)?;
            for rule in &provider.replies {
                shipped_rule(rule)?;
                own_rule(rule)?;
                self.near(&compiled, rule)?;
                self.samples(&compiled, provider, rule)?;
            }
            // What everyone replies must not be taken by a provider's rule of another meaning.
            for rule in everyone.clone() {
                self.samples(&compiled, provider, rule)?;
            }
        }
        self.bounces()
    }

    fn compiled(&self) -> Result<Compiled<'_>, CatalogueError> {
        let mut compiled = BTreeMap::new();
        for rule in self.providers.iter().flat_map(|p| &p.replies) {
            let expression = compile(&rule.pattern).map_err(|error| {
                let field = format!("reply {}.pattern", rule.id);
                let accepted = format!("an expression of PCRE; {error}");
                refuse(&rule.file, &field, &rule.pattern, accepted)
            })?;
            compiled.insert(rule.id.as_str(), expression);
        }
        Ok(compiled)
    }

    fn compiled_categories(&self) -> Result<Vec<(&Category, Regex)>, CatalogueError> {
        let mut compiled = Vec::new();
        for category in &self.categories {
            for pattern in &category.patterns {
                compiled.push((category, category_expression(category, pattern)?));
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
            .find(|rule| is_taken(compiled, rule, reply))
    }

    /// What a rule says that it leaves alone.
    fn near(&self, compiled: &Compiled<'_>, rule: &Reply) -> Result<(), CatalogueError> {
        let mut near = rule.near.iter();
        match near.find(|reply| is_taken(compiled, rule, reply)) {
            None => Ok(()),
            Some(reply) => Err(Fault::NotLeft {
                field: format!("reply {}", rule.id),
                reply: reply.clone(),
                by: rule.id.clone(),
            }
            .of(&rule.file)),
        }
    }

    /// A sample is taken by its rule and by no rule before it; by none at all, when it is left.
    fn samples(
        &self,
        compiled: &Compiled<'_>,
        provider: &Provider,
        rule: &Reply,
    ) -> Result<(), CatalogueError> {
        for sample in &rule.samples {
            let (field, reply) = (format!("reply {}", rule.id), sample.clone());
            if !is_taken(compiled, rule, sample) {
                return Err(Fault::NotTaken { field, reply }.of(&rule.file));
            }
            let Some(taker) = self.first(compiled, provider, sample) else {
                continue;
            };
            if taker.id == rule.id || overrules(&taker.file, &rule.file) {
                continue;
            }
            let by = taker.id.clone();
            let fault = if rule.action == Action::Leave {
                Fault::NotLeft { field, reply, by }
            } else {
                Fault::Shadowed { field, reply, by }
            };
            return Err(fault.of(&rule.file));
        }
        Ok(())
    }

    fn bounces(&self) -> Result<(), CatalogueError> {
        let known = |name: &str| self.categories.iter().any(|c| c.name == name);
        if let Some(first) = self.categories.iter().find(|c| is_shipped(&c.file))
            && let Some(missing) = CATEGORIES.iter().find(|name| !known(name))
        {
            let accepted = format!("all of the product's categories; {missing} is missing");
            return Err(refuse(&first.file, "category", "", accepted));
        }
        let compiled = self.compiled_categories()?;
        for category in &self.categories {
            for sample in &category.samples {
                let taker = in_category(&compiled, sample);
                let right = taker.is_some_and(|taker| {
                    taker.name == category.name || overrules(&taker.file, &category.file)
                });
                if !right {
                    return Err(Fault::Shadowed {
                        field: format!("category {}", category.name),
                        reply: sample.clone(),
                        by: taker.map_or("no category", |taker| &taker.name).to_owned(),
                    }
                    .of(&category.file));
                }
            }
        }
        Ok(())
    }
}

fn is_taken(compiled: &Compiled<'_>, rule: &Reply, reply: &str) -> bool {
    let expression = compiled.get(rule.id.as_str());
    expression.is_some_and(|expression| takes(expression, reply))
}

fn in_category<'c>(compiled: &[(&'c Category, Regex)], bounce: &str) -> Option<&'c Category> {
    let mut all = compiled.iter();
    all.find(|(_, expression)| takes(expression, bounce))
        .map(|(category, _)| *category)
}

fn is_shipped(file: &str) -> bool {
    file.starts_with(FOLDER)
}

/// Whether a rule of one file has its way over a rule of the other: an operator's own over ours.
fn overrules(taker: &str, owner: &str) -> bool {
    !is_shipped(taker) && is_shipped(owner)
}

/// What the catalogue says of limits, it says how sure; and limits of domains do not reach a queue that
/// their MX hosts share, so it says why there is none.
fn shipped_limits(provider: &Provider) -> Result<(), CatalogueError> {
    let shared = !provider.rollups.is_empty() || provider.is_everyone();
    if is_shipped(&provider.file) && shared == provider.no_rollup.is_some() {
        let accepted = "a reason, or queues that its MX hosts share, and not both";
        let why = provider.no_rollup.as_deref().unwrap_or_default();
        return Err(refuse(&provider.file, "no-rollup", why, accepted));
    }
    if is_shipped(&provider.file) && provider.limits.is_none() && !provider.settings.is_empty() {
        let accepted = "chosen, historic, reported or stated";
        return Err(refuse(&provider.file, "limits", "", accepted));
    }
    Ok(())
}

/// A rule of the catalogue says where it comes from, how sure it is, and what it takes and leaves;
/// what nobody but hearsay vouches for slows a queue down at most.
fn shipped_rule(rule: &Reply) -> Result<(), CatalogueError> {
    if !is_shipped(&rule.file) {
        return Ok(());
    }
    let field = format!("reply {}", rule.id);
    let whole = !(rule.samples.is_empty() || rule.near.is_empty() || rule.source.is_empty());
    let Some(confidence) = rule.confidence.filter(|_| whole) else {
        let accepted = "a rule with source, confidence, samples and near";
        return Err(refuse(&rule.file, &field, &rule.pattern, accepted));
    };
    if confidence != Confidence::Stated && !rule.action.is_neutral() {
        let field = format!("{field}.action");
        let accepted = "leave or mode=backoff, as long as its confidence is not stated";
        return Err(refuse(
            &rule.file,
            &field,
            &rule.action.to_string(),
            accepted,
        ));
    }
    Ok(())
}

/// A rule of an operator's base may take what ours would, but not what says nothing of the sender. Ours
/// are held to their own samples instead.
fn own_rule(rule: &Reply) -> Result<(), CatalogueError> {
    let strikes = rule
        .action
        .parsed()
        .is_some_and(|actions| actions.strikes());
    if is_shipped(&rule.file) || !strikes {
        return Ok(());
    }
    let Some(taken) = ordinary_taken(&rule.pattern) else {
        return Ok(());
    };
    let field = format!("reply {}.pattern", rule.id);
    let accepted = format!(
        "an expression that takes this reply and not greylisting, one full mailbox or one refused \
         text such as {taken:?}"
    );
    Err(refuse(&rule.file, &field, &rule.pattern, accepted))
}

fn category_expression(category: &Category, pattern: &str) -> Result<Regex, CatalogueError> {
    compile(pattern).map_err(|error| {
        let field = format!("category {}.patterns", category.name);
        let accepted = format!("an expression of PCRE; {error}");
        refuse(&category.file, &field, pattern, accepted)
    })
}

#[cfg(test)]
mod bases;
#[cfg(test)]
mod tests;
