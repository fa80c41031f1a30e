//! SPF (RFC 7208): whether a domain lets an address send, counted as receivers count.

use std::net::IpAddr;

use ipnet::IpNet;

use super::address::{addresses, kind_of};
use super::answers::{Lacking, shown};
use super::spf_text::{Lengths, Mechanism, Qualifier, Record, Sender, expand, is_spf, read};
use super::{Answers, Datum, Kind, One, Question};

/// Terms that look something up (section 4.6.4).
const LOOKUPS: u32 = 10;
/// Look-ups that come to nothing.
const VOIDS: u32 = 2;
/// Exchangers, and names of an address, of one term.
const NAMES: usize = 10;

/// What a check comes to (section 2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may send; by the last word of a record, everybody may.
    Pass {
        /// Whether `all` let it.
        by_all: bool,
    },
    /// It may not.
    Fail,
    /// It should not.
    SoftFail,
    /// Nothing is said of it.
    Neutral,
    /// There is no record.
    None,
    /// Something could not be read.
    TempError(String),
    /// The record is wrong.
    PermError(String),
}

/// Judges what a server shows at a name that an address sends as.
pub(super) fn judge(
    records: &[Datum],
    (domain, local, hello): (&str, &str, &str),
    address: IpAddr,
    answers: &Answers,
    lacking: &mut Lacking,
) -> Option<One> {
    let texts = texts(records);
    let text = match &texts[..] {
        [] => return Some(One::Bad("no SPF record".to_owned(), None)),
        [text] => text,
        many => {
            let seen = format!("{} SPF records, of which receivers take none", many.len());
            return Some(One::Bad(seen, None));
        }
    };
    let sender = Sender {
        local,
        domain,
        hello,
        address,
    };
    let mut walk = Walk::new(answers, lacking, sender);
    let outcome = walk.record(text, domain);
    let outcome = outcome?;
    Some(match outcome {
        Outcome::Pass { by_all: false } => One::Good(Vec::new()),
        Outcome::Pass { by_all: true } => {
            One::Good(vec![format!("{text}: everybody may send for it")])
        }
        Outcome::TempError(why) => One::Open(why),
        Outcome::PermError(why) => One::Bad(format!("{text}: {why}"), None),
        Outcome::None => One::Bad("no SPF record".to_owned(), None),
        Outcome::Fail | Outcome::SoftFail | Outcome::Neutral => One::Bad(
            format!("{text}, which does not let {address} send"),
            with(text, address),
        ),
    })
}

/// Their record, with our address in front of all that it says.
fn with(text: &str, address: IpAddr) -> Option<String> {
    let says_more = text.split(' ').skip(1).any(|term| {
        let term = term.to_ascii_lowercase();
        !term.is_empty() && !term.ends_with("all") && !term.starts_with("ip")
    });
    let rest = text.get("v=spf1".len()..).unwrap_or_default();
    let kind = if address.is_ipv4() { "ip4" } else { "ip6" };
    says_more.then(|| format!("v=spf1 {kind}:{address}{rest}"))
}

fn texts(records: &[Datum]) -> Vec<String> {
    let texts = records.iter().filter_map(|record| match record {
        Datum::Txt(text) => Some(shown(text)),
        _ => None,
    });
    texts.filter(|text| is_spf(text)).collect()
}

/// Checks an address against the record of a domain, as `check_host()` does. Nothing while answers are
/// lacking, which are named.
#[must_use]
pub fn check_host(
    answers: &Answers,
    lacking: &mut std::collections::BTreeSet<super::Need>,
    record: &str,
    domain: &str,
    address: IpAddr,
) -> Option<Outcome> {
    let sender = Sender {
        local: "postmaster",
        domain,
        hello: domain,
        address,
    };
    Walk::new(answers, lacking, sender).record(record, domain)
}

struct Walk<'a> {
    answers: &'a Answers,
    lacking: &'a mut Lacking,
    sender: Sender<'a>,
    lookups: u32,
    voids: u32,
}

/// A step of the walk: an end that is not the usual one, or a question first.
type Step<T> = Option<Result<T, Outcome>>;

macro_rules! step {
    ($step:expr) => {
        match $step? {
            Ok(value) => value,
            Err(outcome) => return Some(Err(outcome)),
        }
    };
}

impl<'a> Walk<'a> {
    const fn new(answers: &'a Answers, lacking: &'a mut Lacking, sender: Sender<'a>) -> Self {
        Self {
            answers,
            lacking,
            sender,
            lookups: 0,
            voids: 0,
        }
    }

    /// What a record says; nothing while answers are lacking.
    fn record(&mut self, text: &str, domain: &str) -> Option<Outcome> {
        let record = match read(text) {
            Ok(record) => record,
            Err(why) => return Some(Outcome::PermError(why)),
        };
        match self.terms(&record, domain)? {
            Ok(outcome) | Err(outcome) => Some(outcome),
        }
    }

