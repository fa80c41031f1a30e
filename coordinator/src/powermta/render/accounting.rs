//! Accounting files: what is written, and what the agent reads of it.

use email_engine_protocol::desired::{
    AccountedIdentity, AccountingFile, AccountingSpec, HostPath, Receiver, RecordKind,
};
use email_engine_protocol::id::ReceiverGroup;
use email_engine_protocol::limits;

use super::super::model::{Configuration, Egress};
use super::super::providers::{Catalogue, EVERYONE, Provider};
use super::routing::reject_name;
use super::text::Text;
use crate::dnsbl::registry::Registry;

/// What statistics count.
const RESULTS: &str = "/var/log/pmta/acct.csv";
/// What came back, and what `MailWizz` learns of.
const FEEDBACK: &str = "/var/log/pmta/feedback.csv";

/// Two files: what statistics count, and what `MailWizz` learns of.
pub(super) fn files(text: &mut Text, configuration: &Configuration) {
    text.comment("Accounting files, read by the agent.");
    text.section("acct-file", RESULTS, |text| {
        text.line("records", "d,b,t");
        text.line("max-size", &configuration.accounting_max_size);
    });
    text.section("acct-file", FEEDBACK, |text| {
        text.line("records", "b,rb,f");
        for kind in ["b", "rb", "f"] {
            text.line("record-fields", format_args!("{kind} *,header_Message-Id"));
        }
        text.line(
            "map-header-to-field",
            "f header_X-HmXmrOriginalRecipient rcpt",
        );
        text.line("max-size", &configuration.accounting_max_size);
    });
}

/// What the agent counts. Bounces stand in both files and are counted from the first.
#[must_use]
pub fn accounting(configuration: &Configuration) -> AccountingSpec {
    use RecordKind::{Bounced, Complaint, Deferred, Delivered, Returned};

    let file = |path: &str, records: &[RecordKind]| AccountingFile {
        path: HostPath::new(path).expect("it is an absolute path without dots"),
        records: records.to_vec(),
    };
    let identity = |egress: &Egress| AccountedIdentity {
        vmta: egress.vmta.clone(),
        address: egress.address,
        domain: egress.domain.clone(),
    };
    // What drains is sent in its own name still.
    let leaving = configuration.leaving.values().map(|leaver| &leaver.egress);
    let all = configuration.identities.values().chain(leaving);
    let mut identities: Vec<_> = all.map(identity).collect();
    identities.sort_by(|one, other| one.vmta.cmp(&other.vmta));
    AccountingSpec {
        files: vec![
            file(RESULTS, &[Delivered, Bounced, Deferred]),
            file(FEEDBACK, &[Returned, Complaint]),
        ],
        identities,
        rejecting: configuration.tenants.keys().map(reject_name).collect(),
        receivers: receivers(&configuration.catalogue),
        posts: Vec::new(),
        lists: Registry::built_in().list_names(),
    }
}

/// Whose mailboxes are whose, as the catalogue says; what is beyond the bounds is another's.
fn receivers(catalogue: &Catalogue) -> Vec<Receiver> {
    let mut room = limits::RECEIVER_DOMAINS;
    let receiver = |provider: &Provider| {
        let group = ReceiverGroup::new(provider.name.replace('_', "-")).ok()?;
        let queues = provider.rollups.iter().map(|rollup| &rollup.queue);
        let names = provider.domains.iter().chain(queues);
        let mut names: Vec<_> = names.map(|name| name.to_ascii_lowercase()).collect();
        names.sort();
        names.dedup();
        names.truncate(room);
        room -= names.len();
        (!names.is_empty()).then_some(Receiver { group, names })
    };
    let all = catalogue.providers.iter();
    let named = all.filter(|provider| provider.name != EVERYONE);
    named
        .filter_map(receiver)
        .take(limits::RECEIVER_GROUPS)
        .collect()
}
