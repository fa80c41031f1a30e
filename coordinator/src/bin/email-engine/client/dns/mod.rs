//! Calls about DNS.

use reqwest::Method;

use email_engine_protocol::api::{ComplianceView, DnsCheckView, DnsRecordsView, ExportView};
use email_engine_protocol::mail::DomainName;

use super::send::Call;
use super::{Client, ClientError};

impl Client {
    pub(crate) async fn dns_records(
        &self,
        domain: Option<&DomainName>,
    ) -> Result<DnsRecordsView, ClientError> {
        self.ask(of(Call::get(&["dns", "records"]), domain)).await
    }

    pub(crate) async fn dns_compliance(
        &self,
        domain: Option<&DomainName>,
    ) -> Result<Vec<ComplianceView>, ClientError> {
        let call = Call::get(&["dns", "compliance"]);
        self.ask(of(call, domain)).await
    }

    pub(crate) async fn dns_check(
        &self,
        domain: Option<&DomainName>,
    ) -> Result<DnsCheckView, ClientError> {
        let call = Call::write(Method::POST, &["dns", "check"]);
        self.ask(of(call, domain)).await
    }

    pub(crate) async fn dns_export(
        &self,
        format: &str,
        domain: Option<&DomainName>,
    ) -> Result<ExportView, ClientError> {
        let call = Call::get(&["dns", "export"]).query("format", &format);
        self.ask(of(call, domain)).await
    }
}

fn of(call: Call, domain: Option<&DomainName>) -> Call {
    match domain {
        Some(domain) => call.query("domain", domain),
        None => call,
    }
}
