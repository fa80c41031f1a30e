//! Whose a record is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use email_engine_protocol::desired::{AccountedIdentity, AccountingSpec, RecordKind};
use email_engine_protocol::id::{ReceiverGroup, VmtaName};
use email_engine_protocol::limits;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::observed::OWNED_FOR;
use email_engine_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::counts::receivers::Receivers;
use super::counts::replies::{Lists, Named};
use super::line::record::Record;

/// Identities that left and are remembered, the newest ones.
const FORMER: usize = 1024;

/// Whose a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Of the identity with this address.
    Identity(IpAddr),
    /// Of an unknown sender, under this domain; discarded.
    UnknownSender(String),
    /// Of nobody: by what it was looked up.
    Nobody(String),
}

/// The names under which records know the identities of this host.
#[derive(Clone, Debug, Default)]
pub struct Names {
    spec: Option<AccountingSpec>,
    vmtas: BTreeMap<String, Owners>,
    domains: BTreeMap<String, Owners>,
    addresses: BTreeSet<IpAddr>,
    rejecting: BTreeSet<String>,
    receivers: Receivers,
    lists: Lists,
}

/// Whose a name is and was. It may go to another identity while records of the former one come.
#[derive(Clone, Debug, Default)]
struct Owners {
    current: Option<IpAddr>,
    /// Until when it was whose, in order of time.
    former: Vec<(Timestamp, IpAddr)>,
}

impl Owners {
    /// Who had it at a time.
    fn at(&self, at: Timestamp) -> Option<IpAddr> {
        let then = self.former.iter().find(|(left, _)| at < *left);
        let last = || self.former.last().map(|(_, address)| *address);
        let then = then.map(|(_, address)| *address);
        then.or(self.current).or_else(last)
    }
}

/// Identities that left the state or took another name, with when they did, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former(Vec<(AccountedIdentity, Timestamp)>);

impl Names {
    /// The state that they are of.
    #[must_use]
    pub const fn spec(&self) -> Option<&AccountingSpec> {
        self.spec.as_ref()
    }

    /// Takes over the names of a state, and says whether that changed anything. Those that it no
    /// longer has are remembered for a while: what they sent last is read later.
    pub fn take(
        &mut self,
        spec: Option<&AccountingSpec>,
        former: &mut Former,
        now: Timestamp,
    ) -> bool {
        former.0.retain(|(_, left)| now.since(*left) < OWNED_FOR);
        if self.spec.as_ref() == spec {
            return false;
        }
        let listed = |spec: Option<&AccountingSpec>| {
            let listed = spec.map(|spec| spec.identities.clone());
            listed.unwrap_or_default()
        };
        let next = listed(spec);
        let stays: BTreeSet<_> = next.iter().map(key).collect();
        for identity in listed(self.spec.as_ref()) {
            if !stays.contains(&key(&identity)) {
                former.0.push((identity, now));
            }
        }
        let surplus = former.0.len().saturating_sub(FORMER);
        former.0.drain(..surplus);
        let lower = |name: &String| name.to_ascii_lowercase();
        *self = Self {
            spec: spec.cloned(),
            rejecting: spec
                .map(|spec| spec.rejecting.iter().map(lower).collect())
                .unwrap_or_default(),
            receivers: Receivers::of(spec.map_or(&[][..], |spec| &spec.receivers)),
            lists: Lists::of(spec.map_or(&[][..], |spec| &spec.lists)),
            ..Self::default()
        };
        for identity in &next {
            for owners in self.owners_of(identity) {
                owners.current.get_or_insert(identity.address);
            }
        }
        for (identity, left) in &former.0 {
            for owners in self.owners_of(identity) {
                owners.former.push((*left, identity.address));
            }
        }
        true
    }

    /// Both names of an identity.
    fn owners_of(&mut self, identity: &AccountedIdentity) -> [&mut Owners; 2] {
        self.addresses.insert(identity.address);
        [
            self.vmtas.entry(identity.vmta.to_string()).or_default(),
            self.domains.entry(identity.domain.to_string()).or_default(),
        ]
    }

    /// Says at whose receivers it went.
    #[must_use]
    pub fn group(&self, record: &Record) -> ReceiverGroup {
        self.receivers.group(record)
    }

