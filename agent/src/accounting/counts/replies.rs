//! Which list of bad senders a receiver's reply names, and how often each is named of whom.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

use email_engine_protocol::desired::ListNames;
use email_engine_protocol::id::ListId;
use email_engine_protocol::limits;
use email_engine_protocol::observed::ListReplies;
use email_engine_protocol::time::Timestamp;

/// The names of all lists, looked for in one pass.
#[derive(Clone, Debug, Default)]
pub(in crate::accounting) struct Lists {
    finder: Option<AhoCorasick>,
    /// Whose name each is.
    lists: Vec<ListId>,
}

/// A reply that names a list.
#[derive(Clone, Debug)]
pub struct Named<'a> {
    lists: &'a Lists,
    list: &'a ListId,
    reply: &'a str,
}

impl Lists {
    pub(in crate::accounting) fn of(lists: &[ListNames]) -> Self {
        let all = lists.iter().flat_map(|list| {
            let names = list.names.iter().filter(|name| !name.is_empty());
            names.map(|name| (name, &list.list))
        });
        let (names, lists): (Vec<_>, Vec<_>) = all.unzip();
        if names.is_empty() {
            return Self::default();
        }
        let finder = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(names);
        let finder = finder
            .inspect_err(|error| tracing::error!(%error, "lists are not looked for in replies"));
        Self {
            finder: finder.ok(),
            lists: lists.into_iter().cloned().collect(),
        }
    }

    /// The first list that a reply names, if it names one.
    pub(in crate::accounting) fn named_in<'a>(&'a self, reply: &'a str) -> Option<Named<'a>> {
        let (_, list) = self.places(reply).next()?;
        Some(Named {
            lists: self,
            list,
            reply,
        })
    }

    /// Where lists are named.
    fn places<'a>(&'a self, reply: &'a str) -> impl Iterator<Item = (Range<usize>, &'a ListId)> {
        let found = self.finder.iter().filter(|_| !reply.is_empty());
        let found = found.flat_map(move |finder| finder.find_iter(reply));
        let found = found.filter(move |found| is_whole(reply.as_bytes(), &found.range()));
        found.filter_map(|found| {
            let list = self.lists.get(found.pattern().as_usize())?;
            Some((found.range(), list))
        })
    }
}

/// Whether what was found is not a part of a longer name. What stands in front of it may be more labels:
/// `2.0.0.127.zen.spamhaus.org`.
fn is_whole(reply: &[u8], at: &Range<usize>) -> bool {
    let is_inner = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-';
    let before = at.start.checked_sub(1).and_then(|at| reply.get(at));
    let ends = match (reply.get(at.end), reply.get(at.end + 1)) {
        (Some(b'.'), Some(after)) => !is_inner(after),
        (Some(after), _) => !is_inner(after),
        (None, _) => true,
    };
    ends && !before.is_some_and(is_inner)
}

impl Named<'_> {
    /// Which list.
    #[must_use]
    pub const fn list(&self) -> &ListId {
        self.list
    }

    /// What it says, for people: without mailboxes, and without what stands in front of the list's name, which
    /// may be the key of whoever asked.
    #[must_use]
    pub fn sample(&self) -> String {
        let mut told = String::with_capacity(limits::REPLY_CHARS);
        let (mut from, mut name) = (0, 0);
        for (at, _) in self.lists.places(self.reply) {
            let before = &self.reply[from..at.start];
            let is_label = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            let kept = before.trim_end_matches(is_label);
            told.push_str(kept);
            match &before[kept.len()..] {
                labels @ ("" | "www.") => told.push_str(labels),
                _ => told.push_str("*."),
            }
            told.push_str(&self.reply[at.clone()]);
            from = at.end;
            if name == 0 {
                name = told.len();
            }
        }
        told.push_str(&self.reply[from..]);
        // Mailboxes go at last: they are as long as what stands for them, so that the name stays where it is.
        let told = without_mailboxes(&told);
        let skipped = name.saturating_sub(limits::REPLY_CHARS);
        told.chars()
            .skip(skipped)
            .take(limits::REPLY_CHARS)
            .collect()
    }
}

