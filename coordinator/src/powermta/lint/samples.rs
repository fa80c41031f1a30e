//! Runs the samples of `codes.table`, and the public samples that this fleet began with.

use std::fmt::Write;

use super::super::syntax::{Resolve, SourceLimits, Sources};
use super::*;

/// Has an empty folder, and one file.
struct Folder;

impl Resolve for Folder {
    fn resolve(&self, path: &str) -> Result<Vec<(String, String)>, String> {
        match path {
            "/empty/*.conf" => Ok(Vec::new()),
            path if path.starts_with("/etc/pmta/conf.d/") => {
                Ok(vec![(path.to_owned(), String::new())])
            }
            _ => Err("no such file".to_owned()),
        }
    }
}

fn gather(text: &str) -> Sources {
    Sources::gather("config", text, &Folder, SourceLimits::default()).unwrap()
}

fn codes(sample: &Sample) -> Vec<Code> {
    let needs = |word| sample.needs.contains(&word);
    let mut text = sample.text.clone();
    if needs("repeated") {
        let line = text.lines().nth(1).unwrap().to_owned() + "\n";
        text = text.replace(&line, &line.repeat(501));
    }
    let (old, new) = match text.split_once("---\n") {
        Some((old, new)) if needs("change") => (Some(gather(old)), gather(new)),
        _ => (None, gather(&text)),
    };
    let options = Options {
        version: if needs("4.5") {
            Version::V4_5
        } else {
            Version::V5_0
        },
        extent: Extent::Whole,
        before: old.as_ref(),
    };
    lint(&new, &options)
        .findings
        .iter()
        .map(|finding| finding.code)
        .collect()
}

#[test]
fn every_bad_sample_has_its_code_and_no_good_one_has() {
    let mut wrong = String::new();
    for rule in rules().values() {
        for sample in &rule.samples {
            let found = codes(sample);
            if found.contains(&rule.code) != sample.bad {
                let _ = writeln!(wrong, "{} {found:?}:\n{}", rule.code, sample.text);
            }
        }
    }
    assert_eq!(wrong, "");
}

#[test]
fn good_samples_are_configurations_that_the_product_reads() {
    const LANGUAGE: u16 = 100;
    let about_absence = [17, 18, 19, 22];
    let mut wrong = String::new();
    for rule in rules().values() {
        for sample in rule.samples.iter().filter(|sample| !sample.bad) {
            for code in codes(sample) {
                if code.0 < LANGUAGE && !about_absence.contains(&code.0) {
                    let _ = writeln!(wrong, "{} has {code}:\n{}", rule.code, sample.text);
                }
            }
        }
    }
    assert_eq!(wrong, "");
}

/// What public configurations get wrong, by the sample, and the codes that name it.
const VERDICTS: &[(&str, &[u16])] = &[
    (
        "<virtual-mta a>\nsmtp-source-host mail1.x.example 192.0.2.4\n</virtual-mta>\n",
        &[201],
    ),
    ("domain-key a,b.example,*,/etc/k.pem\n", &[202, 212]),
    ("smtp-listener 0.0.0.0:2525 {\n}\n", &[8, 506, 8]),
    (
        "<pattern-list sender-to-vmta>\ncontact@x.example vmta-1\n</pattern-list>\n",
        &[303],
    ),
    (
        "<domain *>\nvirtual-mta-pool-map sender-to-vmta\n</domain>\n",
        &[101],
    ),
    (
        "<virtual-mta-pool p>\nvirtual-mta v1 weight 100\n</virtual-mta-pool>\n",
        &[102],
    ),
    (
        "<virtual-mta a>\nsmtp-source-host 192.0.2.1 a.example\n<domain *>\n\
         max-cold-virtual-mta-msg 5/day\n</domain>\n</virtual-mta>\n",
        &[209],
    ),
    (
        "<domain outlook.com hotmail.com live.com>\n</domain>\n",
        &[15],
    ),
    ("<source {pmta-auth}>\n</source>\n", &[20]),
    ("<smtp-user u>\npassword abc#def\n</smtp-user>\n", &[11]),
    (
        "<source 192.0.2.1>\ndefault-virtual-mta-pool POOL\n</source>\n",
        &[101],
    ),
    ("<acct-file /a.csv>\nrecords all\n</acct-file>\n", &[5]),
    ("listen-on-tcp yes\n", &[101]),
    (
        "<source 192.0.2.1>\nprocess-x-sender yes\n</source>\n",
        &[101],
    ),
    ("virtual-mta NAME { ... }\n", &[8]),
];

