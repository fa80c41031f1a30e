//! A MailWizz host, before and after the cluster was given the product's archive.

mod campaigns;

use std::sync::Arc;

use email_engine_coordinator::fleet::warmup::follow;
use email_engine_coordinator::state::{Artifact, FleetState, SealedAtRest, StoredSecret};
use email_engine_protocol::api::{
    WarmupRates, WarmupReason, WarmupSettings, WarmupStep, WarmupVerdict,
};
use email_engine_protocol::bytes::{Commitment, ContentHash};
use email_engine_protocol::desired::{FileContent, OnRemove, Spec, SqlValue};
use email_engine_protocol::id::{ArtifactName, HostId};
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::url::ServiceUrl;

use crate::fixture::{Fleet, texts};
use crate::golden::golden;
use crate::listing::listing;

const HOST: &str = "mailwizz1";
const SITE: &str = "/etc/nginx/sites-available/mailwizz.conf";
const LOCATIONS: &str = "/etc/nginx/snippets/mailwizz.conf";

fn host() -> HostId {
    HostId::new(HOST).unwrap()
}

/// With the archive, for all hosts, and what the leader makes for them then.
fn given(mut fleet: Fleet) -> Fleet {
    let sha256 = ContentHash::of(b"the product");
    let artifact = Artifact {
        name: "mailwizz.zip".to_owned(),
        length: 11,
        pieces: vec![sha256],
        missing: [].into(),
        secret: false,
        begun_at: Timestamp(0),
        touched_at: Timestamp(0),
        finished_at: Some(Timestamp(0)),
    };
    fleet.state.artifacts.insert(sha256, Arc::new(artifact));
    let names = [(ArtifactName::new("mailwizz").unwrap(), sha256)];
    let names = Arc::new(names.into_iter().collect());
    let revisions: Vec<u64> = fleet.state.settings.keys().copied().collect();
    for revision in revisions {
        let names = Arc::clone(&names);
        fleet.state.artifact_names.insert(revision, names);
    }
    let missing: Vec<_> = fleet.state.passwords_missing().collect();
    let missing: Vec<_> = missing
        .into_iter()
        .map(|(id, name)| (id.clone(), name))
        .collect();
    for (at, (host, database)) in missing.iter().enumerate() {
        let id = FleetState::database_secret(host, database).unwrap();
        let secret = StoredSecret {
            id: id.clone(),
            version: 7,
            commitment: Commitment([u8::try_from(at).unwrap(); 32]),
            sealed: SealedAtRest {
                uid: [1; 16],
                kek_version: 1,
                wrapped_key: Vec::new(),
                ciphertext: Vec::new(),
            },
        };
        fleet.state.secrets.insert(id, Arc::new(secret));
    }
    fleet
}

fn labelled(mut fleet: Fleet, labels: &[(&str, &str)]) -> Fleet {
    let spec = &mut fleet.state.hosts.get_mut(&host()).unwrap().spec;
    for (name, value) in labels {
        spec.labels.insert((*name).to_owned(), (*value).to_owned());
    }
    fleet
}

#[test]
fn without_the_archive_a_host_is_planned_for_all_the_rest_and_says_what_is_missing() {
    let fleet = Fleet::sos_holidays();
    let planned = fleet.plan(HOST);
    assert!(!listing(&planned).contains("nginx"));
    let said = planned.flags.join("\n");
    assert!(said.contains("artifact put FILE --use mailwizz"), "{said}");
    assert_eq!(fleet.state.passwords_missing().count(), 0);
}

#[test]
fn with_the_archive_a_host_has_all_that_serves_the_application() {
    let fleet = given(Fleet::sos_holidays());
    let planned = fleet.plan(HOST);
    let [said] = &planned.flags[..] else {
        panic!("{:?}", planned.flags);
    };
    assert!(said.contains("/install/"), "{said}");
    golden("mailwizz1-served.resources", &listing(&planned));
    let texts = texts(&planned);
    golden("mailwizz1.site", &texts[SITE]);
    golden("mailwizz1.locations", &texts[LOCATIONS]);
    golden(
        "mailwizz1.pool",
        &texts["/etc/php/8.2/fpm/pool.d/mailwizz.conf"],
    );
    assert!(texts["/etc/cron.d/mailwizz"].contains(" mailwizz /usr/bin/php "));
    // Other hosts have nothing of it.
    for other in ["pmta1", "api1"] {
        assert_eq!(fleet.plan(other), Fleet::sos_holidays().plan(other));
    }
}

