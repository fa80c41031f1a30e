//! Health checks that cannot be asked are refused, with the field and what would do.

use super::super::{CommandCheck, CommandLine, Disposition, HostPath, OnRemove, Policy};
use super::*;
use crate::id::{ClusterId, HostId, ResourceId, Role};

fn http() -> HttpQuestion {
    HttpQuestion {
        address: "127.0.0.1:80".parse().unwrap(),
        tls: false,
        host: Some("www.example.com".to_owned()),
        path: "/status?full=1".to_owned(),
        least_status: 200,
        most_status: 399,
        contains: Some("fine".to_owned()),
    }
}

fn page(question: HttpQuestion) -> Probe {
    Probe::Http {
        question,
        seconds: 5,
        steady_seconds: 0,
    }
}

fn spec(probe: Probe) -> HealthCheckSpec {
    HealthCheckSpec {
        probes: vec![probe],
        interval_seconds: 30,
        attempts: 3,
        restart: Some("nginx.service".to_owned()),
    }
}

fn resource(id: &str, spec: HealthCheckSpec) -> Resource {
    Resource {
        id: ResourceId::new(id).unwrap(),
        spec: Spec::HealthCheck(spec),
        on_remove: OnRemove::Leave,
        policy: Policy::Enforce,
        after: Vec::new(),
        notify: Vec::new(),
    }
}

fn config(resources: Vec<Resource>) -> HostConfig {
    HostConfig {
        cluster: ClusterId([1; 16]),
        host: HostId::new("web1").unwrap(),
        role: Role::Mailwizz,
        disposition: Disposition::Active,
        resources,
        large_removal: false,
        accounting: None,
    }
}

fn refused(spec: HealthCheckSpec) -> String {
    let checked = config(vec![resource("health_check:page", spec)]).check();
    checked.unwrap_err().to_string()
}

fn command() -> Probe {
    Probe::Command {
        check: CommandCheck {
            command: CommandLine {
                program: HostPath::new("/usr/bin/mariadb-admin").unwrap(),
                arguments: vec!["ping".to_owned()],
            },
            seconds: 5,
            refused_by: Vec::new(),
            must_say: vec!["alive".to_owned()],
        },
    }
}

#[test]
fn every_kind_of_question_is_accepted_and_its_bytes_come_back() {
    let address = "[::1]:25".parse().unwrap();
    let connect = Probe::Connect {
        address,
        seconds: 5,
    };
    let greeting = Probe::Greeting {
        address,
        begins: "220".to_owned(),
        seconds: 5,
    };
    let running = Probe::Running {
        unit: "nginx.service".to_owned(),
        seconds: 5,
    };
    let probes = vec![page(http()), connect, greeting, running, command()];
    let all = HealthCheckSpec {
        probes,
        ..spec(page(http()))
    };
    let state = config(vec![resource("health_check:all", all)]);
    assert_eq!(state.check(), Ok(()));
    assert_eq!(HostConfig::from_bytes(&state.to_bytes()), Ok(state));
}

#[test]
fn what_a_web_server_cannot_be_asked_is_refused_with_field_and_value() {
    type Change = fn(&mut HttpQuestion);
    let cases: [(Change, &str, &str); 9] = [
        (|one| one.path = "status".to_owned(), "path", "status"),
        (|one| one.path = "/a b".to_owned(), "path", "/a b"),
        (
            |one| one.path = "/a\r\nHost: x".to_owned(),
            "path",
            "Host: x",
        ),
        (|one| one.path = "/a#b".to_owned(), "path", "/a#b"),
        (|one| one.host = Some("a b".to_owned()), "host", "a b"),
        (
            |one| one.host = Some("a@b.com".to_owned()),
            "host",
            "a@b.com",
        ),
        (|one| one.least_status = 99, "status", "99-399"),
        (|one| one.most_status = 199, "status", "200-199"),
        (|one| one.contains = Some(String::new()), "contains", "\"\""),
    ];
    for (change, field, value) in cases {
        let mut question = http();
        change(&mut question);
        let said = refused(spec(page(question)));
        assert!(
            said.contains(&format!("{field} is")) && said.contains(value),
            "{said}"
        );
    }
    let mut local = http();
    local.host = Some("localhost".to_owned());
    let state = config(vec![resource("health_check:page", spec(page(local)))]);
    assert_eq!(state.check(), Ok(()));
}

#[test]
fn what_would_be_asked_without_end_or_reason_is_refused() {
    type Change = fn(&mut HealthCheckSpec);
    let cases: [(Change, &str); 11] = [
        (|one| one.probes.clear(), "no probes"),
        (|one| one.interval_seconds = 0, "interval_seconds is 0"),
        (
            |one| one.interval_seconds = 1_000_000,
            "accepted is 5 to 3600",
        ),
        (|one| one.attempts = 0, "attempts is 0"),
        (|one| one.attempts = 1000, "attempts is 1000"),
        (
            |one| one.restart = Some("/etc/x.service".to_owned()),
            "restart is",
        ),
        (
            |one| one.probes = vec![command(); 100],
            "number of probes is 100",
        ),
        (
            |one| {
                one.probes[0] = Probe::Http {
                    question: http(),
                    seconds: 5,
                    steady_seconds: 1,
                }
            },
            "steady_seconds is 1",
        ),
        (
            |one| {
                one.probes[0] = Probe::Connect {
                    address: "127.0.0.1:1".parse().unwrap(),
                    seconds: 4000,
                }
            },
            "is 4000, at most 60",
        ),
        (
            |one| {
                one.probes[0] = Probe::Quiet {
                    log: HostPath::new("/var/log/x").unwrap(),
                    errors: Vec::new(),
                }
            },
            "another probe is accepted",
        ),
        (
            |one| {
                one.probes[0] = Probe::Greeting {
                    address: "127.0.0.1:25".parse().unwrap(),
                    begins: "x".repeat(10_000),
                    seconds: 1,
                }
            },
            "is 10000, at most",
        ),
    ];
    for (change, expected) in cases {
        let mut one = spec(page(http()));
        change(&mut one);
        let said = refused(one);
        assert!(said.contains(expected), "{said}");
    }
    let many = (100..300).map(|at| resource(&format!("health_check:{at}"), spec(page(http()))));
    let said = config(many.collect()).check().unwrap_err().to_string();
    assert!(said.contains("number of health checks is 200"), "{said}");
}
