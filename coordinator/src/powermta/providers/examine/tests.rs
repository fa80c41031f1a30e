//! The catalogue that ships, and what is refused of one.

use std::collections::BTreeSet;

use super::*;
use crate::planner::builtin_bundle;
use crate::powermta::providers::BASE_PATH;

pub(super) fn base(rest: &str) -> String {
    format!(
        "checked = \"2026-11-21\"\norigin = \"x\"\n[[provider]]\nname = \"own\"\n\
         title = \"t\"\nchecked = \"2026-11-21\"\ndomains = [\"own.example.com\"]\n\
         settings = {{ backoff-to-normal-after = \"1h\" }}\n{rest}"
    )
}

pub(super) fn with(path: &str, change: impl Fn(&str) -> String) -> Result<(), CatalogueError> {
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

/// The same, however it is written, in a base: ours are held to samples of their own.
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
fn a_receiver_without_a_shared_queue_says_why() {
    let lost = with("powermta/providers/comcast.toml", |text| {
        text.replacen("no-rollup = ", "# no-rollup = ", 1)
    });
    let shown = lost.unwrap_err().to_string();
    let wanted = "no-rollup is \"\"; accepted is a reason, or queues that its MX hosts share";
    assert!(shown.contains(wanted), "{shown}");
    let both = with("powermta/providers/gmail.toml", |text| {
        text.replacen("limits = ", "no-rollup = \"x\"\nlimits = ", 1)
    });
    assert!(both.unwrap_err().to_string().contains("no-rollup is \"x\""));
}
