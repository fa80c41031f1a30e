//! Addresses of this machine whose new connections to some ports the kernel refuses: an nftables table of
//! our own (nft(8)), which holds nothing else. Nobody else's table is read or touched.
//!
//! A connection that is open goes on: only the first segment of one is looked at. It is answered with a
//! reset, so that whoever tries one knows at once.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;

use super::super::spawn;
use super::super::system::SystemError;

const NFT: &str = "/usr/sbin/nft";
const PATIENCE: Duration = Duration::from_secs(5);
/// Enough for as many as [`MOST`].
const ANSWER_BYTES: usize = 1024 * 1024;
/// Most of them: their list is one argument of a program, which the kernel bounds at 128 KiB.
const MOST: usize = 2048;

/// The table's name, in the family `inet`.
const TABLE: &str = "email_engine_halts";
/// Says that a rule is one of these, and which form of them; another form has another number.
const MARK: &str = "email-engine bars 1";
/// Rules that bear it.
const RULES: usize = 2;

/// An address, and a port of other machines.
pub type Bar = (IpAddr, u16);

/// Why it cannot be told what is refused, or made so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// An answer that is not understood.
    #[error("the answer of nft about table {TABLE} is not understood: {0}")]
    Answer(String),
    /// There is no nft.
    #[error("the kernel cannot be told whom to refuse: {NFT} is not there; install nftables")]
    NoProgram,
    /// It was refused, or not carried out in time.
    #[error("the kernel cannot be told whom to refuse: {0}")]
    Refused(SystemError),
    /// They are too many.
    #[error("{0} addresses and ports are to be refused; at most {MOST} are")]
    TooMany(usize),
}

/// What the kernel lets nobody connect to.
pub trait Filter: Send + fmt::Debug {
    /// What is refused now, or nothing where it is not as [`Self::refuse`] leaves it.
    ///
    /// # Errors
    /// When that cannot be told.
    fn refused(&mut self) -> Result<BTreeSet<Bar>, FilterError>;

    /// Refuses these and no others, at one moment.
    ///
    /// # Errors
    /// When it stays as it was.
    fn refuse(&mut self, bars: &BTreeSet<Bar>) -> Result<(), FilterError>;
}

/// The kernel of this machine.
#[derive(Debug, Default)]
pub(in crate::host) struct Kernel;

impl Filter for Kernel {
    fn refused(&mut self) -> Result<BTreeSet<Bar>, FilterError> {
        if !std::path::Path::new(NFT).exists() {
            return Ok(BTreeSet::new());
        }
        let asked = ["-j", "list", "table", "inet", TABLE];
        let answer = spawn::query_up_to(NFT, &asked, PATIENCE, ANSWER_BYTES)
            .map_err(FilterError::Refused)?;
        match answer.code {
            0 => read(&answer.output).map_err(FilterError::Answer),
            // ENOENT in the words of the C library.
            _ if answer.errors.contains("No such file or directory") => Ok(BTreeSet::new()),
            code => Err(failed(code, answer.errors)),
        }
    }

    fn refuse(&mut self, bars: &BTreeSet<Bar>) -> Result<(), FilterError> {
        if bars.len() > MOST {
            return Err(FilterError::TooMany(bars.len()));
        }
        let exists = std::path::Path::new(NFT).exists();
        if !exists {
            return Err(FilterError::NoProgram);
        }
        let ended = spawn::run(NFT, &[&script(bars)], PATIENCE).map_err(FilterError::Refused)?;
        match ended.code {
            0 => Ok(()),
            code => Err(failed(code, ended.output)),
        }
    }
}

fn failed(code: u8, output: String) -> FilterError {
    FilterError::Refused(SystemError::Failed {
        program: NFT.to_owned(),
        code: code.to_string(),
        output,
    })
}

/// What nft is told: one transaction, after which the table is this, or gone when nothing is refused.
fn script(bars: &BTreeSet<Bar>) -> String {
    // A table that is not there cannot be deleted.
    let mut text = format!("add table inet {TABLE}; delete table inet {TABLE};");
    if bars.is_empty() {
        return text;
    }
    let _ = write!(text, " table inet {TABLE} {{");
    for (family, kind) in [("4", "ipv4_addr"), ("6", "ipv6_addr")] {
        let own = bars
            .iter()
            .filter(|(address, _)| address.is_ipv4() == (family == "4"));
        let own: Vec<String> = own
            .map(|(address, port)| format!("{address} . {port}"))
            .collect();
        let _ = write!(text, " set barred{family} {{ type {kind} . inet_service;");
        if !own.is_empty() {
            let _ = write!(text, " elements = {{ {} }};", own.join(", "));
        }
        text.push_str(" };");
    }
    text.push_str(" chain output { type filter hook output priority -10; policy accept;");
    for (packet, family) in [("ip", "4"), ("ip6", "6")] {
        let _ = write!(
            text,
            " {packet} saddr . tcp dport @barred{family} tcp flags & (fin|syn|rst|ack) == syn \
             reject with tcp reset comment \"{MARK}\";"
        );
    }
    text.push_str(" }; }");
    text
}

