//! Configurations of PowerMTA, and what is known of receivers, which operators write.

use std::collections::BTreeMap;

use email_engine_coordinator::planner::builtin_bundle;
use email_engine_coordinator::powermta::providers::{BASE_PATH, Catalogue, import};
use email_engine_coordinator::powermta::schema::Version;
use email_engine_coordinator::powermta::syntax::Sources;
use email_engine_fuzz::fuzz;

const EARLIER: &str = include_str!("../../../../coordinator/tests/planner/golden/import.conf");

#[test]
fn any_earlier_configuration_becomes_a_base_that_can_be_read() {
    let nested = "domain-macro a $b,$b,$b\ndomain-macro b $c,$c,$c\ndomain-macro c $a,x.example.com\n\
                  <domain $a$b$c>\nmax-smtp-out 1\n</domain>\n<domain *>\nsmtp-pattern-list l\n</domain>\n\
                  <smtp-pattern-list l>\nreply /a#b/ mode=backoff\nreply /(/ x\n</smtp-pattern-list>\n";
    let samples = [EARLIER, nested].map(|text| text.as_bytes().to_vec());
    fuzz!(
        samples.to_vec(),
        |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let sources = Sources::single("config", &text);
            let imported = import(&sources, Version::V5_0, "config", "2026-11-21");
            let base = imported.base.to_toml().unwrap();
            let files = BTreeMap::from([(BASE_PATH.to_owned(), base)]);
            if let Err(error) = Catalogue::load(&files) {
                panic!("{error} of {}", files[BASE_PATH]);
            }
            true
        },
        300
    );
}

#[test]
fn any_file_of_a_catalogue_is_read_or_its_fault_names_it() {
    let samples: Vec<Vec<u8>> = builtin_bundle()
        .into_iter()
        .filter(|(path, _)| path.starts_with("powermta/providers/") && !path.contains("bounces"))
        .map(|(_, text)| text.into_bytes())
        .collect();
    fuzz!(samples, |bytes| {
        let path = "powermta/providers/any.toml";
        let text = String::from_utf8_lossy(bytes).into_owned();
        match Catalogue::load(&BTreeMap::from([(path.to_owned(), text)])) {
            Ok(_) => true,
            Err(fault) => {
                assert_eq!(fault.file, path, "{fault}");
                assert!(fault.to_string().starts_with(path), "{fault}");
                false
            }
        }
    });
}
