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
        for category in &self.categories {
            for pattern in &category.patterns {
                if takes(&category_expression(category, pattern)?, bounce) {
                    return Ok(Some(category));
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
        let everyone = self.everyone().into_iter().flat_map(|p| &p.replies);
        for provider in &self.providers {
            shipped_limits(provider)?;
            for rule in &provider.replies {
                shipped_rule(rule)?;
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
        for category in &self.categories {
            for sample in &category.samples {
                let taker = self.category(sample)?;
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

fn is_shipped(file: &str) -> bool {
    file.starts_with(FOLDER)
}

/// Whether a rule of one file has its way over a rule of the other: an operator's own over ours.
fn overrules(taker: &str, owner: &str) -> bool {
    !is_shipped(taker) && is_shipped(owner)
}

/// What the catalogue says of limits, it says how sure.
fn shipped_limits(provider: &Provider) -> Result<(), CatalogueError> {
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

fn category_expression(category: &Category, pattern: &str) -> Result<Regex, CatalogueError> {
    compile(pattern).map_err(|error| {
        let field = format!("category {}.patterns", category.name);
        let accepted = format!("an expression of PCRE; {error}");
        refuse(&category.file, &field, pattern, accepted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::builtin_bundle;
    use crate::powermta::providers::BASE_PATH;

    fn with(path: &str, change: impl Fn(&str) -> String) -> Result<(), CatalogueError> {
        let mut files = builtin_bundle();
        let text = change(files.get(path).map_or("", String::as_str));
        files.insert(path.to_owned(), text);
        Catalogue::examined(&files).map(drop)
    }

    #[test]
    fn every_sample_of_what_ships_is_judged_as_it_says() {
        let catalogue = Catalogue::load(&builtin_bundle()).unwrap();
        catalogue.examine().unwrap();
        let rules: usize = catalogue.providers.iter().map(|p| p.replies.len()).sum();
        assert!(rules >= 55, "{rules} rules");
        assert!(catalogue.providers.iter().all(|p| !p.sources.is_empty()));
    }

    #[test]
    fn a_rule_behind_one_that_takes_its_samples_is_refused() {
        let path = "powermta/providers/gmail.toml";
        let error = with(path, |text| {
            let wide = "[[reply]]\nid = \"gmail-wide\"\nmeaning = \"m\"\n\
                        action = \"mode=backoff\"\npattern = 'unsolicited'\n\
                        source = \"errors\"\nconfidence = \"stated\"\nsamples = [\"421 unsolicited\"]\nnear = [\"x\"]\n";
            text.replacen("[[reply]]", &format!("{wide}\n[[reply]]"), 1)
        })
        .unwrap_err();
        assert!(matches!(&error.fault, Fault::Shadowed { by, .. } if by == "gmail-wide"));
        let shown = error.to_string();
        assert!(
            shown.starts_with("powermta/providers/gmail.toml line "),
            "{shown}"
        );
        assert!(shown.contains(": reply gmail-rate: the sample "), "{shown}");
    }

    #[test]
    fn a_fault_names_file_field_value_and_what_is_accepted() {
        let path = "powermta/providers/gmail.toml";
        for (from, to, wanted) in [
            (
                "max-smtp-out = \"5\"",
                "max-smtp-out = \"many\"",
                "powermta/providers/gmail.toml: settings.max-smtp-out is \"many\"; accepted is",
            ),
            (
                "backoff-to-normal-after = \"2h\"",
                "backoff-to-normal-after = \"never\"",
                "powermta/providers/gmail.toml: reply gmail-rate begins what nothing ends",
            ),
            (
                "mode=backoff",
                "mode=slow",
                "reply gmail-rate.action is \"mode=slow\"; accepted is leave",
            ),
            (
                r"4\.7\.28\b'",
                r"4\.7\.29\b'",
                "is not matched by the expression",
            ),
            (
                "name = \"gmail\"",
                "name = \"g-mail\"",
                "name is \"g-mail\"; accepted is 1 to 40",
            ),
            (
                "checked = \"2026-11-21\"",
                "checked = \"2026-13-01\"",
                "checked is \"2026-13-01\"",
            ),
            (
                "title =",
                "titel =",
                "powermta/providers/gmail.toml line 2: unknown field `titel`",
            ),
            (
                "\"gmail.com\"",
                "\"yahoo.com\"",
                "a domain of no other provider",
            ),
        ] {
            let error = with(path, |text| {
                assert!(text.contains(from), "{from}");
                text.replacen(from, to, 1)
            });
            let error = error.unwrap_err().to_string();
            assert!(error.contains(wanted), "{from}: {error}");
        }
    }

    #[test]
    fn a_near_miss_that_is_taken_is_refused() {
        let path = "powermta/providers/free.toml";
        let error = with(path, |text| {
            text.replacen("to this mailbox", "from your IP", 1)
        });
        assert!(
            matches!(error, Err(CatalogueError::NotLeft { .. })),
            "{error:?}"
        );
    }

    #[test]
    fn a_base_goes_before_the_catalogue() {
        let mut files = builtin_bundle();
        let base = "checked = \"2026-11-21\"\norigin = \"x\"\n[global]\nlog-rotate = \"3\"\n\
                    [[provider]]\nname = \"hotmail\"\ntitle = \"t\"\nchecked = \"2026-11-21\"\n\
                    domains = [\"hotmail.com\"]\nsettings = { max-smtp-out = \"3\" }\n\
                    [[category]]\nname = \"spam-related\"\npatterns = ['naughty']\n";
        files.insert(BASE_PATH.to_owned(), base.to_owned());
        let catalogue = Catalogue::load(&files).unwrap();
        catalogue.examine().unwrap();
        let provider = |name: &str| catalogue.providers.iter().find(|p| p.name == name).unwrap();
        assert!(
            !provider("microsoft")
                .domains
                .contains(&"hotmail.com".to_owned())
        );
        assert_eq!(provider("hotmail").settings["max-smtp-out"], "3");
        assert_eq!(
            catalogue.category("5.1.1;naughty").unwrap(),
            Some("spam-related")
        );
        assert_eq!(catalogue.category("5.1.1;x").unwrap(), Some("bad-mailbox"));
    }
}
