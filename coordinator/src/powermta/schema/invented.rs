//! Words that are passed on from one public configuration to the next and are in no guide.

/// A word that does not exist, and what does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invention {
    /// The word.
    pub keyword: &'static str,
    /// What to write.
    pub instead: &'static str,
}

const INVENTIONS: &[Invention] = &[
    Invention {
        keyword: "virtual-mta-pool-map",
        instead: "in <source>: `pattern-list NAME`",
    },
    Invention {
        keyword: "default-virtual-mta-pool",
        instead: "`default-virtual-mta NAME`, which takes a virtual MTA or a pool",
    },
    Invention {
        keyword: "listen-on-tcp",
        instead: "nothing: `smtp-listener ADDRESS:PORT` listens",
    },
    Invention {
        keyword: "process-x-sender",
        instead: "nothing: a pattern list picks the virtual MTA by sender",
    },
    Invention {
        keyword: "http-api",
        instead: "`http-mgmt-port`, `http-access` and `http-api-key`",
    },
    Invention {
        keyword: "weight",
        instead: "nothing: pools go round robin; give each virtual MTA its own rate",
    },
];

/// The invention of this name.
#[must_use]
pub fn invention(keyword: &str) -> Option<&'static Invention> {
    INVENTIONS
        .iter()
        .find(|invention| invention.keyword == keyword)
}

#[cfg(test)]
mod tests {
    use super::super::table::scopes_of;
    use super::*;

    #[test]
    fn no_invention_is_in_the_table() {
        for invention in INVENTIONS {
            assert!(
                scopes_of(invention.keyword).is_empty(),
                "{}",
                invention.keyword
            );
        }
    }
}
