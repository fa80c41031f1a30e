//! Rules as a person reads them: one line each, in order, networks by the names of their sets.

use std::fmt;

use super::{AddressSet, Direction, Fate, FirewallRule, FirewallSpec, Protocol};

/// Networks that are written out.
const SHOWN: usize = 64;

impl FirewallSpec {
    /// A line for every rule, one for what fits none, one for every set.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.rules.iter().map(ToString::to_string).collect();
        for (direction, fate) in [(Direction::In, self.input), (Direction::Out, self.output)] {
            lines.push(format!("{direction} anything else: {fate}"));
        }
        lines.extend(self.sets.iter().map(ToString::to_string));
        lines
    }
}

impl fmt::Display for FirewallRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.direction, self.protocol)?;
        if !self.ports.is_empty() {
            let ports: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
            write!(f, " {}", ports.join(","))?;
        }
        for (word, names) in [("from", &self.from), ("to", &self.to)] {
            if !names.is_empty() {
                write!(f, " {word} {}", names.join(","))?;
            }
        }
        write!(f, ": {} ({})", self.fate, self.name)
    }
}

impl fmt::Display for AddressSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.networks.iter().take(SHOWN).map(ToString::to_string);
        let shown: Vec<String> = shown.collect();
        write!(f, "{} = {}", self.name, shown.join(" "))?;
        match self.networks.len() {
            0 => write!(f, "nobody"),
            count if count > SHOWN => write!(f, " and {} more", count - SHOWN),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::In => "in",
            Self::Out => "out",
        })
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Drop => "drop",
            Self::Reject => "reject",
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Icmp => "icmp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}
