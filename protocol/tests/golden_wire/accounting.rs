//! What travels of accounting files.

use email_engine_protocol::bytes::{ContentHash, Nonce};
use email_engine_protocol::desired::{
    AccountedIdentity, AccountingFile, AccountingPost, AccountingSpec, HostPath, ListNames,
    Receiver, RecordKind,
};
use email_engine_protocol::id::{ListId, ReceiverGroup, TenantId, VmtaName};
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::observed::{
    AccountingCursors, AccountingFileId, BounceCategory, Counts, FileCursor, Gap, IdentityTotals,
    ListReplies, MailNotice, MailNotices, Mark, StatisticsBatch, Stretch,
};
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::url::ServiceUrl;

use super::samples::{CLUSTER, host};

fn accounting_file() -> AccountingFileId {
    AccountingFileId {
        name: "acct-2026-11-21-0000.csv".to_owned(),
        head: ContentHash([0xac; 32]),
    }
}

fn mark() -> Mark {
    Mark {
        last: Timestamp(1_795_240_800_000),
        tail: ContentHash([0xad; 32]),
    }
}

pub(crate) fn file_cursor() -> FileCursor {
    FileCursor {
        file: accounting_file(),
        at: 900,
        mark: mark(),
    }
}

pub(crate) fn accounting_cursors() -> AccountingCursors {
    AccountingCursors {
        files: vec![file_cursor()],
        floors: [("acct".to_owned(), "acct-2026-09-21-0000.csv".to_owned())].into(),
        read_until: Some(Timestamp(1_795_240_800_000)),
    }
}

pub(crate) fn statistics() -> StatisticsBatch {
    let mut counts = Counts {
        sent: 10,
        delivered: 9,
        bounced: 1,
        deferred: 2,
        returned: 3,
        ..Counts::NONE
    };
    counts.categories.count(BounceCategory::QuotaIssues);
    StatisticsBatch {
        host: host(),
        stretch: Some(Stretch {
            file: accounting_file(),
            from: 100,
            to: 900,
            instead_of: Some(1000),
            mark: mark(),
            totals: vec![IdentityTotals {
                address: "192.0.2.1".parse().unwrap(),
                hour: 498_678,
                group: ReceiverGroup::new("gmail").unwrap(),
                counts,
            }],
            replies: vec![ListReplies {
                address: "192.0.2.1".parse().unwrap(),
                list: ListId::new("spamhaus-zen").unwrap(),
                count: 2,
                first: Timestamp(1_795_240_800_123),
                last: Timestamp(1_795_240_900_123),
                sample: "550 5.7.1 blocked using zen.spamhaus.org".to_owned(),
            }],
        }),
        gap: Some(Gap {
            from: Timestamp(1_795_140_800_000),
            to: Timestamp(1_795_240_800_000),
        }),
        read_until: Some(Timestamp(1_795_240_900_000)),
        cluster: CLUSTER,
        nonce: Nonce([0x0a; 16]),
        notices: MailNotices {
            unknown_senders: Some(MailNotice {
                count: 3,
                since: Timestamp(1_795_240_800_123),
                last: Timestamp(1_795_240_900_123),
                of: "example.net".to_owned(),
                most: vec![("example.net".to_owned(), 3)],
            }),
            ..MailNotices::default()
        },
    }
}

pub(crate) fn accounting() -> AccountingSpec {
    AccountingSpec {
        files: vec![AccountingFile {
            path: HostPath::new("/var/log/pmta/acct.csv").unwrap(),
            records: vec![RecordKind::Delivered, RecordKind::Bounced],
        }],
        identities: vec![AccountedIdentity {
            vmta: VmtaName::new("vmta-mail1").unwrap(),
            address: "192.0.2.1".parse().unwrap(),
            domain: DomainName::new("mail1.example.com").unwrap(),
        }],
        rejecting: vec!["reject-client-1".to_owned()],
        receivers: vec![Receiver {
            group: ReceiverGroup::new("gmail").unwrap(),
            names: vec!["gmail.com".to_owned(), "gmail.rollup".to_owned()],
        }],
        posts: vec![AccountingPost {
            tenant: TenantId::new("client-1").unwrap(),
            url: ServiceUrl::new("https://app.example.com").unwrap(),
            path: HostPath::new("/var/log/pmta/feedback.csv").unwrap(),
            identities: vec!["192.0.2.1".parse().unwrap()],
        }],
        lists: vec![ListNames {
            list: ListId::new("spamhaus-zen").unwrap(),
            names: vec!["zen.spamhaus.org".to_owned()],
        }],
    }
}
