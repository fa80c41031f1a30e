//! Whole runs on a machine made up in memory, which can be cut off anywhere.

mod lost_identity;
mod machine;

use std::collections::BTreeMap;
use std::path::Path;

use email_engine_protocol::bytes::{CaPin, ContentHash};

use crate::facts::{Bundle, FoundKind};
use crate::journal::Purpose;
use crate::layout::{self, Layout};
use crate::plan::{Step, remove};
use crate::request::{Part, Request};
use machine::{Machine, agent_request, bundle, init_request};

#[test]
fn a_second_run_changes_nothing() {
    for request in [agent_request(), init_request()] {
        let mut machine = Machine::new(request);
        assert!(machine.run(usize::MAX).unwrap() > 8);
        machine.assert_finished("after one run");
        assert_eq!(machine.run(0), Some(0));
    }
}

#[test]
fn a_run_that_is_cut_off_anywhere_is_continued() {
    for request in [agent_request(), init_request()] {
        for fuse in 0.. {
            let mut machine = Machine::new(request.clone());
            if machine.run(fuse).is_some() {
                assert!(fuse > 20, "every half-step was tried");
                break;
            }
            machine.run(usize::MAX).unwrap();
            machine.assert_finished(&format!("cut off after {fuse} half-steps"));
        }
    }
}

#[test]
fn an_upgrade_that_is_cut_off_anywhere_ends_with_units_that_run_it() {
    for fuse in 0.. {
        let mut machine = Machine::new(agent_request());
        machine.run(usize::MAX).unwrap();
        machine.layout = layout::layout(&machine.request, &bundle(2));
        let program = Layout::program(Part::Agent);
        assert!(machine.plan().contains(&Step::WriteFile { path: program }));
        let whole = machine.run(fuse).is_some();
        machine.run(usize::MAX).unwrap();
        machine.assert_finished(&format!("upgrade cut off after {fuse} half-steps"));
        if whole {
            break;
        }
    }
}

#[test]
fn keys_that_were_never_shown_are_made_anew() {
    let mut machine = Machine::new(init_request());
    let at = machine
        .plan()
        .iter()
        .position(|step| *step == Step::Found)
        .unwrap();
    // Founded, and cut off before it was written down.
    assert_eq!(machine.run(2 * at + 1), None);
    assert!(
        machine
            .installed
            .membership
            .as_ref()
            .unwrap()
            .enrolled
            .is_some()
    );
    assert_eq!(machine.plan().first(), Some(&Step::Found));
}

#[test]
fn what_somebody_wrote_is_left_and_what_a_run_wrote_is_renewed() {
    let mut machine = Machine::new(agent_request());
    let etc = Path::new(layout::ETC);
    let (config, list) = (etc.join("agent.toml"), etc.join("allow.toml"));
    let theirs = FoundKind::File(ContentHash([5; 32]));
    machine.put(&config, theirs.clone(), 0o600, "root");
    machine.put(&list, theirs.clone(), 0o600, "root");
    machine.run(usize::MAX).unwrap();
    assert_eq!(machine.installed.paths[&config].kind, theirs);
    assert_eq!(machine.installed.paths[&list].kind, theirs);

    let mut machine = Machine::new(agent_request());
    machine.run(usize::MAX).unwrap();
    // As if this version wrote another text than the one before.
    let mut files = machine.layout.files.iter_mut();
    let file = files.find(|file| file.path == config).unwrap();
    file.content = layout::Content::Text("# another\n".to_owned());
    let write = Step::WriteFile {
        path: config.clone(),
    };
    assert!(machine.plan().contains(&write));
    machine.put(&config, theirs, 0o644, "root");
    assert!(!machine.plan().contains(&write));
}

#[test]
fn who_waits_for_enrolment_alone_leaves_no_token_and_goes() {
    let mut machine = Machine::new(Request {
        awaits_convergence: false,
        ..agent_request()
    });
    let steps = machine.plan();
    assert!(steps.contains(&Step::AwaitEnrolment), "{steps:?}");
    assert!(!steps.contains(&Step::AwaitConvergence), "{steps:?}");
    machine.run(usize::MAX).unwrap();
    let token = machine.layout.token.clone().unwrap();
    assert!(!machine.installed.paths.contains_key(&token));
    assert_eq!(machine.plan(), Vec::new(), "a second run has nothing to do");
}

