//! Questions, answers, and what several servers come to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use email_engine_protocol::api::DnsVerdict;

/// Longest text of what was seen, in characters.
const SEEN_CHARS: usize = 300;
/// Longest text that is proposed in place of one that is there.
const REPLACE_CHARS: usize = 1_000;
/// Warnings of one record.
const WARNINGS: usize = 5;

/// A type of records that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Who takes mail.
    Mx,
    /// The name of an address.
    Ptr,
    /// Texts.
    Txt,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// Name in lower case, without the final dot.
    pub name: String,
    /// Type.
    pub kind: Kind,
}

impl Question {
    pub(super) fn new(name: impl Into<String>, kind: Kind) -> Self {
        let name = name.into();
        Self { name, kind }
    }
}

/// A question that lacks an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The question.
    pub question: Question,
    /// Whether every authoritative server of its zone is asked, or whoever knows.
    pub of_all: bool,
}

/// Data of a record that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Who takes mail: preference, and name without the final dot.
    Mx(u16, String),
    /// The name of an address, without the final dot.
    Ptr(String),
    /// A text, its strings joined.
    Txt(Vec<u8>),
}

/// What one server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It answered.
    Known {
        /// The records of that type; it may have none.
        records: Vec<Datum>,
        /// Whether the name is there at all.
        exists: bool,
    },
    /// It did not, or what it said is no answer.
    Unreadable {
        /// Why.
        why: String,
    },
}

/// An answer, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The server.
    pub by: String,
    /// What it said.
    pub reply: Reply,
}

/// All answers so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    told: BTreeMap<Question, Vec<Told>>,
    /// Questions of which every authoritative server was asked.
    of_all: BTreeSet<Question>,
}

/// Questions that somebody still has to ask.
pub(super) type Lacking = BTreeSet<Need>;

impl Answers {
    /// Takes the answers to a question. None at all means that there is nobody to ask.
    pub fn take(&mut self, need: &Need, told: Vec<Told>) {
        if need.of_all {
            self.of_all.insert(need.question.clone());
        }
        self.told.insert(need.question.clone(), told);
    }

    /// What all authoritative servers said.
    pub(super) fn all(&self, question: &Question, lacking: &mut Lacking) -> Option<&[Told]> {
        match self.told.get(question) {
            Some(told) if self.of_all.contains(question) => Some(told),
            _ => {
                lacking.insert(Need {
                    question: question.clone(),
                    of_all: true,
                });
                None
            }
        }
    }

    /// What anybody said; an error when nobody could.
    pub(super) fn any(
        &self,
        question: &Question,
        lacking: &mut Lacking,
    ) -> Option<Result<(&[Datum], bool), String>> {
        let Some(told) = self.told.get(question) else {
            lacking.insert(Need {
                question: question.clone(),
                of_all: false,
            });
            return None;
        };
        let known = told.iter().find_map(|one| match &one.reply {
            Reply::Known { records, exists } => Some((&records[..], *exists)),
            Reply::Unreadable { .. } => None,
        });
        Some(known.ok_or_else(|| {
            let why = told.first().map_or_else(nobody, unreadable);
            format!("{}: {why}", question.name)
        }))
    }
}

fn nobody() -> String {
    "no server is known for it".to_owned()
}

fn unreadable(told: &Told) -> String {
    match &told.reply {
        Reply::Unreadable { why } => format!("{} {why}", told.by),
        Reply::Known { .. } => String::new(),
    }
}

/// What one server's answer comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum One {
    /// As it must be.
    Good(Vec<String>),
    /// Otherwise: what was seen, and what to publish where that is not simply the wanted record.
    Bad(String, Option<String>),
    /// It depends on something that could not be read.
    Open(String),
}

/// What the answers of all servers come to; nothing while some of them are lacking.
pub(super) fn each(
    told: &[Told],
    lacking: &mut Lacking,
    mut judge: impl FnMut(&[Datum], bool, &mut Lacking) -> Option<One>,
) -> Option<DnsVerdict> {
    let (mut bad, mut open, mut warnings) = (None, None, BTreeSet::new());
    let mut is_whole = true;
    for one in told {
        let Reply::Known { records, exists } = &one.reply else {
            open.get_or_insert_with(|| unreadable(one));
            continue;
        };
        match judge(records, *exists, lacking) {
            None => is_whole = false,
            Some(One::Good(told)) => warnings.extend(told),
            Some(One::Open(why)) => {
                open.get_or_insert(why);
            }
            Some(One::Bad(seen, replace)) => {
                let seen = format!("{} shows {seen}", one.by);
                bad.get_or_insert((seen, replace));
            }
        }
    }
    if !is_whole {
        return None;
    }
    if told.is_empty() {
        open = Some(nobody());
    }
    Some(match (bad, open) {
        (Some((seen, replace)), _) => DnsVerdict::Invalid {
            seen: clean(&seen),
            replace: replace.filter(|text| {
                text.chars().count() <= REPLACE_CHARS && !text.chars().any(char::is_control)
            }),
        },
        (None, Some(why)) => DnsVerdict::Unknown { why: clean(&why) },
        (None, None) => DnsVerdict::Valid {
            warnings: warnings
                .iter()
                .take(WARNINGS)
                .map(|one| clean(one))
                .collect(),
        },
    })
}

/// Others wrote what is seen: it is shown in tables and kept in the state.
fn clean(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { '?' } else { c });
    printable.take(SEEN_CHARS).collect()
}

/// A text as it is told to people.
pub(super) fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
