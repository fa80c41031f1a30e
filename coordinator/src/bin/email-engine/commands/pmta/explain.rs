//! `pmta explain`: what codes mean.

use std::fmt::Write;

use clap::Args;
use serde::Serialize;

use email_engine_coordinator::powermta::lint::{Code, Rule, rules};

use crate::exit::{Exit, Failure};
use crate::output::{Output, row, text};

/// Arguments of `pmta explain`.
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// A code such as PM203
    code: Option<String>,
}

#[derive(Serialize)]
struct Explanation<'a> {
    code: String,
    severity: &'static str,
    title: &'a str,
    why: &'a str,
    fix: &'a str,
    guide: &'a str,
    bad: Vec<&'a str>,
    good: Vec<&'a str>,
}

pub(super) fn run(output: &Output, arguments: &Explain) -> Result<Exit, Failure> {
    let Some(code) = &arguments.code else {
        let all: Vec<_> = rules().values().map(explanation).collect();
        output.show(&all, |output| listing(output, &all))?;
        return Ok(Exit::Success);
    };
    let rule = Code::parse(code).map(Code::rule).ok_or_else(|| {
        let reason = format!("there is no code {code:?}; `pmta explain` lists them all");
        Failure::new(Exit::Failure, reason)
    })?;
    let explanation = explanation(rule);
    output.show(&explanation, |_| page(&explanation))?;
    Ok(Exit::Success)
}

fn explanation(rule: &'static Rule) -> Explanation<'static> {
    let samples = |bad: bool| {
        let of = move |sample: &&'static _| -> bool {
            let sample: &email_engine_coordinator::powermta::lint::Sample = sample;
            sample.bad == bad
        };
        rule.samples
            .iter()
            .filter(of)
            .map(|s| s.text.as_str())
            .collect()
    };
    Explanation {
        code: rule.code.to_string(),
        severity: rule.severity.word(),
        title: rule.title,
        why: &rule.why,
        fix: &rule.fix,
        guide: rule.guide,
        bad: samples(true),
        good: samples(false),
    }
}

fn listing(output: &Output, all: &[Explanation<'_>]) -> String {
    let mut table = output.table(&["CODE", "SEVERITY", "TITLE", "GUIDE"]);
    for rule in all {
        let cells = [&rule.code, rule.severity, rule.title, rule.guide];
        table.add_row(row(cells.map(str::to_owned)));
    }
    text(&table)
}

fn page(rule: &Explanation<'_>) -> String {
    let mut page = format!(
        "{} {}: {}\n\nWhy: {}\nFix: {}\nGuide: {}",
        rule.code, rule.severity, rule.title, rule.why, rule.fix, rule.guide
    );
    for (title, samples) in [("Found in", &rule.bad), ("Not found in", &rule.good)] {
        for sample in samples {
            let _ = write!(page, "\n\n{title}:");
            for line in sample.lines() {
                let _ = write!(page, "\n    {line}");
            }
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::PLAIN;

    #[test]
    fn a_page_has_reason_remedy_and_samples() {
        let page = page(&explanation(Code::parse("PM201").unwrap().rule()));
        assert!(
            page.starts_with("PM201 error: Host name before the address\n\nWhy: "),
            "{page}"
        );
        assert!(
            page.contains("\n    <virtual-mta a>\n        smtp-source-host mail1"),
            "{page}"
        );
        let all: Vec<_> = rules().values().map(explanation).collect();
        assert_eq!(listing(&PLAIN, &all).lines().count(), all.len() + 1);
    }
}
