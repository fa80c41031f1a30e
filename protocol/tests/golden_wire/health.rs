//! A health check with every kind of question that it may ask.

use email_engine_protocol::desired::{
    CommandCheck, HealthCheckSpec, HttpQuestion, OnRemove, Policy, Probe, Resource, Spec,
};

use super::samples::{command, resource};

pub(crate) fn question() -> HttpQuestion {
    HttpQuestion {
        address: "[::1]:443".parse().unwrap(),
        tls: true,
        host: Some("www.example.com".to_owned()),
        path: "/status?full".to_owned(),
        least_status: 200,
        most_status: 399,
        contains: Some("fine".to_owned()),
    }
}

pub(crate) fn check() -> CommandCheck {
    CommandCheck {
        command: command(),
        seconds: 7,
        refused_by: vec!["rror".to_owned()],
        must_say: vec!["alive".to_owned()],
    }
}

pub(crate) fn sample() -> Resource {
    let probes = vec![
        Probe::Http {
            question: question(),
            seconds: 5,
            steady_seconds: 0,
        },
        Probe::Connect {
            address: "127.0.0.1:6379".parse().unwrap(),
            seconds: 6,
        },
        Probe::Command { check: check() },
    ];
    resource(
        "health_check:page",
        Spec::HealthCheck(HealthCheckSpec {
            probes,
            interval_seconds: 30,
            attempts: 3,
            restart: Some("nginx.service".to_owned()),
        }),
        OnRemove::Leave,
        Policy::Enforce,
    )
}
