//! Codes of the linter keep their meaning: they are written down in tickets and in scripts.

use email_engine_coordinator::powermta::lint::{Rule, rules};

use crate::golden::golden;

#[test]
fn every_code_means_what_it_meant() {
    let line = |rule: &Rule| format!("{} {}\n", rule.code, rule.title);
    let codes: String = rules().values().map(line).collect();
    golden("lint.codes", &codes);
}
