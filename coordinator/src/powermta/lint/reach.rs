//! What an operator's own lines do beyond their marks.

use std::collections::BTreeMap;

use super::super::schema::Scope;
use super::super::schema::value::Cidr;
use super::super::syntax::{Limits, Sources};
use super::outline::{Block, Outline};

/// What verbatim blocks reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Sections that are there outside of the marks too, by their lines (from 1).
    pub clashes: Vec<(u32, String)>,
    /// Sources that may relay.
    pub relays: Vec<String>,
}

/// Looks at the verbatim blocks of a configuration. Their directives are not known, but some of their
/// sections change who may send what from where.
#[must_use]
pub fn reach(sources: &Sources) -> Reach {
    let parsed = sources.parse(Limits::default());
    let outline = Outline::of(sources, &parsed);
    let (own, ours): (Vec<&Block<'_>>, Vec<&Block<'_>>) =
        outline.blocks.iter().partition(|block| block.verbatim);
    let named: BTreeMap<_, _> = ours
        .into_iter()
        .filter_map(|block| Some((place(block)?, block.name)))
        .collect();
    let mut reach = Reach::default();
    for block in own {
        if let Some(first) = place(block).and_then(|place| named.get(&place)) {
            let what = format!(
                "`<{} {}>` is there without these lines, as {first}: give it another name",
                block.tag, block.name
            );
            reach.clashes.push((block.at.line, what));
        }
        if block.is(Scope::Source) && block.says_yes("always-allow-relaying") {
            reach.relays.push(block.name.to_owned());
        }
    }
    reach
}

/// What the product knows a section by, where two of one name are one too many. Virtual MTAs and pools
/// share one name space, and whether case counts is not certain.
fn place(block: &Block<'_>) -> Option<(Scope, String)> {
    let name = block.name.to_ascii_lowercase();
    match block.scope? {
        Scope::VirtualMta | Scope::VirtualMtaPool => Some((Scope::VirtualMta, name)),
        Scope::PatternList => Some((Scope::PatternList, name)),
        Scope::Source => {
            let range = Cidr::parse(&name).map(|range| format!("{range:?}"));
            Some((Scope::Source, range.unwrap_or(name)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::outline::{VERBATIM_BEGIN, VERBATIM_END};
    use super::*;

    fn reached(own: &str) -> Reach {
        let text = format!(
            "<virtual-mta vmta-a>\n</virtual-mta>\n<source 192.0.2.1>\n</source>\n\
             {VERBATIM_BEGIN}\n{own}{VERBATIM_END}\n"
        );
        reach(&Sources::single("config", &text))
    }

    #[test]
    fn a_section_that_is_there_already_is_found_whatever_its_case_and_form() {
        for own in [
            "<virtual-mta VMTA-A>\n</virtual-mta>\n",
            "<virtual-mta-pool Vmta-a>\n</virtual-mta-pool>\n",
            "<source 192.0.2.1/32>\n</source>\n",
        ] {
            let clashes = reached(own).clashes;
            assert_eq!(clashes.len(), 1, "{own}");
            assert_eq!(clashes[0].0, 6, "{own}");
        }
        let own = "<virtual-mta own>\n</virtual-mta>\n<source 192.0.2.2>\n</source>\n";
        assert_eq!(reached(own), Reach::default());
    }

    #[test]
    fn a_source_that_may_relay_is_named() {
        let own = "<source 192.0.2.7>\n    Always-Allow-Relaying yes\n</source>\n";
        assert_eq!(reached(own).relays, ["192.0.2.7"]);
    }
}
