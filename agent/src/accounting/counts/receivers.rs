//! Whose mailboxes a recipient's are.

use std::collections::BTreeMap;

use email_engine_protocol::desired::Receiver;
use email_engine_protocol::id::ReceiverGroup;

use crate::accounting::line::record::Record;

/// The catalogue's groups, by the names under which records know them.
#[derive(Clone, Debug)]
pub(in crate::accounting) struct Receivers {
    groups: BTreeMap<String, ReceiverGroup>,
    other: ReceiverGroup,
}

impl Default for Receivers {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl Receivers {
    pub(in crate::accounting) fn of(receivers: &[Receiver]) -> Self {
        let pairs = receivers.iter().flat_map(|receiver| {
            let names = receiver.names.iter();
            names.map(|name| (name.to_ascii_lowercase(), receiver.group.clone()))
        });
        Self {
            groups: pairs.collect(),
            other: ReceiverGroup::other(),
        }
    }

    /// The group of a record's recipient: by the domain, else by the queue that the message was in,
    /// which several domains may share.
    pub(in crate::accounting) fn group(&self, record: &Record) -> ReceiverGroup {
        let by = |name: &str| self.groups.get(name);
        let found = by(&record.recipient).or_else(|| by(&record.queue));
        found.unwrap_or(&self.other).clone()
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::desired::RecordKind;

    use super::*;
    use crate::accounting::names::tests::record;

    #[test]
    fn a_recipient_is_known_by_domain_then_by_queue_and_else_is_another() {
        let group = |name: &str| ReceiverGroup::new(name).unwrap();
        let receivers = Receivers::of(&[
            Receiver {
                group: group("gmail"),
                names: vec!["gmail.com".to_owned(), "gmail.rollup".to_owned()],
            },
            Receiver {
                group: group("yahoo"),
                names: vec!["yahoo.com".to_owned()],
            },
        ]);
        let of = |recipient: &str, queue: &str| {
            receivers.group(&Record {
                recipient: recipient.to_owned(),
                queue: queue.to_owned(),
                ..record(RecordKind::Delivered, "", "")
            })
        };
        assert_eq!(of("gmail.com", ""), group("gmail"));
        assert_eq!(of("example.org", "gmail.rollup"), group("gmail"));
        assert_eq!(of("yahoo.com", "gmail.rollup"), group("yahoo"));
        assert_eq!(of("mail.yahoo.com", ""), ReceiverGroup::other());
        assert_eq!(of("", ""), ReceiverGroup::other());
    }
}
