//! What a host is for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tinystr::TinyAsciiStr;

use super::IdError;

/// What a host is for. A role is data; this names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Runs the tenant's API service.
    Api,
    /// Runs MailWizz for exactly one tenant.
    Mailwizz,
    /// Runs PowerMTA and owns the sending addresses.
    Powermta,
    /// Of an operator's own: what it is stands in the role bundle alone.
    Own(RoleName),
}

/// Longest name of a role, in characters.
const CHARS: usize = 24;
const RULE: &str = "api, mailwizz, powermta, or a role of your own: 1 to 24 lower-case letters, digits and \
                    '-', beginning with a letter and not ending with '-'";

/// What the bundle has beside the folders of roles.
const TAKEN: [&str; 1] = ["overrides"];

/// Name of a role of an operator's own, such as `relay`. Small and copied, as roles are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(TinyAsciiStr<CHARS>);

impl RoleName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Role {
    /// The roles that the project itself knows something of, in order of name.
    pub const SHIPPED: [Self; 3] = [Self::Api, Self::Mailwizz, Self::Powermta];

    /// The name used in files, flags and answers.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Api => "api",
            Self::Mailwizz => "mailwizz",
            Self::Powermta => "powermta",
            Self::Own(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if let Some(shipped) = Self::SHIPPED.iter().find(|role| role.as_str() == text) {
            return Ok(*shipped);
        }
        let name = TinyAsciiStr::try_from_str(text).ok();
        let name = name.filter(|_| super::is_slug(text) && !TAKEN.contains(&text));
        name.map(|name| Self::Own(RoleName(name)))
            .ok_or_else(|| IdError {
                what: "role",
                got: text.chars().take(120).collect(),
                rule: RULE,
            })
    }
}

/// Where people do not read it: the number of a shipped role is its place, as that of every variant.
#[derive(Serialize, Deserialize)]
enum Written {
    Api,
    Mailwizz,
    Powermta,
    Own(String),
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.serialize_str(self.as_str());
        }
        match self {
            Self::Api => Written::Api,
            Self::Mailwizz => Written::Mailwizz,
            Self::Powermta => Written::Powermta,
            Self::Own(name) => Written::Own(name.as_str().to_owned()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            return text.parse().map_err(de::Error::custom);
        }
        match Written::deserialize(deserializer)? {
            Written::Api => Ok(Self::Api),
            Written::Mailwizz => Ok(Self::Mailwizz),
            Written::Powermta => Ok(Self::Powermta),
            Written::Own(name) => match name.parse().map_err(de::Error::custom)? {
                own @ Self::Own(_) => Ok(own),
                shipped => Err(de::Error::custom(format_args!(
                    "role {shipped} is no role of an operator's own"
                ))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(name: &str) -> Role {
        name.parse().unwrap()
    }

    #[test]
    fn roles_are_read_as_they_are_shown() {
        let own = own("web-relay2");
        for role in Role::SHIPPED.into_iter().chain([own]) {
            assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
            let text = serde_json::to_string(&role).unwrap();
            assert_eq!(text, format!("{:?}", role.as_str()));
            assert_eq!(serde_json::from_str::<Role>(&text).unwrap(), role);
            let bytes = postcard::to_stdvec(&role).unwrap();
            assert_eq!(postcard::from_bytes::<Role>(&bytes).unwrap(), role);
        }
    }

    #[test]
    fn what_is_no_name_of_a_role_is_refused_with_the_rule() {
        let long = "a".repeat(25);
        for bad in [
            "",
            "Powermta",
            "web relay",
            "-a",
            "a-",
            "1a",
            "é",
            "a/b",
            "..",
            "overrides",
            &long,
        ] {
            let refused = bad.parse::<Role>().unwrap_err();
            assert!(refused.to_string().contains("powermta"), "{refused}");
            let bytes = postcard::to_stdvec(&(3_u8, bad)).unwrap();
            assert!(postcard::from_bytes::<Role>(&bytes).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_shipped_role_is_not_written_as_an_own_one() {
        let bytes = postcard::to_stdvec(&(3_u8, "api")).unwrap();
        assert!(postcard::from_bytes::<Role>(&bytes).is_err());
    }
}