/// An answer in nft's JSON (libnftables-json(5)); what does not belong here is passed over.
#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    rule: Option<Rule>,
    set: Option<Set>,
}

#[derive(Deserialize)]
struct Rule {
    comment: Option<String>,
}

#[derive(Deserialize)]
struct Set {
    #[serde(default)]
    elem: Vec<Element>,
}

#[derive(Deserialize)]
struct Element {
    concat: Bar,
}

fn read(answer: &str) -> Result<BTreeSet<Bar>, String> {
    let listing: Listing = serde_json::from_str(answer).map_err(|error| error.to_string())?;
    let rules = listing
        .nftables
        .iter()
        .filter_map(|object| object.rule.as_ref());
    let ours = rules.filter(|rule| rule.comment.as_deref() == Some(MARK));
    if ours.count() != RULES {
        return Ok(BTreeSet::new());
    }
    let sets = listing.nftables.into_iter().filter_map(|object| object.set);
    Ok(sets
        .flat_map(|set| set.elem)
        .map(|element| element.concat)
        .collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A kernel that remembers what it was told.
    #[derive(Debug, Default)]
    pub(crate) struct Remembered {
        bars: BTreeSet<Bar>,
    }

    impl Filter for Remembered {
        fn refused(&mut self) -> Result<BTreeSet<Bar>, FilterError> {
            Ok(self.bars.clone())
        }

        fn refuse(&mut self, bars: &BTreeSet<Bar>) -> Result<(), FilterError> {
            if bars.len() > 10 {
                return Err(FilterError::TooMany(bars.len()));
            }
            self.bars.clone_from(bars);
            Ok(())
        }
    }

    fn bar(address: &str, port: u16) -> Bar {
        (address.parse().unwrap(), port)
    }

    #[test]
    fn one_transaction_says_all_of_it() {
        let none = script(&BTreeSet::new());
        assert_eq!(
            none,
            "add table inet email_engine_halts; delete table inet email_engine_halts;"
        );
        let some = BTreeSet::from([
            bar("192.0.2.3", 25),
            bar("192.0.2.3", 2525),
            bar("2001:db8::3", 25),
        ]);
        assert_eq!(
            script(&some),
            none + " table inet email_engine_halts { set barred4 { type ipv4_addr . inet_service; \
             elements = { 192.0.2.3 . 25, 192.0.2.3 . 2525 }; }; set barred6 { type ipv6_addr . \
             inet_service; elements = { 2001:db8::3 . 25 }; }; chain output { type filter hook output \
             priority -10; policy accept; ip saddr . tcp dport @barred4 tcp flags & (fin|syn|rst|ack) == \
             syn reject with tcp reset comment \"email-engine bars 1\"; ip6 saddr . tcp dport @barred6 \
             tcp flags & (fin|syn|rst|ack) == syn reject with tcp reset comment \"email-engine bars \
             1\"; }; }"
        );
    }

    /// As nft 1.0.6 says it, shortened.
    fn listing(rules: usize) -> String {
        let rule =
            r#", {"rule": {"chain": "output", "comment": "email-engine bars 1", "expr": []}}"#;
        let rules = rule.repeat(rules);
        format!(
            r#"{{"nftables": [{{"metainfo": {{"version": "1.0.6"}}}},
            {{"table": {{"family": "inet", "name": "email_engine_halts", "handle": 2}}}},
            {{"set": {{"name": "barred4", "type": ["ipv4_addr", "inet_service"],
                "elem": [{{"concat": ["192.0.2.3", 25]}}, {{"concat": ["192.0.2.3", 2525]}}]}}}},
            {{"set": {{"name": "barred6", "type": ["ipv6_addr", "inet_service"]}}}},
            {{"chain": {{"name": "output", "hook": "output", "prio": -10}}}}{rules}]}}"#
        )
    }

    #[test]
    fn what_is_listed_is_refused_only_where_the_rules_are_that_say_so() {
        let both = BTreeSet::from([bar("192.0.2.3", 25), bar("192.0.2.3", 2525)]);
        assert_eq!(read(&listing(2)), Ok(both));
        for rules in [0, 1, 3] {
            assert_eq!(read(&listing(rules)), Ok(BTreeSet::new()), "{rules} rules");
        }
        for answer in [
            "",
            "{}",
            r#"{"nftables": [{"set": {"elem": ["192.0.2.3"]}}]}"#,
        ] {
            assert!(read(answer).is_err(), "{answer}");
        }
    }
}