#[test]
fn its_database_is_its_own_and_nothing_of_it_goes_with_the_role() {
    let fleet = given(Fleet::sos_holidays());
    for resource in fleet.plan(HOST).config.resources {
        match resource.spec {
            Spec::Database(_) | Spec::Archive(_) | Spec::Package(_) => {
                assert_eq!(resource.on_remove, OnRemove::Leave, "{}", resource.id);
            }
            Spec::File(file) => {
                let is_secret = matches!(file.content, FileContent::Secret(_));
                assert_eq!(is_secret, file.mode == 0o600, "{}", file.path);
                assert_eq!(file.mode & 0o022, 0, "{}", file.path);
            }
            Spec::Directory(folder) => assert_eq!(folder.mode & 0o002, 0, "{}", folder.path),
            _ => {}
        }
    }
}

#[test]
fn labels_say_by_which_names_and_with_which_php_it_is_served() {
    let fleet = given(Fleet::sos_holidays());
    let names = [("web-names", "news.example.com mail.example.com")];
    let site = texts(&labelled(fleet.clone(), &names).plan(HOST))[SITE].clone();
    assert!(
        site.contains("server_name mail.example.com news.example.com localhost;"),
        "{site}"
    );
    assert!(site.contains("return 444;"), "{site}");
    golden("mailwizz1-named.site", &site);
    let named = listing(&labelled(fleet.clone(), &names).plan(HOST));
    assert!(
        named.contains("certificate:web") && named.contains("acme-v02.api.letsencrypt.org"),
        "{named}"
    );
    assert!(!listing(&fleet.plan(HOST)).contains("certificate:web"));

    let older = labelled(fleet.clone(), &[("php-version", "8.1")]).plan(HOST);
    let ids = listing(&older);
    assert!(
        ids.contains("service:php8.1-fpm.service") && !ids.contains("8.2"),
        "{ids}"
    );
    assert!(texts(&older).contains_key("/etc/php/8.1/fpm/pool.d/mailwizz.conf"));

    let wizard = |said: &str| {
        let fleet = labelled(fleet.clone(), &[("mailwizz-wizard", said)]);
        texts(&fleet.plan(HOST))[LOCATIONS].clone()
    };
    assert!(wizard("192.0.2.9/24").contains("    allow 192.0.2.0/24;\n    deny all;"));
    assert!(!wizard("closed").contains("allow "));
    let closed = labelled(fleet.clone(), &[("mailwizz-wizard", "closed")]).plan(HOST);
    let wizard = "step:wizard /usr/bin/rm";
    assert!(listing(&closed).contains(wizard), "{}", listing(&closed));
    assert_eq!(closed.flags, [""; 0]);

    for (label, value, said) in [
        ("php-version", "7.4", "8.1, 8.2, 8.3 or 8.4"),
        ("web-names", "a.example.com; x", "two or more labels"),
        ("mailwizz-wizard", "office", "192.0.2.0/24"),
    ] {
        let refused = labelled(fleet.clone(), &[(label, value)]).refusal_of(HOST);
        let refused = refused.to_string();
        assert!(
            refused.contains(label) && refused.contains(said),
            "{refused}"
        );
    }
}

#[test]
fn an_operators_value_outranks_that_of_a_part() {
    let fleet = given(Fleet::sos_holidays());
    let extra = "[values]\nweb_user = \"ours\"\n";
    let fleet = fleet.with_file("mailwizz/extra.toml", extra);
    let texts = texts(&fleet.plan(HOST));
    assert!(texts["/etc/cron.d/mailwizz"].contains(" ours /usr/bin/php "));
}