    fn terms(&mut self, record: &Record, domain: &str) -> Step<Outcome> {
        for (qualifier, mechanism) in &record.mechanisms {
            if step!(self.matches(mechanism, domain)) {
                let by_all = *mechanism == Mechanism::All;
                return Some(Ok(match qualifier {
                    Qualifier::Pass => Outcome::Pass { by_all },
                    Qualifier::Fail => Outcome::Fail,
                    Qualifier::SoftFail => Outcome::SoftFail,
                    Qualifier::Neutral => Outcome::Neutral,
                }));
            }
        }
        let Some(redirect) = &record.redirect else {
            return Some(Ok(Outcome::Neutral));
        };
        let name = step!(self.name(Some(redirect), domain));
        step!(self.count());
        let Some(text) = step!(self.policy(&name)) else {
            let why = format!("redirect={name}, which has no SPF record");
            return Some(Err(Outcome::PermError(why)));
        };
        self.record(&text, &name).map(Ok)
    }

    fn matches(&mut self, mechanism: &Mechanism, domain: &str) -> Step<bool> {
        match mechanism {
            Mechanism::All => Some(Ok(true)),
            Mechanism::Network(network) => Some(Ok(network.contains(&self.sender.address))),
            Mechanism::Include(name) => {
                let name = step!(self.name(Some(name), domain));
                step!(self.count());
                let Some(text) = step!(self.policy(&name)) else {
                    let why = format!("include:{name}, which has no SPF record");
                    return Some(Err(Outcome::PermError(why)));
                };
                match self.record(&text, &name)? {
                    Outcome::Pass { .. } => Some(Ok(true)),
                    Outcome::Fail | Outcome::SoftFail | Outcome::Neutral => Some(Ok(false)),
                    Outcome::None => Some(Err(Outcome::PermError(format!("include:{name}")))),
                    error => Some(Err(error)),
                }
            }
            Mechanism::A(name, lengths) => {
                let name = step!(self.name(name.as_ref(), domain));
                step!(self.count());
                let records = step!(self.ask(&name, kind_of(self.sender.address), true));
                Some(Ok(self.is_among(&records, *lengths)))
            }
            Mechanism::Mx(name, lengths) => self.exchangers(name.as_ref(), *lengths, domain),
            // It costs a look-up, and by section 5.5 nobody should publish it: its name is not chased, and
            // it matches nothing.
            Mechanism::Ptr(_) => {
                step!(self.count());
                Some(Ok(false))
            }
            Mechanism::Exists(name) => {
                let name = step!(self.name(Some(name), domain));
                step!(self.count());
                let records = step!(self.ask(&name, Kind::A, true));
                Some(Ok(!records.is_empty()))
            }
        }
    }

    fn exchangers(&mut self, name: Option<&String>, lengths: Lengths, domain: &str) -> Step<bool> {
        let name = step!(self.name(name, domain));
        step!(self.count());
        let records = step!(self.ask(&name, Kind::Mx, true));
        let names: Vec<String> = records
            .iter()
            .filter_map(|record| match record {
                Datum::Mx(_, name) if !name.is_empty() => Some(name.clone()),
                _ => None,
            })
            .collect();
        if names.len() > NAMES {
            let why = format!("mx of {name}, which has more than {NAMES} exchangers");
            return Some(Err(Outcome::PermError(why)));
        }
        for name in names {
            let records = step!(self.ask(&name, kind_of(self.sender.address), false));
            if self.is_among(&records, lengths) {
                return Some(Ok(true));
            }
        }
        Some(Ok(false))
    }

    fn is_among(&self, records: &[Datum], lengths: Lengths) -> bool {
        let holds = |address: IpAddr| {
            let length = match address {
                IpAddr::V4(_) => lengths.v4,
                IpAddr::V6(_) => lengths.v6,
            };
            let network = IpNet::new(address, length);
            network.is_ok_and(|network| network.contains(&self.sender.address))
        };
        addresses(records).into_iter().any(holds)
    }

    fn name(&self, text: Option<&String>, domain: &str) -> Step<String> {
        let Some(text) = text else {
            return Some(Ok(domain.to_owned()));
        };
        let name = expand(text, &self.sender, domain);
        Some(name.map_err(Outcome::PermError))
    }

    fn count(&mut self) -> Step<()> {
        self.lookups += 1;
        if self.lookups > LOOKUPS {
            let why = format!("more than {LOOKUPS} look-ups before an answer");
            return Some(Err(Outcome::PermError(why)));
        }
        Some(Ok(()))
    }

    /// The one SPF record of a name that another record leads to.
    fn policy(&mut self, name: &str) -> Step<Option<String>> {
        let records = step!(self.ask(name, Kind::Txt, true));
        let mut texts = texts(&records);
        if texts.len() > 1 {
            let why = format!("{name}, which has {} SPF records", texts.len());
            return Some(Err(Outcome::PermError(why)));
        }
        Some(Ok(texts.pop()))
    }

    fn ask(&mut self, name: &str, kind: Kind, counts: bool) -> Step<Vec<Datum>> {
        let question = Question::new(name, kind);
        match self.answers.any(&question, self.lacking)? {
            Err(why) => Some(Err(Outcome::TempError(why))),
            Ok((records, _)) => {
                if records.is_empty() && counts {
                    self.voids += 1;
                    if self.voids > VOIDS {
                        let why = format!("more than {VOIDS} look-ups that come to nothing");
                        return Some(Err(Outcome::PermError(why)));
                    }
                }
                Some(Ok(records.to_vec()))
            }
        }
    }
}
