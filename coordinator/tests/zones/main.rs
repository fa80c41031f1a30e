//! Changes of a real zone (Knot): by two publishers at once, by somebody else in the moment between reading and
//! changing, and by whoever has no right to.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use data_encoding::BASE64;
use hickory_proto::rr::RecordType;
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use email_engine_coordinator::dns::primary::{Reader, UpdateError, Writer};
use email_engine_coordinator::dns::publish::{Draft, ZonePlan, plan};
use email_engine_coordinator::dns::wanted::{Data, Part, Wanted};
use email_engine_coordinator::seal::Vault;
use email_engine_coordinator::state::{DnsZone, Inventory, Made};
use email_engine_protocol::api::ZoneMode;
use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::secret::SecretBytes;
use email_engine_tests::zones::{Stranger, ZoneServer, free_port};

const SERVER: &str = "127.0.0.6";
const ZONE: &str = "example.net";
const NAME: &str = "mail1.example.net";
const KEY_NAME: &str = "ee-key";
const KEY: [u8; 32] = [7; 32];
const RECORDS: &str = "\
@ 60 IN SOA ns1.example.net. hostmaster.example.net. 1 3600 600 86400 60
@ 60 IN NS ns1.example.net.
ns1 60 IN A 127.0.0.6
mail1 60 IN TXT \"site-verification=theirs\"
alias 60 IN CNAME www
*.wild 60 IN TXT \"v=spf1 -all\"
*.star 60 IN CNAME www
below 60 IN NS ns1.below
ns1.below 60 IN A 203.0.113.53
";

struct World {
    _server: ZoneServer,
    stranger: Stranger,
    at: SocketAddr,
    vault: Arc<Vault>,
    made: Inventory,
}

impl World {
    async fn new() -> Self {
        let port = free_port(&[SERVER]);
        let server = ZoneServer::new(SERVER, port, &[(ZONE, RECORDS)]);
        let mut server = server.changed_by(KEY_NAME, &BASE64.encode(&KEY));
        server.start().await;
        Self {
            stranger: server.stranger(),
            _server: server,
            at: format!("{SERVER}:{port}").parse().unwrap(),
            vault: Arc::new(Vault::new(1, Zeroizing::new([9; 32]))),
            made: Inventory::new(),
        }
    }

    fn zone(&self, key: [u8; 32]) -> DnsZone {
        let secret = SecretBytes {
            salt: [1; 16],
            bytes: key.to_vec(),
        };
        DnsZone {
            mode: ZoneMode::Manage,
            server: self.at,
            key_name: KEY_NAME.to_owned(),
            key: self
                .vault
                .seal_secret(&secret, &Entropy(&SystemRandom::new())),
            last: None,
        }
    }

    fn draft(&self, wanted: &[Wanted]) -> Draft {
        Draft {
            zone: ZONE.parse().unwrap(),
            mode: ZoneMode::Manage,
            server: self.at,
            cluster: "0101".to_owned(),
            wanted: wanted.to_vec(),
            waiting: BTreeMap::new(),
            made: self.made.clone(),
            living: BTreeSet::new(),
            owners: BTreeSet::new(),
        }
    }

    async fn plan(&self, wanted: &[Wanted]) -> ZonePlan {
        let draft = self.draft(wanted);
        let seen = Reader::default().read(&draft).await.unwrap();
        plan(&draft, &seen, false)
    }

    async fn update(&self, plan: &ZonePlan) -> Result<(), UpdateError> {
        let writer = Writer::new(Arc::clone(&self.vault));
        writer.update(&self.zone(KEY), plan, now()).await
    }

    fn is_done(&mut self, plan: &ZonePlan) {
        for (name, marks) in &plan.there {
            let row = self.made.entry(name.clone()).or_default();
            row.extend(marks.iter().map(|mark| (*mark, Made::There)));
        }
        for (name, marks) in &plan.gone {
            let row = self.made.entry(name.clone()).or_default();
            row.retain(|mark, _| !marks.contains(mark));
        }
        self.made.retain(|_, row| !row.is_empty());
    }