#[test]
fn a_part_that_cannot_be_is_refused_also_where_no_host_has_it() {
    let part = "mailwizz/application.toml";
    for (text, said) in [
        ("[[part]]\nfile = \"x\"\n", "neither a firewall nor parts"),
        (
            "[firewall]\ninput = \"drop\"\noutput = \"accept\"\non_remove = \"delete\"\n",
            "firewall",
        ),
        (
            "[[package]]\nname = 1\n",
            "mailwizz/application.toml line 2",
        ),
    ] {
        let refused = Fleet::sos_holidays().with_file(part, text).refusal_of(HOST);
        assert!(refused.to_string().contains(said), "{text}: {refused}");
    }
    let role = |part: &str| {
        let files = email_engine_coordinator::planner::builtin_bundle();
        let role = format!("{}\n{part}", files["mailwizz/role.toml"]);
        Fleet::sos_holidays()
            .with_file("mailwizz/role.toml", &role)
            .refusal_of(HOST)
    };
    for (part, said) in [
        (
            "[[part]]\nfile = \"nowhere.toml\"\n",
            "no file \"nowhere.toml\"",
        ),
        (
            "[[part]]\nfile = \"mailwizz/application.toml\"\nlabel = \"x\"\n",
            "label and is belong together",
        ),
    ] {
        let refused = role(part);
        assert!(refused.to_string().contains(said), "{refused}");
    }
}

/// The daily quotas of the rows of delivery servers, by the name of the row.
fn quotas(fleet: &Fleet) -> Vec<(String, i64)> {
    let rows = fleet.plan(HOST).config.resources.into_iter();
    let quota = |resource: email_engine_protocol::desired::Resource| {
        let Spec::SqlRow(row) = resource.spec else {
            return None;
        };
        let cell = row.values.iter().find(|cell| cell.column == "daily_quota");
        match cell?.value {
            SqlValue::Integer(quota) => Some((resource.id.to_string(), quota)),
            _ => None,
        }
    };
    rows.filter_map(quota).collect()
}

#[test]
fn what_a_daily_tick_comes_to_is_the_quota_of_the_identitys_delivery_server_and_of_no_other() {
    let mut fleet = given(Fleet::sos_holidays());
    let before = quotas(&fleet);
    let identities = fleet.state.identities.values();
    let (address, plan) = identities
        .map(|one| (one.spec.address, one.warmup.clone()))
        .find(|(_, plan)| plan.daily_quota == 100)
        .unwrap();
    let name = fleet.state.identities[&address].spec.vmta.to_string();
    let settings = WarmupSettings::default();
    let verdict = WarmupVerdict {
        step: WarmupStep::Advance,
        reasons: vec![WarmupReason::LinesHold],
    };
    let mut next = plan;
    follow(
        &mut next,
        &verdict,
        &WarmupRates::default(),
        &settings,
        20_700,
    );
    assert_eq!(next.daily_quota, 250);
    let identity = fleet.state.identities.get_mut(&address).unwrap();
    let identity = Arc::make_mut(identity);
    identity.spec.phase = next.phase;
    identity.warmup = next;
    let after = quotas(&fleet);
    let changed: Vec<_> = before
        .iter()
        .zip(&after)
        .filter(|(one, other)| one != other)
        .collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    let (old, new) = changed[0];
    assert!(new.0.ends_with(&format!("/{name}")), "{new:?}");
    assert_eq!((old.1, new.1), (100, 250));
}

#[test]
fn bounces_are_posted_to_the_tenants_that_a_label_names_and_whose_mailwizz_is_known() {
    let posts = |fleet: &Fleet| {
        let planned = fleet.plan("pmta1");
        (planned.config.accounting.unwrap().posts, planned.flags)
    };
    let mut fleet = Fleet::two_tenants();
    let url = ServiceUrl::new("https://app.example.com").unwrap();
    let first = crate::fixture::tenant("client-1");
    fleet.state.tenants.get_mut(&first).unwrap().mailwizz_url = Some(url.clone());
    assert_eq!(posts(&fleet).0, [], "off unless somebody asks for it");
    let fleet = fleet.labelled("mailwizz-webhook", "all");
    let (all, flags) = posts(&fleet);
    assert_eq!(all.len(), 1);
    assert_eq!((&all[0].tenant, &all[0].url), (&first, &url));
    assert_eq!(all[0].path.as_str(), "/var/log/pmta/feedback.csv");
    let own = fleet.state.identities.values();
    let own = own
        .filter(|one| one.spec.tenant == first)
        .map(|one| one.spec.address);
    assert_eq!(all[0].identities, own.collect::<Vec<_>>());
    let words = "nothing is posted for client-2, which has no mailwizz_url";
    assert!(flags.iter().any(|flag| flag.contains(words)), "{flags:?}");
    let other = fleet.labelled("mailwizz-webhook", "client-3,client-2");
    assert_eq!(posts(&other).0, []);
}
