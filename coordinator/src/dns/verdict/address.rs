//! Names and addresses: A and AAAA, MX, and the way back.

use std::net::IpAddr;

use super::answers::Lacking;
use super::{Answers, Datum, Kind, One, Question};

/// The type under which an address is published.
pub(super) const fn kind_of(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(_) => Kind::A,
        IpAddr::V6(_) => Kind::Aaaa,
    }
}

pub(super) fn addresses(records: &[Datum]) -> Vec<IpAddr> {
    let all = records.iter().filter_map(|record| match record {
        Datum::A(address) => Some(IpAddr::V4(*address)),
        Datum::Aaaa(address) => Some(IpAddr::V6(*address)),
        _ => None,
    });
    all.collect()
}

/// A name must lead to the address, and to no other: what it leads to besides answers in its name.
pub(super) fn forward(records: &[Datum], name: &str, address: IpAddr) -> One {
    let all = addresses(records);
    if !all.contains(&address) {
        return One::Bad(format!("{name} at {}", listed(&all)), None);
    }
    let others = all.len() > 1;
    let warning = others.then(|| format!("{name} leads to {} addresses", all.len()));
    One::Good(warning.into_iter().collect())
}

/// The exchangers of a domain: ours is among them, or where we want none, somebody is.
pub(super) fn exchangers(records: &[Datum], wanted: Option<&str>) -> One {
    let mut names: Vec<(u16, &str)> = records
        .iter()
        .filter_map(|record| match record {
            Datum::Mx(preference, name) => Some((*preference, name.as_str())),
            _ => None,
        })
        .collect();
    names.sort_unstable();
    if names.iter().any(|(_, name)| name.is_empty()) {
        let seen = "the exchanger \".\", by which it takes no mail (RFC 7505)";
        return One::Bad(seen.to_owned(), None);
    }
    let told: Vec<&str> = names.iter().map(|(_, name)| *name).collect();
    let Some(wanted) = wanted else {
        let nobody = told.is_empty();
        let says = "nobody takes its mail: bounces and replies find no home".to_owned();
        return One::Good(nobody.then_some(says).into_iter().collect());
    };
    if told.is_empty() {
        return One::Bad("no exchanger".to_owned(), None);
    }
    if !told.contains(&wanted) {
        return One::Bad(format!("exchangers {}", told.join(", ")), None);
    }
    let first = names.first().map(|(_, name)| *name);
    let later = first != Some(wanted);
    let says = format!("{} is tried before {wanted}", told[0]);
    One::Good(later.then_some(says).into_iter().collect())
}

/// The way back leads to the name in EHLO, and that to the address.
pub(super) fn pointer(
    records: &[Datum],
    hostname: &str,
    address: IpAddr,
    answers: &Answers,
    lacking: &mut Lacking,
) -> Option<One> {
    let names: Vec<&str> = records
        .iter()
        .filter_map(|record| match record {
            Datum::Ptr(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    if !names.contains(&hostname) {
        let seen = match names.is_empty() {
            true => "no name for the address".to_owned(),
            false => format!("{} as the address's name", names.join(", ")),
        };
        return Some(One::Bad(seen, None));
    }
    let question = Question::new(hostname, kind_of(address));
    let told = answers.any(&question, lacking)?;
    Some(match told {
        Err(why) => One::Open(why),
        Ok((records, _)) => {
            let all = addresses(records);
            if !all.contains(&address) {
                let seen = format!("{hostname}, which leads to {} and not back", listed(&all));
                return Some(One::Bad(seen, None));
            }
            let several = names.len() > 1;
            let says = format!("the address has {} names", names.len());
            One::Good(several.then_some(says).into_iter().collect())
        }
    })
}

fn listed(addresses: &[IpAddr]) -> String {
    if addresses.is_empty() {
        return "no address".to_owned();
    }
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    all.join(", ")
}