    fn texts(&self, name: &str) -> Vec<String> {
        self.stranger.sees(name, RecordType::TXT)
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs()
}

fn text(name: &str, part: Part, text: &str) -> Wanted {
    Wanted {
        name: name.to_owned(),
        data: Data::Txt(text.to_owned()),
        part,
        until: None,
    }
}

fn policy(last: usize) -> Wanted {
    let policy = format!("v=spf1 ip4:192.0.2.{last} -all");
    text(NAME, Part::Spf, &policy)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_publishers_at_once_do_no_harm() {
    let mut world = World::new().await;
    for round in 1..=20 {
        let wanted = [policy(round)];
        let (one, other) = (world.plan(&wanted).await, world.plan(&wanted).await);
        assert_eq!(one, other);
        let (first, second) = tokio::join!(world.update(&one), world.update(&other));
        let outcomes = [&first, &second].map(|outcome| match outcome {
            Ok(()) => true,
            Err(UpdateError::Changed) => false,
            Err(error) => panic!("{error}"),
        });
        assert_eq!(outcomes.into_iter().filter(|done| *done).count(), 1);
        world.is_done(&one);
        let again = world.plan(&wanted).await;
        assert!(again.ops.is_empty(), "{:?}", again.ops);
        let both = [
            "site-verification=theirs".to_owned(),
            format!("v=spf1 ip4:192.0.2.{round} -all"),
        ];
        assert_eq!(world.texts(NAME), both);
        assert_eq!(world.texts("_ee-owner.mail1.example.net").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_changed_in_the_moment_between_is_left_alone_by_the_server_itself() {
    let mut world = World::new().await;
    let first = world.plan(&[policy(1)]).await;
    world.stranger.adds(ZONE, NAME, "v=spf1 a -all");
    assert!(matches!(
        world.update(&first).await,
        Err(UpdateError::Changed)
    ));
    let theirs = ["site-verification=theirs", "v=spf1 a -all"];
    assert_eq!(world.texts(NAME), theirs);
    assert!(world.texts("_ee-owner.mail1.example.net").is_empty());
    let blocked = world.plan(&[policy(1)]).await;
    assert!(blocked.ops.is_empty() && blocked.blocked.len() == 1);

    // The same of what goes, and of its mark.
    let name = "mail2.example.net";
    let own = text(name, Part::Spf, "v=spf1 -all");
    let come = world.plan(std::slice::from_ref(&own)).await;
    world.update(&come).await.unwrap();
    world.is_done(&come);
    let go = world.plan(&[]).await;
    assert_eq!(go.ops.len(), 2);
    world
        .stranger
        .removes(ZONE, "_ee-owner.mail2.example.net", RecordType::TXT);
    assert!(matches!(world.update(&go).await, Err(UpdateError::Changed)));
    assert_eq!(world.texts(name), ["v=spf1 -all"]);
    assert!(
        world.plan(&[]).await.ops.is_empty(),
        "without its mark it is theirs"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_key_comes_is_emptied_and_goes_and_leaves_nothing() {
    let mut world = World::new().await;
    let name = "mail._domainkey.mail1.example.net";
    let record = |key: &str| [text(name, Part::Dkim, &format!("v=DKIM1; k=rsa; p={key}"))];
    let key = "A".repeat(392);
    for (wanted, shown) in [
        (
            record(&key).to_vec(),
            vec![format!("v=DKIM1; k=rsa; p={key}")],
        ),
        (record("").to_vec(), vec!["v=DKIM1; k=rsa; p=".to_owned()]),
        (Vec::new(), Vec::new()),
    ] {
        let plan = world.plan(&wanted).await;
        world.update(&plan).await.unwrap();
        world.is_done(&plan);
        assert_eq!(world.texts(name), shown);
    }
    assert!(world.texts(&format!("_ee-owner.{name}")).is_empty());
    assert!(world.made.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_and_names_that_are_elsewhere_are_left_out_and_stop_nothing_else() {
    let world = World::new().await;
    let wanted = [
        text("alias.example.net", Part::Spf, "v=spf1 -all"),
        text("mail.below.example.net", Part::Spf, "v=spf1 -all"),
        policy(1),
    ];
    let plan = world.plan(&wanted).await;
    assert_eq!(plan.ops.len(), 2);
    let why: Vec<&str> = plan.blocked.iter().map(|one| one.why.as_str()).collect();
    assert!(
        why[0].contains("alias") && why[1].contains("on other servers"),
        "{why:?}"
    );
    world.update(&plan).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_changes_nothing_and_a_server_that_is_silent_is_not_read() {
    let world = World::new().await;
    let plan = world.plan(&[policy(1)]).await;
    let writer = Writer::new(Arc::clone(&world.vault));
    let wrong = writer.update(&world.zone([8; 32]), &plan, now()).await;
    assert!(
        matches!(wrong, Err(UpdateError::Unclear { .. })),
        "{wrong:?}"
    );
    // A clock that is off is refused as well, by a signed answer or an unsigned one.
    assert!(
        writer
            .update(&world.zone(KEY), &plan, now() - 86_400)
            .await
            .is_err()
    );
    assert_eq!(world.texts(NAME), ["site-verification=theirs"]);
    let elsewhere = Draft {
        zone: "example.org".parse().unwrap(),
        ..world.draft(&[])
    };
    let refused = Reader::default()
        .read(&elsewhere)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("could not be read"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_wildcard_makes_up_stands_in_the_way_of_nothing() {
    let mut world = World::new().await;
    let wanted = [
        // The same words as the wildcard's: what was never made is not there.
        text("mail1.wild.example.net", Part::Spf, "v=spf1 -all"),
        text(
            "mail2.wild.example.net",
            Part::Spf,
            "v=spf1 ip4:192.0.2.2 -all",
        ),
        text("mail.star.example.net", Part::Spf, "v=spf1 -all"),
    ];
    let plan = world.plan(&wanted).await;
    assert!(plan.blocked.is_empty(), "{:?}", plan.blocked);
    world.update(&plan).await.unwrap();
    world.is_done(&plan);
    assert_eq!(world.texts("mail1.wild.example.net"), ["v=spf1 -all"]);
    let second = world.texts("mail2.wild.example.net");
    assert_eq!(second, ["v=spf1 ip4:192.0.2.2 -all"]);
    assert_eq!(world.texts("mail.star.example.net"), ["v=spf1 -all"]);
    let again = world.plan(&wanted[1..]).await;
    assert!(
        again.ops.len() == 2,
        "its own goes, with its mark: {:?}",
        again.ops
    );
}
