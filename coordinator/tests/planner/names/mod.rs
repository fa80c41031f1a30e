//! Records that identities want, and what they are exported as.

mod exports;

use email_engine_protocol::mail::MailAddress;

use email_engine_coordinator::dns::wanted::wanted_records;
use email_engine_protocol::api::DomainRecord;

use crate::fixture::Fleet;

fn lines(records: &[DomainRecord]) -> Vec<String> {
    let line = |r: &DomainRecord| format!("{} {} {}", r.name, r.kind, r.value);
    records.iter().map(line).collect()
}

#[test]
fn an_identity_wants_its_six_records() {
    let fleet = Fleet::sos_holidays();
    let identity = fleet.state.identities.values().next().unwrap();
    let tenant = &fleet.state.tenants[&identity.spec.tenant];
    let host = fleet.state.hosts.get(&identity.spec.host);
    let got = lines(&wanted_records(identity, tenant, host));
    let wanted = [
        "mail1.sos-holidays.com A 192.0.2.1",
        "mail1.sos-holidays.com MX 10 mail1.sos-holidays.com.",
        "mail1.sos-holidays.com TXT \"v=spf1 ip4:192.0.2.1 -all\"",
        "mail._domainkey.mail1.sos-holidays.com TXT \"v=DKIM1; k=rsa; p=",
        "_dmarc.mail1.sos-holidays.com TXT \"v=DMARC1; p=none; rua=mailto:",
        "1.2.0.192.in-addr.arpa PTR mail1.sos-holidays.com.",
    ];
    assert_eq!(got.len(), wanted.len());
    for (got, wanted) in got.iter().zip(wanted) {
        assert!(got.starts_with(wanted), "{got}");
    }
}

#[test]
fn an_ipv6_identity_has_its_own_forms() {
    let fleet = Fleet::sos_holidays();
    let mut identity = (**fleet.state.identities.values().next().unwrap()).clone();
    identity.spec.address = "2001:db8::1".parse().unwrap();
    let mut tenant = fleet.state.tenants[&identity.spec.tenant].clone();
    tenant.dmarc_rua = Some(MailAddress::new("dmarc@reports.example.net").unwrap());
    let host = fleet.state.hosts.get(&identity.spec.host);
    let got = lines(&wanted_records(&identity, &tenant, host)).join("\n");
    for wanted in [
        "mail1.sos-holidays.com AAAA 2001:db8::1",
        "\"v=spf1 ip6:2001:db8::1 -all\"",
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR",
        "mail1.sos-holidays.com._report._dmarc.reports.example.net TXT \"v=DMARC1\"",
    ] {
        assert!(got.contains(wanted), "{wanted} not in\n{got}");
    }
}

/// Values of the MX records of the first identity.
fn exchangers(fleet: &Fleet, address: &str) -> Vec<String> {
    let mut identity = (**fleet.state.identities.values().next().unwrap()).clone();
    let tenant = &fleet.state.tenants[&identity.spec.tenant];
    let host = fleet.state.hosts.get(&identity.spec.host);
    identity.spec.address = address.parse().unwrap();
    let records = wanted_records(&identity, tenant, host).into_iter();
    let records = records.filter(|record| record.kind == "MX");
    records.map(|record| record.value).collect()
}

#[test]
fn a_domain_has_an_mx_only_where_somebody_takes_its_mail() {
    let own = "10 mail1.sos-holidays.com.";
    let (v4, v6) = ("192.0.2.1", "2001:db8::1");
    let fleet = Fleet::sos_holidays();
    assert_eq!(exchangers(&fleet, v4), [own]);
    assert_eq!(exchangers(&fleet, v6), [""; 0], "nothing listens there");
    let elsewhere = fleet.clone().labelled("inbound-mx", "mx.example.net");
    for address in [v4, v6] {
        assert_eq!(exchangers(&elsewhere, address), ["10 mx.example.net."]);
    }
    let unlabelled = fleet.unlabelled();
    assert_eq!(
        exchangers(&unlabelled, v4),
        [""; 0],
        "its host takes no mail from outside"
    );
    let elsewhere = unlabelled.labelled("inbound-mx", "mx.example.net");
    assert_eq!(exchangers(&elsewhere, v4), ["10 mx.example.net."]);
}