    /// Says which list of bad senders the receiver names.
    #[must_use]
    pub fn list<'a>(&'a self, record: &'a Record) -> Option<Named<'a>> {
        self.lists.named_in(&record.said)
    }

    /// Says whose a record is.
    #[must_use]
    pub fn whose(&self, record: &Record) -> Whose {
        let found = match record.kind {
            RecordKind::Bounced if self.rejecting.contains(&record.vmta) => {
                return Whose::UnknownSender(name(&record.sender, "the empty sender"));
            }
            RecordKind::Bounced | RecordKind::Deferred | RecordKind::Delivered => {
                owner(&self.vmtas, &record.vmta, record.at).ok_or(&record.vmta)
            }
            RecordKind::Returned => {
                owner(&self.domains, &record.sender, record.at).ok_or(&record.sender)
            }
            RecordKind::Complaint => self.of_complaint(record).ok_or(&record.reported),
        };
        match found {
            Ok(address) => Whose::Identity(address),
            Err(looked_up) => Whose::Nobody(name(looked_up, "no name at all")),
        }
    }

    fn of_complaint(&self, record: &Record) -> Option<IpAddr> {
        let domain = [&record.reported, &record.sender]
            .into_iter()
            .find_map(|name| owner(&self.domains, name, record.at));
        let source = || {
            record
                .source
                .filter(|address| self.addresses.contains(address))
        };
        domain.or_else(source)
    }
}

/// What tells identities apart: one that takes another name is another one to the records.
fn key(identity: &AccountedIdentity) -> (&VmtaName, IpAddr, &DomainName) {
    (&identity.vmta, identity.address, &identity.domain)
}

fn owner(names: &BTreeMap<String, Owners>, name: &str, at: Timestamp) -> Option<IpAddr> {
    names.get(name)?.at(at)
}

/// A name from a stranger's hand, for people's eyes.
fn name(text: &str, empty: &str) -> String {
    if text.is_empty() {
        return empty.to_owned();
    }
    let cut = &text[..text.floor_char_boundary(limits::NOTICE_BYTES)];
    cut.replace(|c: char| !c.is_ascii_graphic(), "?")
}

#[cfg(test)]
pub(super) mod tests {
    use email_engine_protocol::desired::{AccountingFile, HostPath, ListNames, Receiver};
    use email_engine_protocol::id::ListId;
    use email_engine_protocol::observed::BounceCategory;

    use super::*;

    pub(in crate::accounting) fn spec(identities: u8) -> AccountingSpec {
        use RecordKind::{Bounced, Complaint, Deferred, Delivered, Returned};
        let file = |path: &str, records: &[RecordKind]| AccountingFile {
            path: HostPath::new(path).unwrap(),
            records: records.to_vec(),
        };
        AccountingSpec {
            posts: Vec::new(),
            files: vec![
                file("/log/acct.csv", &[Delivered, Bounced, Deferred]),
                file("/log/feedback.csv", &[Returned, Complaint]),
            ],
            identities: (1..=identities)
                .map(|n| AccountedIdentity {
                    vmta: VmtaName::new(format!("vmta-{n}")).unwrap(),
                    address: IpAddr::from([192, 0, 2, n]),
                    domain: DomainName::new(format!("mail{n}.example.com")).unwrap(),
                })
                .collect(),
            rejecting: vec!["reject-client".to_owned()],
            receivers: vec![Receiver {
                group: ReceiverGroup::new("gmail").unwrap(),
                names: vec!["gmail.com".to_owned()],
            }],
            lists: vec![
                ListNames {
                    list: ListId::new("psbl").unwrap(),
                    names: vec!["psbl.surriel.com".to_owned()],
                },
                ListNames {
                    list: ListId::new("spamhaus-zen").unwrap(),
                    names: vec![
                        "zen.spamhaus.org".to_owned(),
                        "zen.dq.spamhaus.net".to_owned(),
                        "spamhaus.org/query/ip".to_owned(),
                    ],
                },
            ],
        }
    }

    pub(in crate::accounting) fn record(kind: RecordKind, vmta: &str, sender: &str) -> Record {
        Record {
            kind,
            at: Timestamp(1_795_240_800_000),
            vmta: vmta.to_owned(),
            sender: sender.to_owned(),
            reported: String::new(),
            source: None,
            category: BounceCategory::Other,
            recipient: String::new(),
            queue: String::new(),
            said: String::new(),
            message: 1,
        }
    }

