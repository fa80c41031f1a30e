//! What a licence says of itself, beside what it is given for. Pure.
//!
//! PowerMTA's licence is a text (User's Guide 2.2); `pmta show license` names what is in it: product,
//! version, platform, units, serial, issued, expires, licensee. Its grammar is the vendor's, so nothing is
//! refused for what is read here: the product itself has the last word, and what is not understood says
//! nothing.

use std::fmt;

use email_engine_protocol::id::{ArtifactName, HostId};

use serde::Serialize;

use super::listed;

/// What roles call it.
pub(in super::super) const NAME: &str = "powermta-license";
/// The longest text that is looked through; licences have some hundred bytes.
pub(in super::super) const LONGEST: u64 = 64 * 1024;

/// Most characters of a value that are shown.
const SHOWN: usize = 40;

/// Something that should be known, and that forbids nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in super::super) struct Caution {
    pub(in super::super) about: ArtifactName,
    pub(in super::super) what: String,
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.what)
    }
}

/// What should be known before it is brought to these hosts; `today` as `2026-11-22`.
pub(in super::super) fn cautions(
    name: &ArtifactName,
    text: &str,
    hosts: &[HostId],
    today: &str,
) -> Vec<Caution> {
    let mut said = Vec::new();
    if let Some(ended) = field(text, "expires").filter(|date| is_date(date) && *date < today) {
        said.push(format!("it says that it expired on {ended}"));
    }
    // Editions and signs of trade stand beside the name.
    let is_other = |product: &&str| !product.to_ascii_lowercase().contains("powermta");
    if let Some(other) = field(text, "product").filter(is_other) {
        // A licence is nobody's to read: as little of it as tells which one it is.
        let other: String = other.chars().take(SHOWN).collect();
        said.push(format!(
            "it says that it is for {other:?}, not for PowerMTA"
        ));
    }
    // None at all is how some licences say that they do not count.
    let units = field(text, "units").and_then(|units| units.parse::<usize>().ok());
    if let Some(units) = units.filter(|units| (1..hosts.len()).contains(units)) {
        said.push(format!(
            "it says units {units}, and {} hosts get it: {}",
            hosts.len(),
            listed(hosts)
        ));
    }
    let about = |what| Caution {
        about: name.clone(),
        what,
    };
    said.into_iter().map(about).collect()
}

/// The value of the first line with this name, whatever its case.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = text.lines().filter_map(|line| {
        let (found, value) = line.split_once([':', '='])?;
        found
            .trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim())
    });
    fields.next().filter(|value| !value.is_empty())
}

/// Whether it is of the one form that sorts as time does.
fn is_date(text: &str) -> bool {
    let is_right = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    text.len() == 10 && text.bytes().enumerate().all(is_right)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "product: PowerMTA\nversion: 5.0\nunits: 2\nexpires: 2027-01-31\n";

    fn judged(text: &str, hosts: usize) -> Vec<String> {
        let hosts: Vec<HostId> = (1..=hosts)
            .map(|number| HostId::new(format!("pmta{number}")).unwrap())
            .collect();
        let name = ArtifactName::new(NAME).unwrap();
        let cautions = cautions(&name, text, &hosts, "2026-11-22");
        cautions.iter().map(Caution::to_string).collect()
    }

    #[test]
    fn a_licence_that_is_enough_says_nothing() {
        assert_eq!(judged(GOOD, 2), Vec::<String>::new());
        // It holds through its last day.
        assert!(judged(&GOOD.replace("2027-01-31", "2026-11-22"), 2).is_empty());
    }

    #[test]
    fn one_that_ended_is_of_another_product_or_of_too_few_units_is_told() {
        assert_eq!(
            judged(GOOD, 3),
            ["powermta-license: it says units 2, and 3 hosts get it: pmta1, pmta2, pmta3"]
        );
        assert_eq!(
            judged(&GOOD.replace("2027", "2025"), 1),
            ["powermta-license: it says that it expired on 2025-01-31"]
        );
        assert_eq!(
            judged(&GOOD.replace("PowerMTA", "Momentum"), 1),
            ["powermta-license: it says that it is for \"Momentum\", not for PowerMTA"]
        );
        let long = judged(&format!("product: {}\n", "x".repeat(200)), 1);
        assert!(long[0].len() < 120, "{long:?}");
        for edition in ["PowerMTA Enterprise", "PowerMTA(TM)", "powermta"] {
            let named = judged(&GOOD.replace("PowerMTA", edition), 1);
            assert_eq!(named, Vec::<String>::new());
        }
        let all = GOOD.to_uppercase().replace("2027", "2025");
        assert_eq!(judged(&all.replace(':', " ="), 3).len(), 2);
    }

    #[test]
    fn what_is_not_understood_says_nothing() {
        for text in [
            "",
            "units: 0",
            "units: many",
            "units:",
            "units: -1",
            "expires: never",
            "expires: 31.01.2020",
            "expires: 2020-1-1",
            "a licence\n",
        ] {
            assert_eq!(judged(text, 9), Vec::<String>::new(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_looked_through(text in ".{0,200}", hosts in 0_usize..5) {
            prop_assert!(judged(&text, hosts).len() <= 3);
        }
    }
}
