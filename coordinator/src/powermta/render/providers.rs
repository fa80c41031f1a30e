//! What is known of receivers: macros and lists before the `<domain>` sections that name them.

use super::super::model::Configuration;
use super::super::providers::{Catalogue, Provider};
use super::text::Text;

/// Macros, shared queues and lists of replies.
pub(super) fn named(text: &mut Text, catalogue: &Catalogue) {
    if catalogue
        .special()
        .any(|provider| !provider.domains.is_empty())
    {
        text.comment("Receivers by name.");
    }
    for provider in catalogue
        .special()
        .filter(|provider| !provider.domains.is_empty())
    {
        let domains = provider.domains.join(",");
        text.line("domain-macro", format_args!("{} {domains}", provider.name));
    }
    rollups(text, catalogue);
    let mut lists = catalogue
        .providers
        .iter()
        .filter(|p| has_list(catalogue, p))
        .peekable();
    if lists.peek().is_some() {
        text.comment("What a reply does to a queue; the first line that matches wins.");
    }
    for provider in lists {
        text.section("smtp-pattern-list", provider.list(), |text| {
            for rule in catalogue.rules(provider) {
                text.line("reply", format_args!("/{}/ {}", rule.pattern, rule.action));
            }
        });
    }
}

fn has_list(catalogue: &Catalogue, provider: &Provider) -> bool {
    catalogue.rules(provider).next().is_some()
}

fn rollups(text: &mut Text, catalogue: &Catalogue) {
    let mut rollups = catalogue
        .providers
        .iter()
        .flat_map(|provider| &provider.rollups)
        .peekable();
    if rollups.peek().is_none() {
        return;
    }
    text.section("mx-rollup-list", "", |text| {
        for rollup in rollups {
            for mx in &rollup.mx {
                let by_ip = if rollup.by_ip { " rollup-by-ip" } else { "" };
                text.line("mx", format_args!("{mx} {}{by_ip}", rollup.queue));
            }
        }
    });
}

/// Settings and list of a provider, within its `<domain>`.
fn settings(text: &mut Text, catalogue: &Catalogue, provider: &Provider) {
    for (keyword, value) in &provider.settings {
        text.line(keyword, value);
    }
    if has_list(catalogue, provider) {
        text.line("smtp-pattern-list", provider.list());
    }
}

/// Sections of the single providers. A shared queue has settings of its own: those of the domains in
/// it do not reach it.
pub(super) fn domains(text: &mut Text, configuration: &Configuration) {
    let catalogue = &configuration.catalogue;
    for provider in catalogue.special() {
        text.comment(&format!("{}, as of {}.", provider.title, provider.checked));
        if !provider.domains.is_empty() {
            text.section("domain", format_args!("${}", provider.name), |text| {
                settings(text, catalogue, provider);
            });
        }
        for rollup in &provider.rollups {
            text.section("domain", &rollup.queue, |text| {
                if let Some(hosts) = &rollup.hosts {
                    text.line("smtp-hosts", hosts);
                }
                settings(text, catalogue, provider);
            });
        }
    }
}

/// What everyone's settings add to those that always hold, which they may replace.
pub(super) fn everyone(text: &mut Text, catalogue: &Catalogue, always: &[(&str, &str)]) {
    let Some(everyone) = catalogue.everyone() else {
        for (keyword, value) in always {
            text.line(keyword, value);
        }
        return;
    };
    for (keyword, value) in always {
        if !everyone.settings.contains_key(*keyword) {
            text.line(keyword, value);
        }
    }
    settings(text, catalogue, everyone);
}

pub(super) fn categories(text: &mut Text, catalogue: &Catalogue) {
    if catalogue.categories.is_empty() {
        return;
    }
    text.comment("What a bounce means, by the names that MailWizz goes by; first match wins.");
    text.section("bounce-category-patterns", "", |text| {
        for category in &catalogue.categories {
            for pattern in &category.patterns {
                text.line(&format!("/{pattern}/"), &category.name);
            }
        }
    });
}
