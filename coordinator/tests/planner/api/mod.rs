//! An API host, before and after the cluster was given the bundle of its service.

use std::collections::BTreeSet;
use std::sync::Arc;

use email_engine_coordinator::metrics;
use email_engine_coordinator::planner::Planned;
use email_engine_coordinator::state::{
    Artifact, FleetState, HostSecret, SealedAtRest, SecretOf, StoredSecret, account,
};
use email_engine_protocol::api::TenantSecret;
use email_engine_protocol::bytes::{Commitment, ContentHash};
use email_engine_protocol::desired::{FileContent, HealthCheckSpec, HttpQuestion, Probe, Spec};
use email_engine_protocol::id::{ArtifactName, HostId, SecretId, TenantId};
use email_engine_protocol::time::Timestamp;

use crate::fixture::{Fleet, texts};
use crate::golden::golden;
use crate::listing::listing;

const HOST: &str = "api1";
const SITE: &str = "/etc/nginx/sites-available/email-engine-api.conf";
const SCRAPE: &str = "/etc/email-engine/monitoring/prometheus.yml";
const ALERTS: &str = "/etc/email-engine/monitoring/alerts.yml";

/// Names that dashboards may use before a node tells them: those that were decided.
const DECIDED: [&str; 2] = ["email_engine_blacklist_status", "email_engine_queue_size"];

/// With these files of operators, for all hosts.
fn given(mut fleet: Fleet, names: &[&str]) -> Fleet {
    let named = names.iter().map(|name| {
        let sha256 = ContentHash::of(name.as_bytes());
        (ArtifactName::new(*name).unwrap(), sha256)
    });
    let named: Arc<std::collections::BTreeMap<_, _>> = Arc::new(named.collect());
    for sha256 in named.values() {
        let artifact = Artifact {
            name: "file".to_owned(),
            length: 11,
            pieces: vec![*sha256],
            missing: [].into(),
            secret: false,
            begun_at: Timestamp(0),
            touched_at: Timestamp(0),
            finished_at: Some(Timestamp(0)),
        };
        fleet.state.artifacts.insert(*sha256, Arc::new(artifact));
    }
    let revisions: Vec<u64> = fleet.state.settings.keys().copied().collect();
    for revision in revisions {
        let named = Arc::clone(&named);
        fleet.state.artifact_names.insert(revision, named);
    }
    fleet
}

fn keep(state: &mut FleetState, id: SecretId) {
    let at = u8::try_from(state.secrets.len()).unwrap();
    let secret = StoredSecret {
        id: id.clone(),
        version: 7,
        commitment: Commitment([at; 32]),
        sealed: SealedAtRest {
            uid: [1; 16],
            kek_version: 1,
            wrapped_key: Vec::new(),
            ciphertext: Vec::new(),
        },
    };
    state.secrets.insert(id, Arc::new(secret));
}

/// With what the leader makes for its hosts.
fn made(mut fleet: Fleet) -> Fleet {
    let passwords = fleet.state.passwords_missing();
    let passwords = passwords.map(|(host, name)| FleetState::database_secret(host, &name).unwrap());
    let secrets = fleet.state.secrets_missing().map(|of| of.id());
    let missing: BTreeSet<SecretId> = passwords.chain(secrets).collect();
    for id in missing {
        keep(&mut fleet.state, id);
    }
    fleet
}

fn labelled(mut fleet: Fleet, labels: &[(&str, &str)]) -> Fleet {
    let host = HostId::new(HOST).unwrap();
    let spec = &mut fleet.state.hosts.get_mut(&host).unwrap().spec;
    for (name, value) in labels {
        spec.labels.insert((*name).to_owned(), (*value).to_owned());
    }
    fleet
}

fn served() -> Fleet {
    made(given(Fleet::sos_holidays(), &["api-bundle"]))
}

