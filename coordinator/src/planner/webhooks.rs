//! Which tenants' MailWizz a PowerMTA host tells of bounces and complaints: those that its label names and
//! whose address is known.

use std::collections::BTreeSet;

use email_engine_protocol::desired::{AccountingPost, AccountingSpec, RecordKind};
use email_engine_protocol::id::TenantId;

use crate::powermta::Configuration;
use crate::state::{FleetState, Host, WEBHOOK_ALL, WEBHOOK_LABEL};

/// Adds them to what is read of the host's accounting files, and says which cannot be.
pub(super) fn add(
    state: &FleetState,
    host: &Host,
    configuration: &Configuration,
    spec: &mut AccountingSpec,
    flags: &mut Vec<String>,
) {
    let Some(named) = host.spec.labels.get(WEBHOOK_LABEL) else {
        return;
    };
    let mut files = spec.files.iter();
    let Some(file) = files.find(|file| file.records.contains(&RecordKind::Complaint)) else {
        return;
    };
    let is_named = |tenant: &TenantId| {
        named == WEBHOOK_ALL || named.split(',').any(|one| one == tenant.as_str())
    };
    let leaving = configuration.leaving.values().map(|leaver| &leaver.egress);
    let all = || configuration.identities.values().chain(leaving.clone());
    let tenants: BTreeSet<_> = all().map(|egress| &egress.tenant).collect();
    for tenant in tenants.into_iter().filter(|tenant| is_named(tenant)) {
        let url = state
            .tenants
            .get(tenant)
            .and_then(|own| own.mailwizz_url.clone());
        let Some(url) = url else {
            flags.push(format!(
                "{WEBHOOK_LABEL}: nothing is posted for {tenant}, which has no mailwizz_url"
            ));
            continue;
        };
        let own = all().filter(|egress| egress.tenant == *tenant);
        let identities: BTreeSet<_> = own.map(|egress| egress.address).collect();
        spec.posts.push(AccountingPost {
            tenant: tenant.clone(),
            url,
            path: file.path.clone(),
            identities: identities.into_iter().collect(),
        });
    }
}