    #[test]
    fn every_type_has_its_own_way_to_its_identity() {
        let mut names = Names::default();
        names.take(Some(&spec(2)), &mut Former::default(), Timestamp(0));
        let address = Whose::Identity("192.0.2.2".parse().unwrap());
        let mut complaint = record(RecordKind::Complaint, "", "");
        assert_eq!(
            names.whose(&complaint),
            Whose::Nobody("no name at all".to_owned())
        );
        complaint.source = Some("192.0.2.2".parse().unwrap());
        for own in [
            &complaint,
            &record(RecordKind::Delivered, "vmta-2", "whoever.example"),
            &record(RecordKind::Bounced, "vmta-2", ""),
            &record(RecordKind::Returned, "", "mail2.example.com"),
            &record(RecordKind::Complaint, "", "mail2.example.com"),
        ] {
            assert_eq!(names.whose(own), address, "{own:?}");
        }
        let stranger = record(RecordKind::Bounced, "reject-client", "example.net");
        assert_eq!(
            names.whose(&stranger),
            Whose::UnknownSender("example.net".to_owned())
        );
        // Mail that left by way of what discards is no unknown sender's: it is nobody's.
        let escaped = record(RecordKind::Delivered, "reject-client", "example.net");
        assert_eq!(
            names.whose(&escaped),
            Whose::Nobody("reject-client".to_owned())
        );
        let rude = record(RecordKind::Bounced, "reject-client", "\u{1b}[2J\u{202e}");
        assert_eq!(names.whose(&rude), Whose::UnknownSender("?[2J?".to_owned()));
    }

    #[test]
    fn an_identity_that_left_keeps_its_records_for_as_long_as_files_are_kept() {
        let (mut names, mut former) = (Names::default(), Former::default());
        assert!(names.take(Some(&spec(2)), &mut former, Timestamp(0)));
        assert!(names.take(Some(&spec(1)), &mut former, Timestamp(0)));
        let late = record(RecordKind::Delivered, "vmta-2", "");
        assert!(matches!(names.whose(&late), Whose::Identity(_)));
        // So too in the next life of the agent.
        let mut names = Names::default();
        names.take(Some(&spec(1)), &mut former, Timestamp(OWNED_FOR - 1));
        assert!(matches!(names.whose(&late), Whose::Identity(_)));
        let mut names = Names::default();
        names.take(Some(&spec(1)), &mut former, Timestamp(OWNED_FOR));
        assert_eq!(names.whose(&late), Whose::Nobody("vmta-2".to_owned()));
    }

    #[test]
    fn a_record_is_of_who_had_its_name_when_it_was_written() {
        let hour = |hour: u64| Timestamp(1_795_240_800_000 + hour * Timestamp::HOUR);
        let moved = |address: u8| {
            let mut spec = spec(2);
            spec.identities[1].address = IpAddr::from([192, 0, 2, address]);
            spec
        };
        let mut former = Former::default();
        let mut names = Names::default();
        names.take(Some(&moved(2)), &mut former, hour(0));
        // Both names go to another address, and to a third one; then to the first again.
        names.take(Some(&moved(8)), &mut former, hour(10));
        names.take(Some(&moved(9)), &mut former, hour(20));
        names.take(Some(&moved(2)), &mut former, hour(30));
        let mut next = Names::default();
        next.take(Some(&moved(2)), &mut former, hour(31));
        for names in [&names, &next] {
            for (at, address) in [(0, 2), (9, 2), (10, 8), (19, 8), (20, 9), (29, 9), (30, 2)] {
                let wanted = Whose::Identity(IpAddr::from([192, 0, 2, address]));
                for (kind, vmta, sender) in [
                    (RecordKind::Deferred, "vmta-2", ""),
                    (RecordKind::Returned, "", "mail2.example.com"),
                    (RecordKind::Complaint, "", "mail2.example.com"),
                ] {
                    let mut late = record(kind, vmta, sender);
                    late.at = hour(at);
                    assert_eq!(names.whose(&late), wanted, "{kind:?} at {at}");
                }
            }
        }
    }
}
