//! Secrets in a role file: what a file holds that no text of a plan does.
//!
//! ```toml
//! [[file]]
//! path = "/etc/email-engine/api/{{ item.account }}.api-key.env"
//! each = "tenant"                 # "key" or "identity" of dkim-key, "certificate" of submission-certificate
//! secret = "api-key"              # or mailwizz-api-key; without each: grafana-admin, metrics-key
//! variable = "API_KEY"            # writes it as a line that systemd reads; as it is when absent
//! mode = "0600"
//! on_remove = "delete"
//! ```
//!
//! What is made after a host is declared, or given by an operator some time, is waited for: until then the
//! host has no such file.

mod key;

use email_engine_protocol::api::TenantSecret;
use email_engine_protocol::desired::FileContent;
use email_engine_protocol::secret::SecretRef;

use super::build::Build;
use super::database;
use super::error::BundleFault;
use super::role::{Each, FileEntry, Secret};
use super::values::Item;
use crate::state::{ACCOUNT, HostSecret, SecretOf};

pub(super) use key::{key, keys};

impl Build<'_> {
    pub(super) fn secret(
        &self,
        entry: &FileEntry,
        secret: Secret,
        item: Option<&Item>,
    ) -> Result<FileContent, BundleFault> {
        let (of, what) = match secret {
            Secret::ApiKey
            | Secret::DatabasePassword
            | Secret::GrafanaAdmin
            | Secret::MailwizzApiKey
            | Secret::MetricsKey => {
                let secret = self.awaited(entry, item)?.cloned();
                let missing = || self.fault("the secret is still to be made");
                let secret = secret.ok_or_else(missing)?;
                return Ok(match entry.variable.clone() {
                    Some(name) => FileContent::Variable { name, secret },
                    None => FileContent::Secret(secret),
                });
            }
            Secret::DkimKey => (
                [Each::Key, Each::Identity].as_slice(),
                "dkim-key is a secret of each identity or of each key",
            ),
            Secret::SubmissionCertificate => (
                [Each::Certificate].as_slice(),
                "submission-certificate is a secret of each certificate",
            ),
        };
        let reference = item.filter(|_| entry.each.is_some_and(|each| of.contains(&each)));
        reference
            .and_then(|item| item.secret.clone())
            .map(FileContent::Secret)
            .ok_or_else(|| self.fault(&format!("{what} of a powermta host")))
    }

    /// The secret that a file is to hold, once it is made or given.
    pub(super) fn awaited(
        &self,
        entry: &FileEntry,
        item: Option<&Item>,
    ) -> Result<Option<&SecretRef>, BundleFault> {
        let of_tenant = |secret| {
            let tenant = item.filter(|_| entry.each == Some(Each::Tenant));
            let tenant = tenant.and_then(Item::tenant);
            tenant
                .map(|tenant| SecretOf::Tenant(tenant, secret))
                .ok_or_else(|| self.fault(&format!("{secret} is a secret of each tenant")))
        };
        let of_host = |secret: HostSecret| match entry.each {
            None => Ok(SecretOf::Host(self.values.host.clone(), secret)),
            Some(_) => {
                let what = secret.as_str();
                Err(self.fault(&format!("{what} is a secret of the host: without each")))
            }
        };
        let of = match entry.secret {
            Some(Secret::ApiKey) => of_tenant(TenantSecret::ApiKey)?,
            Some(Secret::MailwizzApiKey) => of_tenant(TenantSecret::MailwizzApiKey)?,
            Some(Secret::GrafanaAdmin) => of_host(HostSecret::GrafanaAdmin)?,
            Some(Secret::MetricsKey) => of_host(HostSecret::MetricsKey)?,
            Some(Secret::DatabasePassword | Secret::DkimKey | Secret::SubmissionCertificate)
            | None => return self.password(entry, item),
        };
        Ok(self.values.secrets.get(&of.id()))
    }

    /// The password that a file is to hold, once it is made.
    fn password(
        &self,
        entry: &FileEntry,
        item: Option<&Item>,
    ) -> Result<Option<&SecretRef>, BundleFault> {
        let name = entry.database.as_deref().unwrap_or_default();
        if !database::has_password(self.role, name, entry.each) {
            return Err(self.fault(&format!(
                "database is {name:?}, accepted is ENGINE/NAME of a database of this role with login = \
                 \"password\", and each where that one has it"
            )));
        }
        let account = item.and_then(Item::account).unwrap_or_default();
        let name = name.replace(ACCOUNT, &account);
        Ok(self.values.passwords.get(&name))
    }
}
