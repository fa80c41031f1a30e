//! Whether a list is to be believed: RFC 5782 section 5. What must be listed is, what must not be is not.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::query::Subject;
use super::registry::{Registry, Zone};
use super::verdict::{Answer, Verdict, Why, judge};

/// How a list answers, as one resolver sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// As it must.
    Healthy,
    /// Not at all.
    Silent,
    /// It does not answer whom asks; in its own words where it has any.
    Refused(String),
    /// It answers, and wrongly.
    Unreliable(String),
}

impl Health {
    /// Whether its answers count.
    #[must_use]
    pub const fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy)
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> &str {
        match self {
            Self::Healthy => "healthy",
            Self::Silent => "it does not answer",
            Self::Refused(why) | Self::Unreliable(why) => why,
        }
    }
}

/// Judges a list by what it answered for its test points, in the order of [`points`]. Points that nobody
/// has an answer of count as silence.
#[must_use]
pub fn judge_points(registry: &Registry, zone: &Zone, answers: &[Answer]) -> Health {
    let mut answers = answers.iter();
    let mut worst = Health::Healthy;
    for point in &zone.listed {
        let answer = answers.next().unwrap_or(&Answer::Silence);
        worst = worse(
            worst,
            judge_listed(registry, zone, (&point.subject, &point.answers), answer),
        );
    }
    for subject in &zone.unlisted {
        let answer = answers.next().unwrap_or(&Answer::Silence);
        worst = worse(worst, judge_unlisted(registry, zone, subject, answer));
    }
    worst
}

/// Subjects by which a list is tested: what must be listed first.
pub fn points(zone: &Zone) -> impl Iterator<Item = &Subject> {
    let listed = zone.listed.iter().map(|point| &point.subject);
    listed.chain(&zone.unlisted)
}

fn judge_listed(
    registry: &Registry,
    zone: &Zone,
    (subject, wanted): (&Subject, &[std::net::Ipv4Addr]),
    answer: &Answer,
) -> Health {
    match answer {
        // A list may have its own word for a test: it need not be a code of its table.
        Answer::Addresses(got) if is_wanted(got, wanted) => Health::Healthy,
        Answer::NoName | Answer::NoData => Health::Unreliable(format!(
            "it says nothing of {subject}, which is always listed"
        )),
        other => trouble(registry, zone, subject, other),
    }
}

/// One of the answers is there, and nothing that no list says.
fn is_wanted(got: &BTreeSet<std::net::Ipv4Addr>, wanted: &[std::net::Ipv4Addr]) -> bool {
    wanted.iter().any(|one| got.contains(one))
        && got
            .iter()
            .all(|one| one.octets()[0] == 127 && !super::registry::is_error(*one))
}

fn judge_unlisted(registry: &Registry, zone: &Zone, subject: &Subject, answer: &Answer) -> Health {
    match answer {
        Answer::NoName => Health::Healthy,
        Answer::Addresses(got) if matches!(judge(registry, zone, answer), Verdict::Listed(_)) => {
            let got = got
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ");
            Health::Unreliable(format!(
                "it lists {subject}, which is never listed ({got}): it lists the world"
            ))
        }
        other => trouble(registry, zone, subject, other),
    }
}

fn trouble(registry: &Registry, zone: &Zone, subject: &Subject, answer: &Answer) -> Health {
    match judge(registry, zone, answer) {
        Verdict::Unknown(Why::Silence | Why::ServerFailure) => Health::Silent,
        Verdict::Unknown(why @ (Why::Refused | Why::Error { .. })) => {
            Health::Refused(why.to_string())
        }
        Verdict::Unknown(why) => Health::Unreliable(why.to_string()),
        _ => Health::Unreliable(format!("a wrong answer for {subject}: {answer:?}")),
    }
}

/// Of two: what is said in words says more than silence.
fn worse(one: Health, other: Health) -> Health {
    let rank = |health: &Health| match health {
        Health::Healthy => 0,
        Health::Silent => 1,
        Health::Unreliable(_) => 2,
        Health::Refused(_) => 3,
    };
    if rank(&other) > rank(&one) {
        other
    } else {
        one
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::ListId;

    use super::*;

    fn health(answers: &[Answer]) -> Health {
        let id = ListId::new("spamhaus-zen").unwrap();
        let registry = Registry::built_in();
        judge_points(registry, registry.zone(&id).unwrap(), answers)
    }

    fn addresses(all: &[&str]) -> Answer {
        Answer::Addresses(all.iter().map(|one| one.parse().unwrap()).collect())
    }

    #[test]
    fn only_both_points_answered_right_are_health() {
        let good = addresses(&["127.0.0.2", "127.0.0.4", "127.0.0.10"]);
        assert_eq!(health(&[good.clone(), Answer::NoName]), Health::Healthy);
        let is = |answers: &[Answer], wanted: &str| {
            let got = health(answers);
            assert!(!got.is_healthy(), "{answers:?}");
            assert!(
                format!("{got:?}").starts_with(wanted),
                "{answers:?}: {got:?}"
            );
        };
        // A zone that lists the world, one that is gone, one that is parked.
        is(
            &[good.clone(), good.clone()],
            "Unreliable(\"it lists 127.0.0.1",
        );
        is(
            &[Answer::NoName, Answer::NoName],
            "Unreliable(\"it says nothing of 127.0.0.2",
        );
        is(&[Answer::NoData, Answer::NoData], "Unreliable");
        let parked = addresses(&["192.0.2.80"]);
        is(&[parked.clone(), parked.clone()], "Unreliable");
        // NXDOMAIN rewritten: what is listed looks right.
        is(&[good.clone(), parked], "Unreliable");
        is(
            &[addresses(&["127.0.0.2", "192.0.2.80"]), Answer::NoName],
            "Unreliable",
        );
        let open = addresses(&["127.255.255.254"]);
        is(
            &[open.clone(), open.clone()],
            "Refused(\"the list refuses: 127.255.255.254 (asked through",
        );
        is(&[good.clone(), open], "Refused");
        is(&[Answer::Refused, Answer::Refused], "Refused");
        is(&[Answer::Silence, Answer::Silence], "Silent");
        is(&[Answer::ServerFailure, Answer::NoName], "Silent");
        is(&[good.clone(), Answer::Silence], "Silent");
        is(&[good], "Silent");
        is(&[], "Silent");
        is(&[addresses(&["127.0.0.9"]), Answer::NoName], "Unreliable");
    }
}
