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
    use std::collections::BTreeSet;

    use super::*;
    use crate::planner::builtin_bundle;
    use crate::powermta::providers::BASE_PATH;

    fn base(rest: &str) -> String {
        format!(
            "checked = \"2026-11-21\"\norigin = \"x\"\n[[provider]]\nname = \"own\"\n\
             title = \"t\"\nchecked = \"2026-11-21\"\ndomains = [\"own.example.com\"]\n\
             settings = {{ backoff-to-normal-after = \"1h\" }}\n{rest}"
        )
    }

    fn with(path: &str, change: impl Fn(&str) -> String) -> Result<(), CatalogueError> {
        let mut files = builtin_bundle();
        let text = change(files.get(path).map_or("", String::as_str));
        files.insert(path.to_owned(), text);
        Catalogue::examined(&files).map(drop)
    }

    #[test]
    fn every_sample_of_what_ships_is_judged_as_it_says() {
        let catalogue = Catalogue::examined(&builtin_bundle()).unwrap();
        let rules: usize = catalogue.providers.iter().map(|p| p.replies.len()).sum();
        assert!(rules >= 55, "{rules} rules");
        assert!(catalogue.providers.len() >= 13);
        for provider in &catalogue.providers {
            assert!(!provider.sources.is_empty() && provider.limits.is_some());
            for limit in ["max-smtp-out", "max-msg-per-connection"] {
                assert!(
                    provider.settings.contains_key(limit),
                    "{}: {limit}",
                    provider.name
                );
            }
            let rate = provider.settings.contains_key("max-msg-rate");
            assert!(rate || provider.is_everyone(), "{}", provider.name);
        }
    }

    #[test]
    fn the_categories_are_the_products_own_by_their_exact_names() {
        let catalogue = Catalogue::load(&builtin_bundle()).unwrap();
        let names: BTreeSet<&str> = catalogue
            .categories
            .iter()
            .map(|c| c.name.as_str())
            .collect();
        assert_eq!(names, BTreeSet::from(CATEGORIES));
        assert_eq!(catalogue.categories.len(), 17);
        assert!(catalogue.categories.iter().all(|c| !c.samples.is_empty()));
        let path = "powermta/providers/bounces.toml";
        let error = with(path, |text| {
            text.replacen("\"bad-mailbox\"", "\"invalid-mailbox\"", 1)
        });
        let shown = error.unwrap_err().to_string();
        assert!(
            shown.contains("category.name is \"invalid-mailbox\"; accepted is one of"),
            "{shown}"
        );
    }

    /// The copied expressions that put whole queues into back-off for one full mailbox.
    #[test]
    fn an_expression_that_takes_far_more_than_is_meant_is_refused() {
        for broad in [
            "too many",
            "try again later",
            "451 Rejected",
            "Message Rejected",
            "421.*closing connection",
            ".*",
        ] {
            for path in ["powermta/providers/gmail.toml", BASE_PATH] {
                let rule = format!(
                    "[[reply]]\nid = \"broad\"\nmeaning = \"m\"\naction = \"mode=backoff\"\n\
                     pattern = '{broad}'\n"
                );
                let own = rule.replace("[[reply]]", "[[provider.reply]]");
                let error = with(path, |text| match path {
                    BASE_PATH => base(&own),
                    _ => format!("{text}\n{rule}"),
                });
                let shown = error.unwrap_err().to_string();
                assert!(shown.starts_with(&format!("{path} line ")), "{shown}");
                assert!(
                    shown.contains("and not greylisting, one full mailbox or one refused text"),
                    "{broad}: {shown}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_stated_slows_a_queue_down_at_most() {
        let path = "powermta/providers/sfr.toml";
        let error = with(path, |text| {
            text.replacen("mode=backoff", "disable-source-ip,reenable-after=2h", 1)
        });
        let shown = error.unwrap_err().to_string();
        let wanted = "reply sfr-blocked.action is \"disable-source-ip,reenable-after=2h\"; \
                      accepted is leave or mode=backoff";
        assert!(shown.contains(wanted), "{shown}");
        let error = with(path, |text| {
            text.replacen("confidence = \"reported\"\n", "", 1)
        });
        let shown = error.unwrap_err().to_string();
        assert!(
            shown.contains("a rule with source, confidence, samples and near"),
            "{shown}"
        );
    }

    #[test]
    fn a_pattern_of_mx_hosts_without_a_place_to_deliver_to_is_refused() {
        let path = "powermta/providers/gmail.toml";
        let wild = |rest: &str| {
            with(path, |text| {
                let to = format!("mx = [\"*.google.com\"]\n{rest}");
                text.replacen("mx = [\"gmail-smtp-in.l.google.com\"]", &to, 1)
            })
        };
        let shown = wild("").unwrap_err().to_string();
        assert!(
            shown.contains("rollup.mx is \"*.google.com\"; accepted is a host without *"),
            "{shown}"
        );
        wild("hosts = \"lookup-mx:gmail.com\"").unwrap();
        wild("by-ip = true").unwrap();
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
        for (from, to, place, wanted) in [
            (
                "max-smtp-out = \"5\"",
                "max-smtp-out = \"many\"",
                "gmail.toml line 19",
                "settings.max-smtp-out is \"many\"; accepted is a number or unlimited",
            ),
            (
                "backoff-to-normal-after = \"2h\"",
                "backoff-to-normal-after = \"never\"",
                "gmail.toml line 26",
                "reply gmail-rate begins what nothing ends; accepted is backoff-to-normal-after",
            ),
            (
                "mode=backoff",
                "mode=slow",
                "gmail.toml line 28",
                "reply gmail-rate.action is \"mode=slow\"; accepted is leave, mode=backoff",
            ),
            (
                r"4\.7\.28\b(",
                r"4\.7\.29\b(",
                "gmail.toml line 33",
                "reply gmail-rate: the sample \"421-4.7.28 [192.0.2.1] Gmail has",
            ),
            (
                "name = \"gmail\"",
                "name = \"g-mail\"",
                "gmail.toml line 1",
                "name is \"g-mail\"; accepted is 1 to 40",
            ),
            (
                "checked = \"2026-11-21\"",
                "checked = \"2026-13-01\"",
                "gmail.toml line 3",
                "checked is \"2026-13-01\"; accepted is a day as YYYY-MM-DD",
            ),
            (
                "title =",
                "titel =",
                "gmail.toml line 2",
                "unknown field `titel`",
            ),
            (
                "\"gmail.com\"",
                "\"yahoo.com\"",
                "yahoo.toml line 10",
                "domains is \"yahoo.com\"; accepted is a domain of no other provider; gmail has it",
            ),
        ] {
            let error = with(path, |text| {
                assert!(text.contains(from), "{from}");
                text.replacen(from, to, 1)
            });
            let shown = error.unwrap_err().to_string();
            let wanted = format!("powermta/providers/{place}: {wanted}");
            assert!(shown.starts_with(&wanted), "{shown}, not {wanted}");
        }
    }

    #[test]
    fn a_near_miss_that_is_taken_is_refused() {
        let path = "powermta/providers/free.toml";
        let error = with(path, |text| {
            text.replacen("to this mailbox", "from your IP", 1)
        });
        assert!(
            matches!(&error, Err(error) if matches!(error.fault, Fault::NotLeft { .. })),
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
        let category = |bounce: &str| catalogue.category(bounce).unwrap().unwrap().name.as_str();
        assert_eq!(category("5.1.1;naughty"), "spam-related");
        assert_eq!(category("5.1.1;x"), "bad-mailbox");
    }

    #[test]
    fn an_operators_own_rule_may_take_what_the_catalogue_takes_otherwise() {
        let mut files = builtin_bundle();
        let rule = "[[provider.reply]]\nid = \"own-1\"\nmeaning = \"m\"\naction = \"mode=backoff\"\n\
                    pattern = 'spamhaus'\n[[category]]\nname = \"policy-related\"\n\
                    patterns = ['virus']\n";
        files.insert(BASE_PATH.to_owned(), base(rule));
        let catalogue = Catalogue::examined(&files).unwrap();
        let own = catalogue
            .providers
            .iter()
            .find(|p| p.name == "own")
            .unwrap();
        let taker = catalogue
            .judge(own, "554 blocked using zen.spamhaus.org")
            .unwrap()
            .unwrap();
        assert_eq!(taker.id, "own-1");
        // But its own rules are held to their own samples.
        let shadowed = "[[provider.reply]]\nid = \"own-1\"\nmeaning = \"m\"\naction = \"mode=backoff\"\n\
                        pattern = 'abc'\n[[provider.reply]]\nid = \"own-2\"\nmeaning = \"m\"\n\
                        action = \"mode=backoff\"\npattern = 'abcd'\nsamples = [\"421 abcd\"]\n";
        files.insert(BASE_PATH.to_owned(), base(shadowed));
        let error = Catalogue::examined(&files).unwrap_err();
        assert!(
            matches!(&error.fault, Fault::Shadowed { by, .. } if by == "own-1"),
            "{error}"
        );
        assert_eq!(error.line, Some(19), "{error}");
    }

    #[test]
    fn a_base_with_a_shared_queue_of_ours_keeps_it_to_itself() {
        let mut files = builtin_bundle();
        let queue = "[[provider.rollup]]\nqueue = \"own.rollup\"\n\
                     mx = [\"mta5.am0.yahoodns.net\", \"mta6.am0.yahoodns.net\"]\n";
        files.insert(BASE_PATH.to_owned(), base(queue));
        let catalogue = Catalogue::examined(&files).unwrap();
        let queues: Vec<&str> = catalogue
            .providers
            .iter()
            .flat_map(|p| &p.rollups)
            .map(|r| r.queue.as_str())
            .collect();
        assert!(
            queues.contains(&"own.rollup") && queues.contains(&"aol.rollup"),
            "{queues:?}"
        );
        assert!(!queues.contains(&"yahoo.rollup"), "{queues:?}");
    }
}