#[test]
fn without_the_bundle_a_host_is_planned_for_all_the_rest_and_says_what_is_missing() {
    let fleet = Fleet::sos_holidays();
    let planned = fleet.plan(HOST);
    assert!(!listing(&planned).contains("nginx"));
    let said = planned.flags.join("\n");
    assert!(
        said.contains("artifact put FILE --use api-bundle"),
        "{said}"
    );
    assert_eq!(fleet.state.passwords_missing().count(), 0);
    assert_eq!(fleet.state.secrets_missing().count(), 0);
}

#[test]
fn with_the_bundle_a_host_has_all_that_serves_and_watches() {
    let fleet = served();
    let planned = fleet.plan(HOST);
    golden("api1-served.resources", &listing(&planned));
    let named = labelled(fleet, &[("web-names", "api.example.com")]);
    let texts = texts(&named.plan(HOST));
    golden("api1.site", &texts[SITE]);
    golden("api1.prometheus", &texts[SCRAPE]);
    golden(
        "api1.web-unit",
        &texts["/etc/systemd/system/email-engine-api-web@.service"],
    );
}

#[test]
fn a_service_waits_for_its_secrets_and_no_text_holds_one() {
    let mut fleet = given(Fleet::sos_holidays(), &["api-bundle"]);
    let secrets = |fleet: &Fleet| -> Vec<String> {
        let resources = fleet.plan(HOST).config.resources;
        let lines = resources
            .iter()
            .filter_map(|resource| match &resource.spec {
                Spec::File(file) => match &file.content {
                    FileContent::Variable { name, secret } => {
                        assert_eq!(file.mode, 0o600);
                        Some(format!("{name}={}", secret.id))
                    }
                    FileContent::Secret(secret) => {
                        assert_eq!(file.mode & 0o007, 0);
                        Some(secret.id.to_string())
                    }
                    FileContent::Artifact(_) | FileContent::Body { .. } => None,
                },
                _ => None,
            });
        lines.collect()
    };
    assert!(secrets(&fleet).is_empty());
    assert!(!listing(&fleet.plan(HOST)).contains("service:email-engine-api-"));
    fleet = made(fleet);
    let tenant = TenantId::new("sos-holidays").unwrap();
    let has = [
        "API_KEY=tenant/sos-holidays/api-key",
        "POSTGRES_PASSWORD=database/api1/postgresql/api_sos_holidays",
        "host/api1/metrics-key",
    ];
    assert_eq!(secrets(&fleet), has);
    // Nobody makes what only an operator can give.
    let given = SecretOf::Tenant(tenant, TenantSecret::MailwizzApiKey);
    keep(&mut fleet.state, given.id());
    assert!(
        secrets(&fleet)
            .contains(&"MAILWIZZ_API_KEY=tenant/sos-holidays/mailwizz-api-key".to_owned())
    );
}

/// The questions of a health check and the unit that is restarted for it, of those whose name begins so.
fn checks(planned: &Planned, begin: &str) -> Vec<(String, HttpQuestion, Option<String>)> {
    let resources = planned.config.resources.iter();
    let checks = resources.filter_map(|resource| match &resource.spec {
        Spec::HealthCheck(check) => Some((resource.id.as_str(), check)),
        _ => None,
    });
    let checks = checks.filter(|(id, _)| id.starts_with(&format!("health_check:{begin}")));
    let one = |(id, check): (&str, &HealthCheckSpec)| {
        assert_eq!((check.interval_seconds, check.attempts), (30, 3));
        let [Probe::Http { question, .. }] = &check.probes[..] else {
            panic!("{id} asks {:?}", check.probes);
        };
        (id.to_owned(), question.clone(), check.restart.clone())
    };
    checks.map(one).collect()
}

