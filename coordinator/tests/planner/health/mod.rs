//! Health checks, and probes of transactions, as a role file names them.

use email_engine_protocol::desired::{HealthCheckSpec, Probe, Spec};

use crate::fixture::Fleet;

const ROLE: &str = "mailwizz/role.toml";
const HOST: &str = "mailwizz1";

fn with(more: &str) -> Fleet {
    let files = email_engine_coordinator::planner::builtin_bundle();
    Fleet::sos_holidays().with_file(ROLE, &format!("{}\n{more}", files[ROLE]))
}

fn planned(more: &str) -> HealthCheckSpec {
    let planned = with(more).plan(HOST);
    planned.config.check().unwrap();
    let mut resources = planned.config.resources.into_iter();
    let found = resources.find(|one| one.id.as_str() == "health_check:app");
    let Spec::HealthCheck(spec) = found.unwrap().spec else {
        panic!("a health check");
    };
    spec
}

fn check(probe: &str) -> String {
    format!(
        "[[health_check]]\nname = \"app\"\ninterval_seconds = 10\nattempts = 5\n\
         restart = \"{{{{ 'cron' }}}}.service\"\nafter = [\"service:cron.service\"]\n\n\
         [[health_check.probe]]\n{probe}\n"
    )
}

#[test]
fn every_kind_of_question_can_be_asked_for() {
    let http = "http = { address = \"[::1]:443\", path = \"/{{ host }}\", host = \"www.example.com\", \
                tls = true, status = \"204\", contains = \"{{ host }}\" }\ntimeout_seconds = 7";
    let spec = planned(&check(http));
    assert_eq!((spec.interval_seconds, spec.attempts), (10, 5));
    assert_eq!(spec.restart.as_deref(), Some("cron.service"));
    let [
        Probe::Http {
            question, seconds, ..
        },
    ] = &spec.probes[..]
    else {
        panic!("{:?}", spec.probes);
    };
    assert_eq!((question.path.as_str(), *seconds), ("/mailwizz1", 7));
    assert_eq!((question.least_status, question.most_status), (204, 204));
    assert_eq!(question.contains.as_deref(), Some("mailwizz1"));
    assert!(question.tls);
    let said = http.replace("tls = true", "tls = \"{{ host == 'another' }}\"");
    let asked = format!("{:?}", planned(&check(&said)).probes);
    assert!(asked.contains("tls: false"), "{asked}");
    for (probe, expected) in [
        (
            "tcp = \"127.0.0.1:6379\"",
            "Connect { address: 127.0.0.1:6379",
        ),
        (
            "banner = \"127.0.0.1:25\"\nbegins = \"220 \"",
            "Greeting { address: 127.0.0.1:25, begins: \"220 \"",
        ),
        (
            "running = \"cron.service\"",
            "Running { unit: \"cron.service\"",
        ),
        (
            "command = { program = \"/usr/bin/app\", arguments = [\"{{ host }}\"], timeout_seconds = 3 }",
            "arguments: [\"mailwizz1\"]",
        ),
        (
            "program = \"/usr/bin/app\"\nexpect = [{ pointer = \"/up\", equals = \"true\" }]",
            "Equals(\"true\")",
        ),
        (
            "http = { address = \"127.0.0.1:80\", path = \"/\" }",
            "least_status: 200, most_status: 399",
        ),
    ] {
        let spec = planned(&check(probe));
        let shown = format!("{:?}", spec.probes[0]);
        assert!(shown.contains(expected), "{shown}");
    }
}

#[test]
fn what_cannot_be_asked_is_refused_with_what_would_do() {
    let page = |more: &str| format!("http = {{ address = \"127.0.0.1:80\", path = \"/\"{more} }}");
    for (probe, expected) in [
        (
            "timeout_seconds = 5".to_owned(),
            "exactly one of banner, command",
        ),
        (
            format!("{}\ntcp = \"127.0.0.1:80\"", page("")),
            "exactly one of banner, command",
        ),
        (
            "tcp = \"localhost:80\"".to_owned(),
            "127.0.0.1:80 or [::1]:80 is accepted",
        ),
        (page(", status = \"2xx\""), "status is \"2xx\""),
        (page(", status = \"399-200\""), "status is \"399-200\""),
        (page(", host = \"a b\""), "host is \"a b\""),
        (page(", method = \"POST\""), "method"),
        (
            page(", tls = \"{{ host }}\""),
            "tls is \"mailwizz1\", accepted is true or false",
        ),
        (page(", tls = 1"), "accepted is true, false or a template"),
        (
            "running = \"cron.service\"\nsteady_seconds = 3".to_owned(),
            "steady_seconds stands beside http",
        ),
        (
            format!("{}\nsteady_seconds = 3", page("")),
            "steady_seconds is 3",
        ),
        (
            "quiet = \"/var/log/app.log\"\nerrors = [\"rror\"]".to_owned(),
            "another probe is accepted",
        ),
    ] {
        let refused = with(&check(&probe)).refusal_of(HOST).to_string();
        assert!(refused.contains(expected), "{probe}: {refused}");
    }
    let often =
        check("tcp = \"127.0.0.1:80\"").replace("interval_seconds = 10", "interval_seconds = 1");
    let refused = with(&often).refusal_of(HOST).to_string();
    assert!(
        refused.contains("interval_seconds is 1, accepted is 5 to 3600"),
        "{refused}"
    );
}