#[test]
fn every_public_sample_gets_the_right_codes_and_no_others() {
    let mut wrong = String::new();
    for (text, wanted) in VERDICTS {
        let options = Options {
            extent: Extent::Part,
            ..Options::default()
        };
        let report = lint(&gather(text), &options);
        let found: Vec<_> = report
            .findings
            .iter()
            .map(|finding| finding.code.0)
            .collect();
        if found != *wanted {
            let _ = writeln!(wrong, "{text} is {wanted:?}, found\n{report}");
        }
    }
    assert_eq!(wrong, "");
}

#[test]
fn no_finding_shows_a_secret() {
    let text = "http-api-key s3cret!\n<smtp-user u>\npassword s3cret#x\npasswort s3cret\n\
                password \"s3cret\n</smtp-user>\n<domain *>\nauth-password s3cret \"x\n</domain>\n\
                smtp-server-tls-certificate /a.pem s3cret too\n<transmissions-api>\napi-key \"s3cret\n\
                </transmissions-api>\n";
    let report = lint(&gather(text), &Options::default());
    assert!(report.findings.len() > 5);
    assert!(!report.to_string().contains("s3cret"), "{report}");
}

#[test]
fn findings_stand_where_the_fault_is_also_in_included_files() {
    struct One;
    impl Resolve for One {
        fn resolve(&self, path: &str) -> Result<Vec<(String, String)>, String> {
            Ok(vec![(
                path.to_owned(),
                "\n  max-smtp-out many\n".to_owned(),
            )])
        }
    }
    let text = "<domain *>\n  include /etc/pmta/limits\n</domain>\n";
    let sources = Sources::gather("config", text, &One, SourceLimits::default()).unwrap();
    let report = lint(
        &sources,
        &Options {
            extent: Extent::Part,
            ..Options::default()
        },
    );
    assert_eq!(
        report.to_string(),
        "/etc/pmta/limits:2:3: error PM005: `max-smtp-out`: `many` is not a number or unlimited\n"
    );
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    fn lines() -> impl Strategy<Value = String> {
        let words: Vec<String> = super::super::super::schema::directives()
            .iter()
            .map(|directive| directive.keyword.to_owned())
            .collect();
        let tags: Vec<&str> = super::super::super::schema::SECTIONS
            .iter()
            .map(|s| s.name)
            .collect();
        let value = "[ -~é]{0,24}";
        prop_oneof![
            4 => (prop::sample::select(words), value).prop_map(|(word, value)| format!("{word} {value}")),
            2 => (prop::sample::select(tags.clone()), "[ -~]{0,8}").prop_map(|(t, a)| format!("<{t} {a}>")),
            2 => prop::sample::select(tags).prop_map(|tag| format!("</{tag}>")),
            1 => "(mail-from|header|reply|\\*|/x/) [ -~é]{0,20}",
        ]
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_panic_and_always_alike(
            lines in prop::collection::vec(lines(), 0..30), version in any::<bool>(),
        ) {
            let text = lines.join("\n");
            let sources = Sources::single("config", &text);
            let options = Options {
                version: if version { Version::V4_5 } else { Version::V5_0 },
                before: Some(&sources),
                ..Options::default()
            };
            let report = lint(&sources, &options);
            prop_assert_eq!(&lint(&sources, &options), &report);
            // A text is no change of itself.
            prop_assert!(report.findings.iter().all(|f| !matches!(f.code.0, 109 | 110)));
        }
    }
}