#[test]
fn a_tenants_api_is_asked_as_its_callers_ask_it_and_once_it_is_there() {
    let fleet = given(Fleet::sos_holidays(), &["api-bundle"]);
    assert!(checks(&fleet.plan(HOST), "api-").is_empty());
    let fleet = made(fleet);
    let [(_, question, _)] = &checks(&fleet.plan(HOST), "api-")[..] else {
        panic!("one tenant");
    };
    assert_eq!(
        (question.address.port(), question.tls, &question.path[..]),
        (80, false, "/")
    );
    let named = labelled(fleet, &[("web-names", "api.example.com www.example.com")]);
    let asked = checks(&named.plan(HOST), "api-");
    let question = &asked[0].1;
    assert_eq!((question.address.port(), question.tls), (443, true));
    assert_eq!(question.host.as_deref(), Some("api.example.com"));
}

#[test]
fn each_tenant_of_a_shared_host_has_a_check_that_restarts_its_own_unit() {
    let fleet = made(given(Fleet::two_tenants(), &["api-bundle"]));
    let asked = checks(&fleet.plan(HOST), "api-");
    let wanted: Vec<_> = fleet
        .state
        .tenants
        .keys()
        .map(|tenant| {
            let account = account(tenant);
            (
                format!("health_check:api-{account}"),
                format!("/{tenant}/"),
                Some(format!("email-engine-api-web@{account}.service")),
            )
        })
        .collect();
    let asked: Vec<_> = asked
        .into_iter()
        .map(|(id, question, restart)| (id, question.path, restart))
        .collect();
    assert_eq!(asked, wanted);
}

#[test]
fn nodes_are_read_once_there_is_a_key_so_that_no_configuration_names_a_file_that_is_not_there() {
    let fleet = given(Fleet::sos_holidays(), &["api-bundle"]);
    let reads = |fleet: &Fleet| texts(&fleet.plan(HOST))[SCRAPE].contains("metrics-key");
    assert!(!reads(&fleet));
    assert!(reads(&made(fleet)));
}

#[test]
fn a_shared_host_keeps_its_tenants_apart() {
    let fleet = made(given(Fleet::two_tenants(), &["api-bundle"]));
    let planned = fleet.plan(HOST);
    let listed = listing(&planned);
    let texts = texts(&planned);
    for tenant in fleet.state.tenants.keys() {
        let account = account(tenant);
        for part in [
            format!("service:email-engine-api-web@{account}.service"),
            format!("database:postgresql/api_{account}"),
            format!("/etc/email-engine/api/{account}.api-key.env"),
        ] {
            assert!(listed.contains(&part), "{part}");
        }
        let place = format!("location /{tenant}/ {{");
        assert!(texts[SITE].contains(&place), "{}", texts[SITE]);
        // What changes one restarts that one alone.
        let file = format!("file:/etc/email-engine/api/{account}.env");
        let resource = planned
            .config
            .resources
            .iter()
            .find(|one| one.id.as_str() == file);
        let told: Vec<&str> = resource
            .unwrap()
            .notify
            .iter()
            .map(|id| id.as_str())
            .collect();
        assert_eq!(told.len(), 3);
        assert!(
            told.iter().all(|id| id.contains(&format!("@{account}."))),
            "{told:?}"
        );
    }
}

#[test]
fn whose_figures_a_host_reads_follows_from_whose_it_is_and_from_its_label() {
    let whole = |fleet: &Fleet| texts(&fleet.plan(HOST))[SCRAPE].contains("job_name: coordinator");
    let only = served();
    assert!(whole(&only), "all of the fleet is one tenant's");
    let own = labelled(only.clone(), &[("monitors", "own")]);
    assert!(!whole(&own));
    let wanted = own
        .state
        .secrets_wanted(&own.state.hosts[&HostId::new(HOST).unwrap()]);
    let key = SecretOf::Host(HostId::new(HOST).unwrap(), HostSecret::MetricsKey);
    assert!(!wanted.contains(&key), "no key where nothing is read by it");
    assert!(!texts(&own.plan(HOST))[ALERTS].contains("NoLeader"));

    let mut other = only;
    let tenant = other.state.tenants.values().next().unwrap().clone();
    let id = TenantId::new("another").unwrap();
    let tenant = email_engine_protocol::api::TenantSpec {
        id: id.clone(),
        ..tenant
    };
    other.state.tenants.insert(id, tenant);
    assert!(
        !whole(&other),
        "figures of another tenant are not this one's"
    );
    assert!(whole(&labelled(other, &[("monitors", "fleet")])));
    assert!(
        whole(&made(given(Fleet::two_tenants(), &["api-bundle"]))),
        "nobody's alone"
    );
}

