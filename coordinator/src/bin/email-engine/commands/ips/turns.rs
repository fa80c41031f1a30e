//! Turns of an identity's life: `ips activate`, `ips quarantine` and the like.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::str::FromStr;

use clap::{Args, Subcommand};

use email_engine_protocol::api::{Check, ChecksRequest, IpSpec, MoveRequest, TurnView, Verdict};
use email_engine_protocol::id::{HostId, PoolName, VmtaName};

use super::super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::word;

/// What may happen to an identity.
#[derive(Debug, Subcommand)]
pub(super) enum Turn {
    /// Take one up from the bench: into warm-up, into production when it was there lately; or out of
    /// the reserve
    Activate {
        /// Its address
        address: IpAddr,
        /// Although preflight is not ok; needs an admin's key, and is audited
        #[arg(long)]
        force: bool,
    },
    /// Take one out of service at once; what waits in its queue is never sent from another
    Quarantine {
        /// Its address
        address: IpAddr,
        /// A list that has it, by its name (`dnsbl zones`) or as a receiver calls it; may be said several
        /// times. Then it stays out for 7 days and two clean sweeps at least, whoever says otherwise
        #[arg(long = "list", value_name = "NAME")]
        lists: Vec<String>,
    },
    /// Let one go a step towards service: out of quarantine to rest, from rest to the bench
    Release {
        /// Its address
        address: IpAddr,
        /// Out of a quarantine that no list is behind, at once; needs an admin's key, and is audited
        #[arg(long)]
        force: bool,
    },
    /// Lay one to rest: it takes no mail, and what it reached decays a phase every 30 days
    Rest {
        /// Its address
        address: IpAddr,
    },
    /// Keep an active one warm at weight 5, until it is activated
    Reserve {
        /// Its address
        address: IpAddr,
        /// Not any more
        #[arg(long)]
        end: bool,
    },
    /// Take one to another host, pool or virtual MTA; where it was it drains first
    Move(Move),
    /// State what was seen of one: without it nothing is taken up; holds for 24 hours
    #[command(name = "state-dns")]
    StateDns(StateDns),
}

/// Arguments of `ips move`.
#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct Move {
    /// Its address
    address: IpAddr,
    /// The PowerMTA host that it goes to
    #[arg(long)]
    host: Option<HostId>,
    /// The pool that it goes to: one holds identities of one host
    #[arg(long)]
    pool: Option<PoolName>,
    /// Its virtual MTA there
    #[arg(long)]
    vmta: Option<VmtaName>,
}

/// Arguments of `ips state-dns`.
#[derive(Args, Debug)]
#[group(skip)]
#[command(after_help = "\
Checks are a, ptr, spf, dkim, dmarc, address (its host has it) and listing (no list has it), which are all;
and next_dkim: while its key is changed (`dkim rotate`), that the record of the new selector was seen on
every authoritative server.
Examples:
  email-engine ips state-dns 192.0.2.7 --valid all --reason 'looked with dig'
  email-engine ips state-dns 192.0.2.7 --valid a,ptr --invalid spf='ends in ~all'
  email-engine ips state-dns 192.0.2.7 --valid next_dkim --selector mail-202611221")]
pub(super) struct StateDns {
    /// Its address
    address: IpAddr,
    /// What is as it must be: names with commas between them, or all
    #[arg(long, value_name = "CHECK,...", value_delimiter = ',')]
    valid: Vec<String>,
    /// What is not, and what is wrong with it
    #[arg(long, value_name = "CHECK=WHAT")]
    invalid: Vec<Said>,
    /// What could not be seen, and why not
    #[arg(long, value_name = "CHECK=WHY")]
    unknown: Vec<Said>,
    /// The selector that next_dkim is about; that of the present change of its key when absent
    #[arg(long)]
    selector: Option<String>,
}

/// `CHECK=TEXT`.
#[derive(Clone, Debug)]
struct Said {
    check: Check,
    text: String,
}

impl FromStr for Said {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (check, said) = text
            .split_once('=')
            .ok_or("a check, '=' and what was seen, such as spf='ends in ~all'")?;
        Ok(Self {
            check: check_of(check)?,
            text: said.to_owned(),
        })
    }
}

fn check_of(name: &str) -> Result<Check, String> {
    let known = || Check::ALL.into_iter().chain([Check::NextDkim]);
    let found = known().find(|check| check.as_str() == name);
    found.ok_or_else(|| {
        let known: Vec<&str> = known().map(Check::as_str).collect();
        format!("no check {name:?}: it is one of {}", known.join(", "))
    })
}

