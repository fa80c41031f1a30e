//! Settings of both daemons, and role bundles, which operators write.

use std::collections::BTreeMap;

use email_engine_agent::config::{Config, Overrides};
use email_engine_coordinator::config::NodeConfig;
use email_engine_fuzz::fuzz;

use super::put;

/// A fault in a file of settings names the file.
fn told(refused: &dyn std::error::Error, file: &str) {
    let text = refused.to_string();
    assert!(
        text.contains(file) || text.contains(" is not valid"),
        "{text}"
    );
}

#[test]
fn any_settings_of_a_node_are_read_or_their_fault_is_told() {
    let documented = include_str!("../../../../coordinator/src/coordinator.default.toml");
    fuzz!(vec![documented.as_bytes().to_vec()], |bytes| {
        let path = put("settings/node.toml", bytes);
        match NodeConfig::read(&path, true) {
            Ok(config) => {
                let _ = config.check();
                true
            }
            Err(refused) => {
                told(&refused, "node.toml");
                false
            }
        }
    });
}

#[test]
fn any_settings_of_an_agent_are_read_or_their_fault_is_told() {
    fuzz!(vec![Config::default().to_toml().into_bytes()], |bytes| {
        let path = put("settings/agent.toml", bytes);
        match Config::load(Some(&path), Overrides::default()) {
            Ok(config) => {
                let shown = put("settings/shown.toml", config.to_toml().as_bytes());
                let again = Config::load(Some(&shown), Overrides::default()).unwrap();
                assert_eq!(again.to_toml(), config.to_toml());
                true
            }
            Err(refused) => {
                told(&refused, "agent.toml");
                false
            }
        }
    });
}

#[test]
fn any_value_from_the_environment_is_taken_or_refused_by_its_name() {
    let samples = [
        "agent_listen=0.0.0.0:7443",
        "mode=sandbox",
        "min_free_bytes=1",
        "log_level=info",
    ];
    fuzz!(
        samples.map(|text| text.as_bytes().to_vec()).to_vec(),
        |bytes| {
            let Some((key, value)) = std::str::from_utf8(bytes)
                .ok()
                .and_then(|text| text.split_once('='))
            else {
                return false;
            };
            let mut config = NodeConfig::default();
            let name = format!("EMAIL_ENGINE_COORDINATOR_{}", key.to_ascii_uppercase());
            match config.override_by([(name.clone(), value.to_owned())]) {
                Ok(()) => true,
                Err(refused) => {
                    assert!(refused.to_string().contains(&name), "{refused}");
                    false
                }
            }
        }
    );
}

#[test]
fn any_bundle_is_hashed_and_its_hash_tells_texts_apart() {
    use email_engine_coordinator::planner::bundle_hash;
    fuzz!(vec![b"powermta/role.toml=text".to_vec()], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (path, text) = text.split_once('=').unwrap_or(("a", "b"));
        let bundle = BTreeMap::from([(path.to_owned(), text.to_owned())]);
        let shifted = BTreeMap::from([(format!("{path}="), text.to_owned())]);
        assert_ne!(bundle_hash(&bundle), bundle_hash(&shifted));
        true
    });
}
