//! An agent that is killed in the middle of a change leaves files that its next life makes whole: wholly
//! those before the change, and the product runs with them; from there it goes on.

use std::collections::BTreeSet;

use email_engine_agent::host::Cabinet;
use email_engine_agent::transaction::shelf::Shelf;
use email_engine_agent::transaction::standing::Stage;
use email_engine_tests::mail::{MailFleet, addresses, alone};
use email_engine_tests::wait_until;

use super::{Files, HOST, live, planned, sends, vmtas};

const CONFIG: &str = "/etc/pmta/config";
const SIXTH: &str = "192.0.2.6";
const VMTA: &str = "vmta-mail6";

/// Where it is killed, in what, and what there shall be afterwards.
struct Cut {
    change: Change,
    /// Commands at which the change is held one after the other: the last is where it ends.
    at: &'static [&'static str],
    stage: Stage,
    /// Whether the product had already heard of the change.
    is_active: bool,
    /// Whether the product dies with it, as by a power cut.
    whole: bool,
    end: End,
}

/// Of a sixth identity.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Comes,
    Goes,
}

/// What the cluster wants once the agent is back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    New,
    Old,
}

const CUTS: [Cut; 4] = [
    Cut {
        change: Change::Comes,
        at: &["test-config"],
        stage: Stage::Test,
        is_active: false,
        whole: false,
        end: End::Old,
    },
    Cut {
        change: Change::Comes,
        at: &["reload"],
        stage: Stage::Activate,
        is_active: false,
        whole: false,
        end: End::New,
    },
    Cut {
        change: Change::Goes,
        at: &["reload", "show-status"],
        stage: Stage::ReadBack,
        is_active: true,
        whole: true,
        end: End::New,
    },
    Cut {
        change: Change::Comes,
        at: &["show-vmtas", "systemctl-show"],
        stage: Stage::Health,
        is_active: true,
        whole: false,
        end: End::Old,
    },
];

/// Files, and the virtual MTAs that the product runs with.
type Seen = (Files, BTreeSet<String>);

/// At which stages changes are on their way.
fn stages(mail: &MailFleet) -> Vec<Stage> {
    let folder = mail.fleet.agents[HOST].data_dir().join("executor");
    let shelf = Shelf::new(Cabinet::open(&folder).unwrap());
    let standings = shelf.standings().into_values();
    standings
        .filter_map(|one| Some(one.journal?.stage))
        .collect()
}

/// Begins a change and kills the agent in the middle of it.
async fn cut_off(mail: &mut MailFleet, cut: &Cut) {
    let machine = mail.machine();
    let (first, further) = cut.at.split_first().unwrap();
    machine.hold(first);
    match cut.change {
        Change::Comes => {
            mail.fleet
                .apply_for(HOST, &MailFleet::with_a_sixth(), false)
                .await
        }
        Change::Goes => give_up_the_sixth(mail).await,
    }
    let mut waiting = machine.waiting(first).await;
    let mut held = first;
    for next in further {
        machine.hold(next);
        machine.release(held);
        waiting = machine.waiting(next).await;
        held = next;
    }
    mail.agent().kill();
    waiting.kill();
    machine.release(held);
    assert_eq!(stages(mail), [cut.stage], "killed outside of the change");
}

/// What lies there when it is killed is what the cluster wants, and the product may know of it or not.
async fn is_amid(mail: &MailFleet, cut: &Cut, (files, names): &Seen) {
    assert_eq!(mail.powermta.configuration(), planned(mail, CONFIG).await);
    // What is named no more goes last.
    let more = usize::from(cut.change == Change::Comes);
    assert_eq!(live(mail).len(), files.len() + more, "keys");
    assert_eq!(vmtas(mail) != *names, cut.is_active);
}

/// The next life puts every file back before it tells the product anything.
async fn all_are_back(mail: &mut MailFleet, cut: &Cut, (files, _): &Seen) {
    let machine = mail.machine();
    let tells = if cut.whole {
        "systemctl-restart"
    } else {
        "reload"
    };
    machine.hold(tells);
    mail.agent().start(None);
    machine.waiting(tells).await;
    assert!(live(mail) == *files, "not all are back, after {:?}", cut.at);
    machine.release(tells);
}

async fn give_up_the_sixth(mail: &MailFleet) {
    let path = format!("/ips/{SIXTH}?now=true");
    let target = mail.fleet.host(HOST).await["target"].clone();
    mail.fleet.api().delete(&path).await.ok();
    wait_until("the host is planned without it", async || {
        let planned_anew = mail.fleet.host(HOST).await["target"] != target;
        planned_anew && !planned(mail, CONFIG).await.contains(VMTA)
    })
    .await;
}

#[test]
fn a_kill_at_any_step_of_a_real_change_ends_in_old_or_new_and_never_in_neither() {
    alone(addresses(), async {
        let mut mail =
            MailFleet::on_a_machine(&MailFleet::past_warm_up(MailFleet::document())).await;
        for cut in &CUTS {
            let old: Seen = (live(&mail), vmtas(&mail));
            cut_off(&mut mail, cut).await;
            is_amid(&mail, cut, &old).await;
            if cut.whole {
                mail.machine().kill_product();
            }
            if cut.end == End::Old {
                give_up_the_sixth(&mail).await;
            }
            all_are_back(&mut mail, cut, &old).await;
            let why = format!("it was killed at {:?}", cut.at);
            mail.fleet.host_converged(HOST, &why).await;
            let new: Seen = (live(&mail), vmtas(&mail));
            if cut.end == End::Old {
                assert!(new == old, "{why}");
            } else {
                assert_eq!(mail.powermta.configuration(), planned(&mail, CONFIG).await);
                let is_there = cut.change == Change::Comes;
                assert_eq!(new.1.contains(VMTA), is_there, "{why}");
                assert_eq!(new.0.len() > old.0.len(), is_there, "{why}");
            }
            assert_eq!(stages(&mail), []);
        }
        sends(&mail, "vmta-mail1", "after-all").await;
    });
}
