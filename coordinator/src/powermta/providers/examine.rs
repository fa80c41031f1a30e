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
            for rule in self
                .everyone()
                .into_iter()
                .flat_map(|everyone| &everyone.replies)
            {
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
        self.rules(provider).find(|rule| {
            compiled
                .get(rule.id.as_str())
                .is_some_and(|e| takes(e, reply))
        })
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
        let taken = |near: &&String| {
            compiled
                .get(rule.id.as_str())
                .is_some_and(|e| takes(e, near))
        };
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
        if !compiled
            .get(rule.id.as_str())
            .is_some_and(|e| takes(e, sample))
        {
            return Err(CatalogueError::NotTaken { file, field, reply });
        }
        match self.first(compiled, provider, sample) {
            Some(taker) if rule.action == Action::Leave => Err(CatalogueError::NotLeft {
                file,
                field,
                reply,
                by: taker.id.clone(),
            }),
            Some(taker) if taker.id != rule.id => Err(CatalogueError::Shadowed {
                file,
                field,
                reply,
                by: taker.id.clone(),
            }),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::builtin_bundle;
    use crate::powermta::providers::BASE_PATH;

    fn with(path: &str, change: impl Fn(&str) -> String) -> Result<(), CatalogueError> {
        let mut files = builtin_bundle();
        let text = change(files.get(path).map_or("", String::as_str));
        files.insert(path.to_owned(), text);
        Catalogue::load(&files)?.examine()
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
                        source = \"errors\"\nsamples = [\"421 unsolicited\"]\nnear = [\"x\"]\n";
            text.replacen("[[reply]]", &format!("{wide}\n[[reply]]"), 1)
        })
        .unwrap_err();
        assert!(matches!(&error, CatalogueError::Shadowed { by, .. } if by == "gmail-wide"));
        assert!(
            error
                .to_string()
                .starts_with("powermta/providers/gmail.toml: reply gmail-rate: ")
        );
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
