//! Calls about DNS.

use reqwest::Method;

use email_engine_protocol::api::{
    ComplianceView, DnsCheckView, DnsRecordsView, ExportView, ZoneApplied, ZoneApplyRequest,
    ZonePlanView, ZoneRequest, ZoneView,
};
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

    pub(crate) async fn dns_zones(&self) -> Result<Vec<ZoneView>, ClientError> {
        self.ask(Call::get(&["dns", "zones"])).await
    }

    pub(crate) async fn set_dns_zone(
        &self,
        zone: &DomainName,
        request: &ZoneRequest,
    ) -> Result<ZoneView, ClientError> {
        let path = ["dns", "zones", zone.as_str()];
        self.ask(Call::write(Method::PUT, &path).json(request))
            .await
    }

    pub(crate) async fn remove_dns_zone(&self, zone: &DomainName) -> Result<(), ClientError> {
        let path = ["dns", "zones", zone.as_str()];
        self.ask(Call::write(Method::DELETE, &path)).await
    }

    pub(crate) async fn dns_plan(
        &self,
        zone: &DomainName,
        adopt: bool,
    ) -> Result<ZonePlanView, ClientError> {
        let call = Call::get(&["dns", "zones", zone.as_str(), "plan"]);
        self.ask(call.query("adopt", &adopt)).await
    }

    pub(crate) async fn dns_apply(
        &self,
        zone: &DomainName,
        request: &ZoneApplyRequest,
    ) -> Result<ZoneApplied, ClientError> {
        let path = ["dns", "zones", zone.as_str(), "apply"];
        self.ask(Call::write(Method::POST, &path).json(request))
            .await
    }
}

fn of(call: Call, domain: Option<&DomainName>) -> Call {
    match domain {
        Some(domain) => call.query("domain", domain),
        None => call,
    }
}
