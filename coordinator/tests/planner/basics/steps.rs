//! Steps as a role file names them.

use email_engine_protocol::desired::{Guard, Spec, StepSpec};

use crate::fixture::Fleet;

const ROLE: &str = "mailwizz/role.toml";
const HOST: &str = "mailwizz1";
const STEP: &str = "[[step]]\nname = \"app\"\nprogram = \"/usr/bin/app\"\narguments = [\"set\"]\n";

fn with(more: &str) -> Fleet {
    let files = email_engine_coordinator::planner::builtin_bundle();
    Fleet::sos_holidays().with_file(ROLE, &format!("{}\n{STEP}{more}", files[ROLE]))
}

fn planned(more: &str) -> StepSpec {
    let planned = with(more).plan(HOST);
    planned.config.check().unwrap();
    let mut resources = planned.config.resources.into_iter();
    let found = resources.find(|one| one.id.as_str() == "step:app");
    let Spec::Step(spec) = found.unwrap().spec else {
        panic!("a step");
    };
    spec
}

#[test]
fn a_step_is_needed_as_its_guard_says() {
    let spec = planned("timeout_seconds = 7\n");
    assert_eq!((spec.timeout_seconds, spec.guard), (7, Guard::Notified));
    assert_eq!(spec.success_codes, [0]);
    let spec = planned("timeout_seconds = 7\ncodes = [0, 3]\ncreates = \"/srv/app\"\n");
    assert!(matches!(&spec.guard, Guard::Creates(path) if path.as_str() == "/srv/app"));
    assert_eq!(spec.success_codes, [0, 3]);
    let spec = planned("timeout_seconds = 7\nremoves = \"/srv/old\"\n");
    assert!(matches!(&spec.guard, Guard::Removes(path) if path.as_str() == "/srv/old"));
    let question = "= { program = \"/usr/bin/app\", arguments = [\"status\"] }\n";
    let spec = planned(&format!("timeout_seconds = 7\nonly_if {question}"));
    assert!(matches!(&spec.guard, Guard::OnlyIf(command) if command.arguments == ["status"]));
    let spec = planned(&format!("timeout_seconds = 7\nunless {question}"));
    let asked: Vec<&str> = spec
        .commands()
        .flat_map(|command| command.arguments.iter().map(String::as_str))
        .collect();
    assert!(matches!(&spec.guard, Guard::Unless(_)));
    assert_eq!(asked, ["set", "status"]);
}

#[test]
fn what_is_wrong_with_a_step_is_said_with_what_is_accepted() {
    for (more, expected) in [
        (
            "timeout_seconds = 5\ncreates = \"/a\"\nremoves = \"/b\"\n",
            "step app: accepted is one of creates, removes, only_if and unless",
        ),
        (
            "timeout_seconds = 0\n",
            "step app: timeout_seconds is 0, accepted is 1 to 3600",
        ),
        (
            "timeout_seconds = 3601\n",
            "timeout_seconds is 3601, accepted is 1 to 3600",
        ),
        (
            "timeout_seconds = 5\ncodes = []\n",
            "codes is empty, accepted are exit codes from 0 to 255",
        ),
        ("timeout_seconds = 5\ncodes = [256]\n", "256"),
        ("timeout_seconds = 5\ncreates = \"srv\"\n", "srv"),
        (
            "timeout_seconds = 5\nunless = { program = \"app\" }\n",
            "app",
        ),
        (
            "timeout_seconds = 5\nonly = \"x\"\n",
            "unknown field `only`",
        ),
    ] {
        let error = with(more).refusal_of(HOST).to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains(ROLE), "{error}");
    }
}