/// A text with `x` for each letter of whatever may be a mailbox.
fn without_mailboxes(text: &str) -> String {
    let is_mailbox = |word: &str| word.contains('@') || word.to_ascii_lowercase().contains("%40");
    let words = text.split(' ').map(|word| match is_mailbox(word) {
        true => "x".repeat(word.len()),
        false => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// How often each list was named of whom, at most [`REPLY_ROWS`](limits::REPLY_ROWS) rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replies {
    rows: BTreeMap<(IpAddr, ListId), ListReplies>,
}

impl Replies {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether one more of this has room.
    #[must_use]
    pub fn has_room(&self, address: IpAddr, named: &Named<'_>) -> bool {
        let is_full = self.rows.len() >= limits::REPLY_ROWS;
        !is_full || self.rows.contains_key(&(address, named.list().clone()))
    }

    /// Counts one. What it says is kept of the first of them.
    pub fn count(&mut self, address: IpAddr, named: &Named<'_>, at: Timestamp) {
        let list = named.list();
        let key = (address, list.clone());
        let row = self.rows.entry(key).or_insert_with(|| ListReplies {
            address,
            list: list.clone(),
            count: 0,
            first: at,
            last: at,
            sample: named.sample(),
        });
        row.count = row.count.saturating_add(1);
        (row.first, row.last) = (row.first.min(at), row.last.max(at));
    }

    /// The rows, in order.
    #[must_use]
    pub fn into_rows(self) -> Vec<ListReplies> {
        self.rows.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::accounting::names::tests::spec;

    fn lists() -> Lists {
        Lists::of(&spec(1).lists)
    }

    #[test]
    fn a_reply_that_names_a_list_is_recognised_and_nothing_else() {
        let lists = lists();
        for (reply, list) in [
            (
                "smtp;550 5.7.1 blocked using zen.spamhaus.org; see https://x",
                Some("spamhaus-zen"),
            ),
            (
                "smtp;554 192.0.2.7 listed at ZEN.Spamhaus.ORG.",
                Some("spamhaus-zen"),
            ),
            (
                "smtp;451 2.2.0.192.k.zen.dq.spamhaus.net says no",
                Some("spamhaus-zen"),
            ),
            (
                "smtp;550 see https://www.spamhaus.org/query/ip/192.0.2.7",
                Some("spamhaus-zen"),
            ),
            (
                "smtp;550 (psbl.surriel.com) and zen.spamhaus.org",
                Some("psbl"),
            ),
            ("smtp;550 notzen.spamhaus.org", None),
            ("smtp;550 zen.spamhaus.organic", None),
            ("smtp;550 zen.spamhaus.org.example.com", None),
            ("smtp;550 5.1.1 no such user", None),
            ("", None),
        ] {
            let named = lists.named_in(reply).map(|named| named.list().to_string());
            assert_eq!(named.as_deref(), list, "{reply}");
        }
        assert!(Lists::of(&[]).named_in("zen.spamhaus.org").is_none());
    }

    #[test]
    fn a_sample_has_the_lists_name_and_no_mailbox_and_no_key() {
        let lists = lists();
        let sample = |reply: &str| lists.named_in(reply).unwrap().sample();
        assert_eq!(
            sample("550 <a@example.com>: 2.2.0.192.S3cret.zen.dq.spamhaus.net (zen.spamhaus.org)"),
            "550 xxxxxxxxxxxxxxxx *.zen.dq.spamhaus.net (zen.spamhaus.org)"
        );
        assert_eq!(
            sample("550 https://www.spamhaus.org/query/ip/192.0.2.7 u%40example.com"),
            "550 https://www.spamhaus.org/query/ip/192.0.2.7 xxxxxxxxxxxxxxx"
        );
        let long = format!("550 {} zen.spamhaus.org end", "words ".repeat(100));
        let told = sample(&long);
        assert!(told.len() <= limits::REPLY_CHARS && told.ends_with("zen.spamhaus.org"));
    }

    proptest! {
        #[test]
        fn a_sample_is_what_the_cluster_takes(
            reply in "([ -~]|zen\\.spamhaus\\.org|\\.|@){0,300}",
        ) {
            let lists = lists();
            let key = format!("7.2.0.192.s3cretkey.zen.dq.spamhaus.net {reply}");
            let mut replies = Replies::default();
            replies.count(IpAddr::from([192, 0, 2, 1]), &lists.named_in(&key).unwrap(), Timestamp(1));
            if let Some(named) = lists.named_in(&reply) {
                replies.count(IpAddr::from([192, 0, 2, 2]), &named, Timestamp(2));
            }
            for row in replies.into_rows() {
                prop_assert!(row.sample.len() <= limits::REPLY_CHARS);
                prop_assert!(row.sample.bytes().all(|b| matches!(b, b' '..=b'~')));
                prop_assert!(!row.sample.contains("s3cretkey"), "{}", row.sample);
            }
        }
    }

    #[test]
    fn each_pair_is_a_row_and_rows_have_a_bound() {
        let lists = lists();
        let reply = "550 zen.spamhaus.org";
        let named = lists.named_in(reply).unwrap();
        let mut replies = Replies::default();
        let one = IpAddr::from([192, 0, 2, 1]);
        for at in [5, 9, 7] {
            replies.count(one, &named, Timestamp(at));
        }
        for at in 1..limits::REPLY_ROWS {
            let address = IpAddr::from(u128::try_from(at).unwrap().to_be_bytes());
            assert!(replies.has_room(address, &named));
            replies.count(address, &named, Timestamp(1));
        }
        assert!(replies.has_room(one, &named));
        assert!(!replies.has_room(IpAddr::from([192, 0, 2, 2]), &named));
        let row = replies.into_rows().remove(0);
        assert_eq!(
            (row.count, row.first, row.last),
            (3, Timestamp(5), Timestamp(9))
        );
        assert_eq!(row.sample, reply);
    }
}
