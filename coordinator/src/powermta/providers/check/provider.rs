//! One provider: its names, domains, limits and shared queues.

use super::super::super::schema::Scope;
use super::super::error::CatalogueError;
use super::super::model::{Provider, Rollup};
use super::settings::{SETTINGS, date, setting, settings};
use super::{refuse, reply};

pub(super) fn provider(provider: &Provider) -> Result<(), CatalogueError> {
    let file = provider.file.as_str();
    let in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if provider.name.is_empty() || provider.name.len() > 40 || !provider.name.bytes().all(in_name) {
        let accepted = "1 to 40 lower-case letters, digits or _";
        return Err(refuse(file, "name", &provider.name, accepted));
    }
    date(file, &provider.checked)?;
    if provider.title.contains(['\n', '\r']) {
        return Err(refuse(file, "title", &provider.title, "one line"));
    }
    if provider.domains.is_empty() && provider.rollups.is_empty() {
        return Err(refuse(file, "domains", "[]", "at least one domain"));
    }
    for domain in &provider.domains {
        let everyone = domain == "*";
        if everyone != provider.is_everyone() || !(everyone || is_domain(domain)) {
            let accepted = "a domain in lower case such as example.com, *.example.com or \
                            [*.]example.com; * for everyone alone";
            return Err(refuse(file, "domains", domain, accepted));
        }
    }
    settings(
        file,
        "settings",
        &provider.settings,
        Scope::Domain,
        &SETTINGS,
    )?;
    provider
        .rollups
        .iter()
        .try_for_each(|rollup| self::rollup(file, rollup))?;
    provider
        .replies
        .iter()
        .try_for_each(|rule| reply::reply(provider, rule))
}

/// Domains in lower case, with the wildcards of the product. Never an address.
pub(in super::super) fn is_domain(text: &str) -> bool {
    let plain = text
        .strip_prefix("[*.]")
        .or_else(|| text.strip_prefix("*."))
        .unwrap_or(text);
    let inner = |c: char| c.is_alphanumeric() && !c.is_uppercase() || c == '-' || c == '_';
    let last = plain.rsplit('.').next().unwrap_or_default();
    plain.contains('.')
        && plain.len() <= 253
        && !last.bytes().all(|b| b.is_ascii_digit())
        && plain
            .split('.')
            .all(|label| !label.is_empty() && label.chars().all(inner))
}

fn rollup(file: &str, rollup: &Rollup) -> Result<(), CatalogueError> {
    if !(rollup.queue.ends_with(".rollup") && is_domain(&rollup.queue)) {
        let accepted = "a name in lower case that ends in .rollup";
        return Err(refuse(file, "rollup.queue", &rollup.queue, accepted));
    }
    if let Some(mx) = rollup.mx.iter().find(|mx| !is_domain(mx)) {
        let accepted = "the name of a host in lower case";
        return Err(refuse(file, "rollup.mx", mx, accepted));
    }
    if rollup.mx.is_empty() {
        return Err(refuse(file, "rollup.mx", "[]", "at least one host"));
    }
    if let Some(mx) = rollup.dangling() {
        let accepted = "a host without *, as long as `hosts` does not say where to deliver";
        return Err(refuse(file, "rollup.mx", mx, accepted));
    }
    if let Some(hosts) = &rollup.hosts {
        setting(Scope::Domain, "smtp-hosts", hosts)
            .map_err(|accepted| refuse(file, "rollup.hosts", hosts, accepted))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_domain;

    #[test]
    fn an_address_is_no_domain() {
        for good in [
            "example.com",
            "*.example.com",
            "[*.]example.com",
            "a.xn--p1ai",
            "x.rollup",
        ] {
            assert!(is_domain(good), "{good}");
        }
        for bad in [
            "192.0.2.7",
            "[192.0.2.7]",
            "*.192.0.2.7",
            "2001:db8::1",
            "Example.com",
            "example",
            ".com",
            "a..b",
            "a b.com",
        ] {
            assert!(!is_domain(bad), "{bad}");
        }
    }
}