#[test]
fn who_does_not_wait_leaves_the_token_for_the_agent() {
    let mut machine = Machine::new(Request {
        patience: None,
        ..agent_request()
    });
    let steps = machine.plan();
    assert!(!steps.iter().any(Step::is_wait), "{steps:?}");
    machine.run(usize::MAX).unwrap();
    let token = machine.layout.token.clone().unwrap();
    assert!(machine.installed.paths.contains_key(&token));
    machine.enrol();
    machine.request = agent_request();
    machine.run(usize::MAX).unwrap();
    machine.assert_finished("after a run that waits");
}

#[test]
fn a_new_token_is_given_to_an_agent_that_could_not_enrol() {
    let mut machine = Machine::new(agent_request());
    let at = machine
        .plan()
        .iter()
        .position(|step| *step == Step::AwaitEnrolment);
    assert_eq!(machine.run(2 * at.unwrap()), None);
    let steps = machine.plan();
    let unit = machine.layout.units[0].to_owned();
    // The executor first: the other half takes a token up as soon as it lies there.
    assert_eq!(steps[0], Step::Expect, "{steps:?}");
    assert!(matches!(steps[1], Step::WriteToken { .. }), "{steps:?}");
    assert!(steps.contains(&Step::StartUnit { unit }), "{steps:?}");
}

#[test]
fn a_removal_takes_what_is_ours_and_leaves_the_rest() {
    for fuse in 0.. {
        let mut machine = Machine::new(agent_request());
        let list = Path::new(layout::ETC).join("allow.toml");
        let theirs = FoundKind::File(ContentHash([5; 32]));
        machine.put(&list, theirs, 0o644, "root");
        machine.run(usize::MAX).unwrap();
        let plan = |machine: &Machine| {
            let (layout, installed) = (&machine.layout, &machine.installed);
            remove(Part::Agent, layout, installed, &machine.history(), false)
        };
        let removal = plan(&machine);
        machine.fuse = fuse;
        let whole = machine.take(Purpose::Remove, &removal.steps).is_some();
        machine.fuse = usize::MAX;
        let rest = plan(&machine);
        machine.take(Purpose::Remove, &rest.steps).unwrap();
        // The manager has forgotten the units too.
        assert_eq!(machine.read_units, BTreeMap::new(), "{fuse}");
        assert_eq!(rest.left[0].path, list);
        assert_eq!(
            machine.installed.paths.keys().collect::<Vec<_>>(),
            [&list],
            "{fuse}"
        );
        assert_eq!(machine.installed.users, ["root".to_owned()].into());
        if whole {
            break;
        }
    }
}

#[test]
fn a_program_goes_also_when_none_is_beside_the_bootstrap() {
    let mut machine = Machine::new(agent_request());
    machine.run(usize::MAX).unwrap();
    machine.layout = layout::layout(&machine.request, &Bundle::new());
    let (layout, installed) = (&machine.layout, &machine.installed);
    let removal = remove(Part::Agent, layout, installed, &machine.history(), false);
    let path = Layout::program(Part::Agent);
    assert!(removal.steps.contains(&Step::RemoveFile { path }));
}

#[test]
fn a_nodes_data_goes_only_when_that_is_said() {
    let mut machine = Machine::new(init_request());
    machine.run(usize::MAX).unwrap();
    let (layout, installed, history) = (&machine.layout, &machine.installed, machine.history());
    let kept = remove(Part::Coordinator, layout, installed, &history, false);
    let data = layout.data.clone();
    let takes = Step::RemoveTree { path: data.clone() };
    let user = layout.user.to_owned();
    let removes_user = Step::RemoveUser { user };
    assert!(!kept.steps.contains(&takes) && !kept.steps.contains(&removes_user));
    assert!(kept.left.iter().any(|left| left.path == data));
    let all = remove(Part::Coordinator, layout, installed, &history, true);
    assert!(all.steps.contains(&takes) && all.steps.contains(&removes_user));
}

#[test]
fn steps_in_the_journal_hold_no_secret() {
    let mut machine = Machine::new(agent_request());
    machine.run(usize::MAX).unwrap();
    let text = std::fs::read_to_string(machine.journal_path()).unwrap();
    assert!(!text.contains("eejoin2"), "{text}");
    assert!(!text.contains(&CaPin([9; 32]).to_string()), "{text}");
}
