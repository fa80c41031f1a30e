//! The name of a queue.

use std::fmt;

use crate::config::wildcard;
use crate::spool::NO_VMTA;

/// `domain/vmta`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QueueKey {
    pub(crate) domain: String,
    pub(crate) vmta: String,
}

impl fmt::Display for QueueKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.domain, self.vmta)
    }
}

impl QueueKey {
    /// A name as commands take it: `domain[/vmta]`; without a virtual MTA, every one is meant.
    pub(crate) fn parse(text: &str) -> Self {
        let (domain, vmta) = text.split_once('/').unwrap_or((text, "*"));
        Self {
            domain: domain.to_lowercase(),
            vmta: vmta.to_owned(),
        }
    }

    /// Whether a queue is meant by this name, in which `*` stands for any part.
    pub(crate) fn means(&self, queue: &Self) -> bool {
        let vmta = queue.vmta.to_lowercase();
        wildcard(&self.domain, &queue.domain)
            && (wildcard(&self.vmta.to_lowercase(), &vmta)
                || self.vmta.is_empty() && queue.vmta == NO_VMTA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_wildcards_on_both_sides() {
        let queue = QueueKey::parse("mail.yahoo.example/VMTA-1");
        for means in [
            "*/*",
            "*.yahoo.example/vmta-1",
            "*yahoo*/v*1",
            "mail.yahoo.example",
        ] {
            assert!(QueueKey::parse(means).means(&queue), "{means}");
        }
        for other in ["yahoo.example/*", "*/vmta", "*.yahoo.example/", "*q*/*"] {
            assert!(!QueueKey::parse(other).means(&queue), "{other}");
        }
    }
}
