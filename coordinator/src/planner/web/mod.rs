//! What labels say of how a host serves: `web-names`, `php-version`, `mailwizz-wizard` and `monitors`.

mod servers;

use std::collections::BTreeSet;

use email_engine_protocol::id::TenantId;
use email_engine_protocol::mail::DomainName;
use ipnet::IpNet;
use serde::Serialize;

use self::servers::ServerValues;
use super::error::PlanError;
use crate::state::{FleetState, Host, MONITORS_FLEET, MONITORS_LABEL, MONITORS_OWN, account};

/// By which names it is asked; by any when absent.
const NAMES_LABEL: &str = "web-names";
/// Most of them: a label has at most 200 characters.
const NAMES: usize = 16;
/// The version of the distribution's PHP, after which its folders and units are called.
const PHP_LABEL: &str = "php-version";
/// That of Debian 12.
const PHP: &str = "8.2";
/// Versions that the application runs on and distributions have.
const PHPS: [&str; 4] = ["8.1", "8.2", "8.3", "8.4"];
/// Who may reach the wizard that sets the application up: networks, or `closed`. From the host itself
/// alone when absent.
const WIZARD_LABEL: &str = "mailwizz-wizard";
const CLOSED: &str = "closed";

/// A MailWizz host as templates see it.
#[derive(Debug, Serialize)]
pub(super) struct MailwizzValues {
    php: String,
    web_names: Vec<String>,
    wizard_closed: bool,
    /// Networks beside the host itself.
    wizard_from: Vec<String>,
    /// Its tenant's.
    servers: ServerValues,
}

/// An API host as templates see it.
#[derive(Debug, Serialize)]
pub(super) struct ApiValues {
    web_names: Vec<String>,
    /// Its tenants are told apart by the first word of the path: it is nobody's alone.
    shared: bool,
    tenants: Vec<TenantNames>,
}

/// A tenant of an API host as templates see it.
#[derive(Debug, Serialize)]
struct TenantNames {
    id: TenantId,
    account: String,
}

impl ApiValues {
    pub(super) fn of(state: &FleetState, host: &Host) -> Result<Self, PlanError> {
        let tenants = state.tenants_served(host).into_iter();
        let names_said = host.spec.labels.get(NAMES_LABEL);
        Ok(Self {
            web_names: names(names_said.map_or("", String::as_str))?,
            shared: host.spec.tenant.is_none(),
            tenants: tenants
                .map(|id| TenantNames {
                    id: id.clone(),
                    account: account(id),
                })
                .collect(),
        })
    }
}

impl MailwizzValues {
    pub(super) fn of(
        state: &FleetState,
        host: &Host,
        tenant: &TenantId,
    ) -> Result<Self, PlanError> {
        let label = |name: &str| host.spec.labels.get(name).map_or("", String::as_str);
        let wizard = label(WIZARD_LABEL);
        Ok(Self {
            php: php(label(PHP_LABEL))?,
            web_names: names(label(NAMES_LABEL))?,
            wizard_closed: wizard == CLOSED,
            wizard_from: networks(wizard)?,
            servers: ServerValues::of(state, tenant),
        })
    }
}

/// What would be accepted in the place of a label's value.
pub(super) fn label_fault(label: &str, value: &str) -> Option<&'static str> {
    let fault = match label {
        NAMES_LABEL => names(value).err(),
        PHP_LABEL => php(value).err(),
        MONITORS_LABEL if [MONITORS_FLEET, MONITORS_OWN].contains(&value) => None,
        MONITORS_LABEL => return Some("fleet, or own: what is the host's tenant's alone"),
        WIZARD_LABEL if value == CLOSED => None,
        WIZARD_LABEL => networks(value).err(),
        _ => None,
    };
    match fault? {
        PlanError::Value { accepted, .. } => Some(accepted),
        _ => None,
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let all = text.split(|sign: char| sign == ',' || sign.is_whitespace());
    all.filter(|word| !word.is_empty())
}

fn php(text: &str) -> Result<String, PlanError> {
    match text {
        "" => Ok(PHP.to_owned()),
        text if PHPS.contains(&text) => Ok(text.to_owned()),
        text => Err(PlanError::Value {
            field: "label php-version",
            value: text.to_owned(),
            accepted: "8.1, 8.2, 8.3 or 8.4: that of the host's distribution",
        }),
    }
}

/// Each once, in order, so that the same names are the same file.
fn names(text: &str) -> Result<Vec<String>, PlanError> {
    let refused = |value: &str| PlanError::Value {
        field: "label web-names",
        value: value.to_owned(),
        accepted: "at most 16 domains of two or more labels with blanks between them, such as \
                   news.example.com",
    };
    let read = |word: &str| -> Result<String, PlanError> {
        let name = DomainName::new(word).map_err(|_| refused(word))?;
        Ok(name.to_string())
    };
    let names: BTreeSet<String> = words(text).map(read).collect::<Result<_, _>>()?;
    if names.len() > NAMES {
        return Err(refused(text));
    }
    Ok(names.into_iter().collect())
}

fn networks(text: &str) -> Result<Vec<String>, PlanError> {
    if text == CLOSED {
        return Ok(Vec::new());
    }
    let read = |word: &str| -> Result<String, PlanError> {
        let network: Option<IpNet> = word.parse().ok();
        let network = network.ok_or_else(|| PlanError::Value {
            field: "label mailwizz-wizard",
            value: word.to_owned(),
            accepted: "networks with blanks between them, such as 192.0.2.0/24, or the word closed",
        })?;
        Ok(network.trunc().to_string())
    };
    let networks: BTreeSet<String> = words(text).map(read).collect::<Result<_, _>>()?;
    Ok(networks.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_label_may_say_is_named_where_it_says_something_else() {
        assert_eq!(php("").unwrap(), "8.2");
        assert_eq!(php("8.3").unwrap(), "8.3");
        for (said, accepted) in [
            (php("7.4").unwrap_err(), "8.1"),
            (names("example").unwrap_err(), "two or more labels"),
            (names("a.example; include x").unwrap_err(), "two or more"),
            (networks("office").unwrap_err(), "192.0.2.0/24"),
        ] {
            assert!(said.to_string().contains(accepted), "{said}");
        }
        let many: Vec<String> = (0..17).map(|at| format!("n{at}.example.com")).collect();
        assert!(names(&many.join(" ")).is_err());
        assert_eq!(
            names("b.example.com,a.example.com  b.example.com").unwrap(),
            ["a.example.com", "b.example.com"]
        );
        assert_eq!(
            networks("192.0.2.7/24 2001:db8::/48").unwrap(),
            ["192.0.2.0/24", "2001:db8::/48"]
        );
        assert!(networks(CLOSED).unwrap().is_empty());
        for (label, good, bad) in [
            (PHP_LABEL, "8.3", "8.5"),
            (WIZARD_LABEL, CLOSED, "Closed"),
            (NAMES_LABEL, "news.example.com", "news"),
            (MONITORS_LABEL, "own", "none"),
        ] {
            assert_eq!(label_fault(label, good), None);
            assert!(label_fault(label, bad).is_some(), "{label}");
        }
        assert_eq!(label_fault("anything", "else"), None);
    }

    proptest! {
        /// They stand in a configuration of the web server.
        #[test]
        fn whatever_is_accepted_holds_no_sign_of_the_configuration(text in ".{0,60}") {
            let accepted = names(&text).into_iter().chain(networks(&text)).flatten();
            for word in accepted {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_:/".contains(&b);
                prop_assert!(word.bytes().all(plain), "{word}");
            }
        }
    }
}
