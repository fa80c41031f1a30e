//! The DNS records of the fleet's identities as files, and which keys are known. Pure.

use std::collections::BTreeSet;

use email_engine_protocol::api::DomainView;

use crate::commands::ips;

/// The table that people open and providers import.
pub(super) const TABLE: &str = "dns-records.csv";
/// As `email-engine domains show` prints them, of all domains.
pub(super) const TEXT: &str = "dns-records.txt";

/// One line per record, with a head; quoted where commas, quotes and blanks ask for it.
pub(super) fn table(domains: &[DomainView]) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["domain", "address", "zone", "name", "type", "value"])?;
    for view in domains {
        for record in &view.records {
            let (domain, zone) = (view.domain.to_string(), view.ip.zone.to_string());
            let address = view.ip.address.to_string();
            let (name, kind, value) = (&record.name, &record.kind, &record.value);
            writer.write_record([&domain, &address, &zone, name, kind, value])?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// As a zone file has them.
pub(super) fn text(domains: &[DomainView]) -> String {
    let mut text = String::new();
    for view in domains {
        text.push_str(&ips::records(view));
        text.push('\n');
    }
    text
}

/// Domains whose public key is not known.
pub(super) fn without_key(domains: &[DomainView]) -> BTreeSet<String> {
    let lacking = domains.iter().filter(|view| !has_key(view));
    lacking.map(|view| view.domain.to_string()).collect()
}

fn has_key(view: &DomainView) -> bool {
    let name = format!("{}._domainkey.{}", view.ip.selector, view.domain);
    let mut records = view.records.iter();
    let found = records.find(|record| record.kind == "TXT" && record.name == name);
    found.is_some_and(|record| {
        let value = record.value.replace(['"', ' '], "");
        let key = value.split(';').find_map(|tag| tag.strip_prefix("p="));
        key.is_some_and(|key| !key.is_empty())
    })
}

/// The name that each address is to have at its provider, in order of address.
pub(super) fn reverse_names(domains: &[DomainView]) -> Vec<(String, String)> {
    let mut names: Vec<_> = domains
        .iter()
        .flat_map(|view| {
            let pointers = view.records.iter().filter(|record| record.kind == "PTR");
            pointers.map(|record| {
                let name = record.value.trim_end_matches('.').to_owned();
                (view.ip.address, name)
            })
        })
        .collect();
    names.sort();
    let names = names.into_iter();
    names
        .map(|(address, name)| (address.to_string(), name))
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use email_engine_protocol::api::{DomainRecord, IpDocument, Settings};
    use email_engine_protocol::id::HostId;

    use super::*;

    pub(in crate::commands::deploy) fn domain(number: usize, key: &str) -> DomainView {
        let text = format!(
            "address = \"192.0.2.{number}\"\ndomain = \"mail{number}.example.com\"\ntenant = \"one\"\n"
        );
        let document: IpDocument = toml::from_str(&text).unwrap();
        let host = HostId::new("pmta1").unwrap();
        let ip = document.resolve(host, "One", &Settings::default()).unwrap();
        let record = |name: String, kind: &str, value: String| DomainRecord {
            until: None,
            name,
            kind: kind.to_owned(),
            value,
        };
        DomainView {
            domain: ip.domain.clone(),
            checked: email_engine_protocol::api::DomainCheck::default(),
            warmup: Vec::new(),
            records: vec![
                record(ip.domain.to_string(), "A", ip.address.to_string()),
                record(
                    format!("mail._domainkey.{}", ip.domain),
                    "TXT",
                    format!("\"v=DKIM1; k=rsa; p={key}\" \"cd\""),
                ),
                record(
                    format!("{number}.2.0.192.in-addr.arpa"),
                    "PTR",
                    format!("{}.", ip.domain),
                ),
            ],
            ip,
        }
    }

    #[test]
    fn a_table_can_be_read_again_whatever_is_in_a_record() {
        let domains = [domain(2, "a,b"), domain(10, "ab")];
        let table = table(&domains).unwrap();
        assert_eq!(
            table.lines().take(3).collect::<Vec<_>>(),
            [
                "domain,address,zone,name,type,value",
                "mail2.example.com,192.0.2.2,mail2.example.com,mail2.example.com,A,192.0.2.2",
                "mail2.example.com,192.0.2.2,mail2.example.com,mail._domainkey.mail2.example.com,TXT,\
                 \"\"\"v=DKIM1; k=rsa; p=a,b\"\" \"\"cd\"\"\"",
            ]
        );
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        let read: Vec<String> = reader
            .records()
            .map(|row| row.unwrap()[5].to_owned())
            .collect();
        let meant = domains.iter().flat_map(|view| &view.records);
        let meant: Vec<String> = meant.map(|record| record.value.clone()).collect();
        assert_eq!(read, meant);
    }

    #[test]
    fn the_text_is_what_domains_show_prints() {
        let domains = [domain(2, "ab"), domain(3, "ab")];
        let shown: Vec<String> = domains.iter().map(ips::records).collect();
        assert_eq!(text(&domains), format!("{}\n", shown.join("\n")));
        assert_eq!(text(&[]), "");
    }

    #[test]
    fn keys_that_are_not_known_and_names_of_addresses_are_found() {
        let mut domains = [domain(10, "ab"), domain(2, "ab")];
        assert_eq!(without_key(&domains), BTreeSet::new());
        domains[0].records[1].value = "\"v=DKIM1; k=rsa; p=\"".to_owned();
        domains[1].records.remove(1);
        assert_eq!(without_key(&domains).len(), 2);
        assert_eq!(
            reverse_names(&domains),
            [
                ("192.0.2.2", "mail2.example.com"),
                ("192.0.2.10", "mail10.example.com")
            ]
            .map(|(address, name)| (address.to_owned(), name.to_owned()))
        );
    }
}