#[test]
fn hosts_with_an_exporter_are_read_and_others_are_not() {
    let scrape = |fleet: &Fleet| texts(&fleet.plan(HOST))[SCRAPE].clone();
    let mut fleet = made(given(
        Fleet::sos_holidays(),
        &["api-bundle", "mailwizz", "powermta"],
    ));
    let mut labelled = |host: &str, word: &str| {
        let host = HostId::new(host).unwrap();
        let host = fleet.state.hosts.get_mut(&host).unwrap();
        let label = ("node-exporter".to_owned(), word.to_owned());
        host.spec.labels.extend([label]);
        let read = scrape(&fleet);
        let read = |role: &str| read.contains(&format!("role: \"{role}\""));
        (read("mailwizz"), read("powermta"))
    };
    // The distributions that MailWizz runs on have one; not all that PowerMTA runs on.
    assert_eq!(labelled("pmta1", "off"), (true, false));
    assert_eq!(labelled("pmta1", "on"), (true, true));
    assert_eq!(labelled("mailwizz1", "off"), (false, true));
    let plan = listing(&fleet.plan("mailwizz1"));
    assert!(!plan.contains("node-exporter"), "{plan}");
}

/// Names in a text that begin as ours do.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
    let ours = words.filter(|word| word.starts_with("email_engine_") && !word.contains("_api_sos"));
    ours.collect()
}

#[test]
fn alerts_and_dashboards_know_only_figures_that_there_are() {
    let fleet = made(given(Fleet::sos_holidays(), &["api-bundle", "grafana"]));
    let texts = texts(&fleet.plan(HOST));
    let there: BTreeSet<&str> = metrics::EVENTS
        .iter()
        .chain(metrics::LOOKS)
        .map(|metric| metric.name)
        .collect();
    let unknown: Vec<_> = names(&texts[ALERTS]).difference(&there).copied().collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let dashboards = texts.iter().filter(|(path, _)| path.ends_with(".json"));
    let mut titles = Vec::new();
    for (path, text) in dashboards {
        let board: serde_json::Value = serde_json::from_str(text).unwrap();
        titles.push(board["title"].as_str().unwrap().to_owned());
        let panels = board["panels"].as_array().unwrap();
        let words: String = panels
            .iter()
            .filter_map(|panel| panel["options"]["content"].as_str())
            .collect();
        for name in names(text).difference(&there) {
            assert!(DECIDED.contains(name), "{path}: {name}");
            assert!(
                words.contains(name),
                "{path} does not say that {name} is still to come"
            );
        }
    }
    titles.sort_unstable();
    assert_eq!(
        titles,
        [
            "Blacklist Checks",
            "IPs Status",
            "Sending Volume",
            "Warmup Progress"
        ]
    );
}

#[test]
fn long_and_odd_names_of_tenants_become_short_words_that_differ() {
    let long = "a".repeat(62);
    let names = [
        "client-1",
        "a",
        &format!("{long}b"),
        &format!("{long}c"),
        "a-b-c",
    ];
    let accounts: BTreeSet<String> = names
        .iter()
        .map(|name| account(&TenantId::new(*name).unwrap()))
        .collect();
    assert_eq!(accounts.len(), names.len());
    for account in &accounts {
        assert!(account.len() <= 24, "{account}");
        assert!(
            account
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        );
    }
}
