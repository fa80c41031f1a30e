//! Hosts of identities whose DKIM keys are changed.

use std::fmt::Write as _;
use std::sync::Arc;

use email_engine_coordinator::dns::wanted::dkim_records;
use email_engine_coordinator::fleet::rotation::{begin, turn};
use email_engine_coordinator::planner::Planned;
use email_engine_coordinator::state::{Identity, OtherKey, StoredSecret};
use email_engine_protocol::api::{RotationCause, RotationStage};
use email_engine_protocol::bytes::{Commitment, ContentHash};
use email_engine_protocol::desired::{FileContent, Spec};
use email_engine_protocol::id::SecretId;
use email_engine_protocol::time::Timestamp;

use crate::fixture::{Fleet, lint, sections, texts};
use crate::golden::golden;

const CONFIG: &str = "/etc/pmta/config";
const ADDRESS: &str = "192.0.2.3";
const SELECTOR: &str = "mail-202611221";
const AT: Timestamp = Timestamp(1_795_327_200_000);

fn change(fleet: &mut Fleet, change: impl FnOnce(&mut Identity)) {
    let address = ADDRESS.parse().unwrap();
    let identity = fleet.state.identities.get_mut(&address).unwrap();
    change(Arc::make_mut(identity));
}

fn rotating() -> Fleet {
    let mut fleet = Fleet::sos_holidays();
    let id = SecretId::new(format!("dkim/mail3.sos-holidays.com/{SELECTOR}")).unwrap();
    let first = fleet.state.secrets.values().next().unwrap();
    let secret = StoredSecret {
        id: id.clone(),
        commitment: Commitment(ContentHash::of(b"another").0),
        ..(**first).clone()
    };
    fleet.state.secrets.insert(id.clone(), Arc::new(secret));
    change(&mut fleet, |identity| {
        let other = OtherKey {
            secret: id,
            selector: SELECTOR.to_owned(),
            public: "QW5vdGhlcg".to_owned(),
        };
        begin(identity, other, RotationCause::Asked, (AT, 1));
    });
    fleet
}

/// Keys of the identity and the line that signs with one of them.
fn signing(planned: &Planned) -> String {
    let mut told = String::new();
    for resource in &planned.config.resources {
        let Spec::File(file) = &resource.spec else {
            continue;
        };
        let path = file.path.to_string();
        if let (true, FileContent::Secret(secret)) = (path.contains("dkim/mail3"), &file.content) {
            writeln!(told, "  {path} <- {}", secret.id).unwrap();
        }
    }
    let text = &texts(planned)[CONFIG];
    assert_eq!(lint(text), "");
    let found = sections(text).into_iter();
    let mut own = found.filter(|(head, _)| *head == "<virtual-mta vmta-mail3>");
    let (_, lines) = own.next().unwrap();
    let signs = lines.iter().filter(|line| line.contains("domain-key"));
    signs.for_each(|line| writeln!(told, "  {}", line.trim()).unwrap());
    told
}

fn records(fleet: &Fleet) -> String {
    let identity = &fleet.state.identities[&ADDRESS.parse().unwrap()];
    let cut = |value: &str| value.chars().take(34).collect::<String>();
    let one = |record: &email_engine_protocol::api::DomainRecord| {
        let until = record.until.map(|at| format!(" until {at}"));
        let (name, value) = (&record.name, cut(&record.value));
        format!("  {name} {value}{}\n", until.unwrap_or_default())
    };
    dkim_records(identity).iter().map(one).collect()
}

#[test]
fn the_file_comes_before_the_line_that_names_it_and_the_old_one_goes_after() {
    let mut fleet = rotating();
    let mut told = String::new();
    for stage in RotationStage::ALL {
        change(&mut fleet, |identity| {
            turn(identity, Some(stage), (AT, 2));
        });
        let planned = signing(&fleet.plan("pmta1"));
        write!(told, "{stage}\n{planned}{}", records(&fleet)).unwrap();
    }
    golden("rotation.stages", &told);
}

#[test]
fn nothing_else_on_the_host_changes_with_a_key() {
    let mut fleet = rotating();
    let before = fleet.plan("pmta1");
    let own = |id: &str| id.contains("dkim/mail3") || id == format!("file:{CONFIG}");
    let others = |planned: &Planned| {
        let all = planned.config.resources.iter();
        let others = all.filter(|one| !own(one.id.as_str()));
        let others = others.filter(|one| !one.id.as_str().starts_with("transaction:"));
        others.cloned().collect::<Vec<_>>()
    };
    for stage in RotationStage::ALL {
        change(&mut fleet, |identity| {
            turn(identity, Some(stage), (AT, 2));
        });
        let planned = fleet.plan("pmta1");
        assert_eq!(others(&planned), others(&before), "{stage}");
        let lost = |a: &str, b: &str| {
            let lines = a.lines().filter(|line| !line.starts_with("# sha256"));
            lines
                .filter(|line| !b.lines().any(|other| other == *line))
                .count()
        };
        let (old, new) = (texts(&before), texts(&planned));
        let switched = usize::from(stage >= RotationStage::Switching);
        assert_eq!(lost(&old[CONFIG], &new[CONFIG]), switched, "{stage}");
        assert_eq!(
            fleet.plan("pmta1"),
            planned,
            "its own result changes nothing"
        );
    }
}