impl StateDns {
    fn verdicts(&self) -> Result<BTreeMap<Check, Verdict>, Failure> {
        let wrong = |text: String| Failure::new(Exit::Usage, text);
        let mut verdicts = BTreeMap::new();
        let mut say = |check: Check, verdict: Verdict| match verdicts.insert(check, verdict) {
            None => Ok(()),
            Some(_) => Err(wrong(format!("{check} is said twice: say it once"))),
        };
        for name in &self.valid {
            let named = match name.as_str() {
                "all" => Check::ALL.to_vec(),
                name => vec![check_of(name).map_err(wrong)?],
            };
            named
                .into_iter()
                .try_for_each(|check| say(check, Verdict::Valid))?;
        }
        for Said { check, text } in &self.invalid {
            let what = text.clone();
            say(*check, Verdict::Invalid { what })?;
        }
        for Said { check, text } in &self.unknown {
            let why = text.clone();
            say(*check, Verdict::Unknown { why })?;
        }
        if verdicts.is_empty() {
            return Err(wrong(
                "nothing is said: --valid, --invalid or --unknown".to_owned(),
            ));
        }
        Ok(verdicts)
    }
}

pub(super) async fn run(desk: &Desk, turn: Turn) -> Result<Exit, Failure> {
    let client = &desk.client;
    let turned = match turn {
        Turn::Activate { address, force } => client.activate(address, force).await?,
        Turn::Quarantine { address, lists } => {
            let lists: BTreeSet<String> = lists.into_iter().collect();
            client.quarantine(address, lists).await?
        }
        Turn::Release { address, force } => client.release(address, force).await?,
        Turn::Rest { address } => client.turn(address, "rest").await?,
        Turn::Reserve { address, end } => client.reserve(address, !end).await?,
        Turn::Move(to) => {
            let asked = MoveRequest {
                host: to.host,
                pool: to.pool,
                vmta: to.vmta,
            };
            client.relocate(to.address, &asked).await?
        }
        Turn::StateDns(stated) => {
            let request = ChecksRequest {
                checks: stated.verdicts()?,
                selector: stated.selector,
            };
            client.state_checks(stated.address, &request).await?
        }
    };
    for warning in &turned.warnings {
        desk.output.note(&format!("warning: {warning}"));
    }
    desk.output.show(&turned, |_| told(&turned))?;
    Ok(Exit::Success)
}

fn told(turned: &TurnView) -> String {
    let ip = &turned.ip;
    let IpSpec {
        address,
        status,
        host,
        ..
    } = &ip.spec;
    let reserve = if ip.spec.reserve { " in reserve" } else { "" };
    let since = ip.since;
    let mut told = format!(
        "{address} on {host} is {}{reserve} since {since}, phase {}: weight {}, {} mails a day",
        status.as_str(),
        word(&ip.spec.phase),
        ip.weight,
        ip.daily_quota
    );
    if let Some(out) = &ip.quarantine {
        if !out.lists.is_empty() {
            let lists: Vec<&str> = out.lists.iter().map(String::as_str).collect();
            told.push_str(&format!("\nIt is out because of {}.", lists.join(", ")));
        }
        told.push_str(&format!(
            "\nIt stays out until {} at least, and until two sweeps found it on no list: {} so far.",
            out.until, out.clean_sweeps
        ));
        match &out.expired_mail {
            Some(mail) => told.push_str(&format!(
                "\nMail for {} recipients expired in its queue; they are listed in {} on {}.",
                mail.recipients, mail.file, mail.host
            )),
            None => told.push_str(&format!(
                "\nMail that waits in its queue is deleted from {} on, and its recipients listed.",
                out.mail_expires_at
            )),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(valid: &[&str], invalid: &[&str]) -> Result<BTreeMap<Check, Verdict>, String> {
        let stated = StateDns {
            address: "192.0.2.7".parse().unwrap(),
            valid: valid.iter().map(|name| (*name).to_owned()).collect(),
            invalid: invalid.iter().map(|said| said.parse().unwrap()).collect(),
            unknown: Vec::new(),
            selector: None,
        };
        stated.verdicts().map_err(|failure| failure.to_string())
    }

    #[test]
    fn all_checks_are_named_in_one_word_and_each_may_be_said_once() {
        assert_eq!(stated(&["all"], &[]).unwrap().len(), Check::ALL.len());
        let two = stated(&["a", "ptr"], &["spf=ends in ~all"]).unwrap();
        let what = "ends in ~all".to_owned();
        assert_eq!(two[&Check::Spf], Verdict::Invalid { what });
        assert_eq!(two.len(), 3);
        let twice = stated(&["all"], &["spf=x"]).unwrap_err();
        assert!(twice.contains("spf is said twice"), "{twice}");
        let strange = stated(&["mx"], &[]).unwrap_err();
        assert!(strange.contains("it is one of a, ptr, spf"), "{strange}");
        assert!(stated(&[], &[]).is_err());
    }
}
