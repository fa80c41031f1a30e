//! A host that was let in and cannot prove it any more.

use super::machine::{Machine, agent_request};
use crate::plan::Step;
use crate::request::Entry;

#[test]
fn a_host_that_lost_its_identity_is_given_a_token_and_a_run_without_one_does_not_wait() {
    for fuse in 0.. {
        let mut machine = Machine::new(agent_request());
        machine.run(usize::MAX).unwrap();
        machine.expects = false;
        let membership = machine.installed.membership.as_mut().unwrap();
        membership.identity_lost = true;

        machine.request.entry = Entry::Already;
        assert_eq!(machine.plan(), [], "there is nothing to come in by");
        machine.request = agent_request();
        let steps = machine.plan();
        assert_eq!(steps[0], Step::Expect, "{steps:?}");
        assert!(matches!(steps[1], Step::WriteToken { .. }), "{steps:?}");
        assert!(steps.contains(&Step::AwaitEnrolment), "{steps:?}");
        let whole = machine.run(fuse).is_some();
        machine.run(usize::MAX).unwrap();
        machine.assert_finished(&format!("cut off after {fuse} half-steps"));
        let membership = machine.installed.membership.as_ref().unwrap();
        assert!(membership.is_in(), "{fuse}");
        if whole {
            assert!(fuse > 8, "every half-step was tried");
            break;
        }
    }
}
