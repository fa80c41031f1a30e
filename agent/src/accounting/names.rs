//! Whose a record is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use email_engine_protocol::desired::{AccountedIdentity, AccountingSpec, RecordKind};
use email_engine_protocol::id::ReceiverGroup;
use email_engine_protocol::limits;
use email_engine_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::line::record::Record;
use super::receivers::Receivers;

/// Records of an identity that left the state still come for so long.
const REMEMBERED: u64 = 2 * Timestamp::DAY;
/// Identities that left and are remembered.
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
    vmtas: BTreeMap<String, IpAddr>,
    domains: BTreeMap<String, IpAddr>,
    addresses: BTreeSet<IpAddr>,
    rejecting: BTreeSet<String>,
    receivers: Receivers,
}

/// Identities that left the state, with when they did.
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
        former.0.retain(|(_, left)| now.since(*left) < REMEMBERED);
        if self.spec.as_ref() == spec {
            return false;
        }
        let identities = |spec: Option<&AccountingSpec>| {
            let listed = spec.map(|spec| spec.identities.clone());
            listed.unwrap_or_default()
        };
        let next = identities(spec);
        let names: BTreeSet<_> = next.iter().map(|identity| &identity.vmta).collect();
        for identity in identities(self.spec.as_ref()) {
            if !names.contains(&identity.vmta) {
                former.0.push((identity, now));
            }
        }
        former
            .0
            .retain(|(identity, _)| !names.contains(&identity.vmta));
        let surplus = former.0.len().saturating_sub(FORMER);
        former.0.drain(..surplus);
        *self = Self {
            spec: spec.cloned(),
            rejecting: spec
                .map(|spec| {
                    spec.rejecting
                        .iter()
                        .map(|name| name.to_ascii_lowercase())
                        .collect()
                })
                .unwrap_or_default(),
            receivers: Receivers::of(spec.map_or(&[][..], |spec| &spec.receivers)),
            ..Self::default()
        };
        // Who is there now has its names before who left.
        let left = former.0.iter().map(|(identity, _)| identity);
        for identity in next.iter().chain(left) {
            let address = identity.address;
            self.addresses.insert(address);
            self.vmtas
                .entry(identity.vmta.to_string())
                .or_insert(address);
            self.domains
                .entry(identity.domain.to_string())
                .or_insert(address);
        }
        true
    }

    /// Says at whose receivers it went.
    #[must_use]
    pub fn group(&self, record: &Record) -> ReceiverGroup {
        self.receivers.group(record)
    }

    /// Says whose a record is.
    #[must_use]
    pub fn whose(&self, record: &Record) -> Whose {
        let found = match record.kind {
            RecordKind::Bounced if self.rejecting.contains(&record.vmta) => {
                return Whose::UnknownSender(name(&record.sender, "the empty sender"));
            }
            RecordKind::Bounced | RecordKind::Deferred | RecordKind::Delivered => {
                self.vmtas.get(&record.vmta).copied().ok_or(&record.vmta)
            }
            RecordKind::Returned => self
                .domains
                .get(&record.sender)
                .copied()
                .ok_or(&record.sender),
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
            .find_map(|name| self.domains.get(name));
        let source = || {
            record
                .source
                .filter(|address| self.addresses.contains(address))
        };
        domain.copied().or_else(source)
    }
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
    use email_engine_protocol::desired::{AccountingFile, HostPath, Receiver};
    use email_engine_protocol::id::{ReceiverGroup, VmtaName};
    use email_engine_protocol::mail::DomainName;
    use email_engine_protocol::observed::BounceCategory;

    use super::*;

    pub(in crate::accounting) fn spec(identities: u8) -> AccountingSpec {
        use RecordKind::{Bounced, Complaint, Deferred, Delivered, Returned};
        let file = |path: &str, records: &[RecordKind]| AccountingFile {
            path: HostPath::new(path).unwrap(),
            records: records.to_vec(),
        };
        AccountingSpec {
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
    fn an_identity_that_left_keeps_its_records_for_two_days() {
        let (mut names, mut former) = (Names::default(), Former::default());
        assert!(names.take(Some(&spec(2)), &mut former, Timestamp(0)));
        assert!(names.take(Some(&spec(1)), &mut former, Timestamp(0)));
        let late = record(RecordKind::Delivered, "vmta-2", "");
        assert!(matches!(names.whose(&late), Whose::Identity(_)));
        // So too in the next life of the agent.
        let mut names = Names::default();
        names.take(Some(&spec(1)), &mut former, Timestamp(1));
        assert!(matches!(names.whose(&late), Whose::Identity(_)));
        let mut names = Names::default();
        names.take(Some(&spec(1)), &mut former, Timestamp(REMEMBERED));
        assert_eq!(names.whose(&late), Whose::Nobody("vmta-2".to_owned()));
    }
}
