//! The floor is on disk before anything of its generation is applied.

use std::path::Path;

use email_engine_protocol::generation::Generation;
use tokio::sync::mpsc;

use super::rig::{Rig, generation};
use crate::executor::core::Core;
use crate::halves::{FromExecutor, ToExecutor};
use crate::host::Cabinet;
use crate::ledger::Ledger;

/// The floor that another process would find.
fn floor_on_disk(rig: &Rig) -> Option<Generation> {
    let cabinet = Cabinet::open(&rig.data()).unwrap();
    let ledger = Ledger::open(cabinet).unwrap();
    ledger.page().floor().map(|floor| floor.generation)
}

/// A host at generation 1 that was offered generation 2 and has all of it.
fn core_with_an_offer() -> (Rig, Core, mpsc::Receiver<FromExecutor>, ToExecutor) {
    let mut rig = Rig::new();
    let old = rig.file("/etc/a", "old");
    let config = rig.config(vec![old]);
    rig.converge(&config, 1);
    let files = vec![rig.file("/etc/a", "new"), rig.file("/etc/b", "new")];
    let config = rig.config(files);
    let target = rig.target(&config, generation(2));
    let offer = ToExecutor::Offer(rig.plan.sign(&target));
    rig.stop();
    let (sender, events) = mpsc::channel(64);
    let mut core = rig.core(sender);
    // Tidies the ledger: what the offer needs comes afterwards.
    core.resume();
    for (hash, bytes) in &rig.bodies {
        core.ledger.store.keep_body(*hash, bytes).unwrap();
    }
    (rig, core, events, offer)
}

fn is_new(root: &Path) -> bool {
    std::fs::read(root.join("etc/a")).unwrap() == b"new" || root.join("etc/b").exists()
}

#[test]
fn a_crash_at_any_write_leaves_nothing_applied_that_is_above_the_floor() {
    let (mut before, mut between, mut after) = (0, 0, 0);
    for steps in 0..200 {
        let (rig, mut core, _events, offer) = core_with_an_offer();
        core.hear(offer);
        core.cabinet.die_after(steps);
        core.proceed();
        drop(core);
        match (floor_on_disk(&rig), is_new(&rig.root())) {
            (Some(floor), true) => {
                assert_eq!(
                    floor,
                    generation(2),
                    "applied above the floor, {steps} steps"
                );
                after += 1;
            }
            (floor, false) if floor == Some(generation(2)) => between += 1,
            (floor, false) => {
                assert_eq!(floor, Some(generation(1)), "{steps} steps");
                before += 1;
            }
            (None, true) => panic!("applied without a floor, {steps} steps"),
        }
        if after > 2 {
            break;
        }
    }
    assert!(
        before > 2 && between > 2 && after > 2,
        "crashes before the floor: {before}, between floor and change: {between}, after: {after}"
    );
}

#[test]
fn the_floor_is_synced_before_the_first_file_is_staged() {
    let (rig, mut core, _events, offer) = core_with_an_offer();
    core.hear(offer);
    core.cabinet.take_synced();
    // Nothing can be written to the machine: what is synced then came before it.
    core.reconciler.machine.refuse_files();
    core.proceed();
    let synced = core.cabinet.take_synced();
    let ledger = rig.data().canonicalize().unwrap().join("ledger");
    assert_eq!(
        synced[0].parent(),
        Some(&*ledger),
        "the page's content: {synced:?}"
    );
    assert_eq!(synced[1], ledger, "its name: {synced:?}");
    assert_eq!(floor_on_disk(&rig), Some(generation(2)));
    assert!(!is_new(&rig.root()));
}
