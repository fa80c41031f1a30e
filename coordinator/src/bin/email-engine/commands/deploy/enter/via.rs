//! How a bare machine is reached: a command of the operator's, to which the words of a remote command are
//! added. Pure.

use std::str::FromStr;

use email_engine_protocol::api::HostSpec;

/// What may be filled in.
const ACCEPTED: &str = "{host}, {address} (the host's first) and {role}";

/// A command with places to be filled in, such as
/// `ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new root@{address}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands::deploy) struct Via {
    /// As a shell would part them; places are filled in afterwards, so that no value is more than a part of
    /// one word.
    words: Vec<Vec<Piece>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Address,
    Host,
    Role,
    Text(String),
}

impl FromStr for Via {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = shlex::split(text).ok_or("a quote or a backslash in it has no end")?;
        if words.is_empty() {
            return Err(format!(
                "it has no word; accepted is a command such as ssh -o BatchMode=yes -o \
                 StrictHostKeyChecking=accept-new root@{{address}}, with {ACCEPTED}"
            ));
        }
        let words = words.iter().map(|word| pieces(word));
        Ok(Self {
            words: words.collect::<Result<_, _>>()?,
        })
    }
}

/// Takes a word apart; `{{` and `}}` stand for a brace.
fn pieces(word: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = word;
    while let Some(char) = rest.chars().next() {
        let doubled = ["{{", "}}"].iter().any(|braces| rest.starts_with(braces));
        if doubled || !matches!(char, '{' | '}') {
            text.push(char);
            rest = &rest[char.len_utf8() * if doubled { 2 } else { 1 }..];
            continue;
        }
        let (place, after) = rest
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('}'))
            .ok_or_else(|| {
                format!(
                    "{word:?} has a single brace; accepted are {ACCEPTED}, and {{{{ for a brace itself"
                )
            })?;
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(match place {
            "address" => Piece::Address,
            "host" => Piece::Host,
            "role" => Piece::Role,
            other => return Err(format!("{{{other}}} is not known; accepted are {ACCEPTED}")),
        });
        rest = after;
    }
    if !text.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

impl Via {
    /// The command for one host.
    pub(in crate::commands::deploy) fn words(&self, host: &HostSpec) -> Vec<String> {
        let filled = |piece: &Piece| match piece {
            Piece::Address => host
                .addresses
                .first()
                .map(ToString::to_string)
                .unwrap_or_default(),
            Piece::Host => host.id.to_string(),
            Piece::Role => host.role.to_string(),
            Piece::Text(text) => text.clone(),
        };
        let words = self.words.iter();
        words
            .map(|pieces| pieces.iter().map(filled).collect())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use email_engine_protocol::id::HostId;
    use proptest::prelude::*;

    use super::*;

    fn host(address: &str) -> HostSpec {
        HostSpec {
            id: HostId::new("pmta1").unwrap(),
            role: "powermta".parse().unwrap(),
            tenant: None,
            addresses: vec![address.parse().unwrap()],
            labels: BTreeMap::new(),
        }
    }

    fn words(text: &str) -> Vec<String> {
        text.parse::<Via>().unwrap().words(&host("2001:db8::1"))
    }

    #[test]
    fn words_are_parted_as_a_shell_does_and_places_filled_in() {
        assert_eq!(
            words("ssh -o 'Proxy Command=x {host}' root@{address}"),
            ["ssh", "-o", "Proxy Command=x pmta1", "root@2001:db8::1"]
        );
        assert_eq!(
            words("./enter-{role}/{host} '' {{}} \"a b\""),
            ["./enter-powermta/pmta1", "", "{}", "a b"]
        );
    }

    #[test]
    fn a_command_that_cannot_be_meant_is_refused_with_what_is_accepted() {
        for (text, said) in [
            ("", "no word"),
            ("ssh 'root", "has no end"),
            ("ssh {addres}", "{addres} is not known; accepted are {host}"),
            ("ssh {address", "a single brace"),
            ("ssh address}", "a single brace"),
        ] {
            let refused = text.parse::<Via>().unwrap_err();
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }

    proptest! {
        /// Whatever stands around a place, the words are as many as a shell would make of the text.
        #[test]
        fn what_is_filled_in_makes_no_further_word(before in "[a-z@-]{0,6}", after in "[a-z@-]{0,6}") {
            let text = format!("run {before}{{host}}{after} end");
            prop_assert_eq!(words(&text), ["run".to_owned(), format!("{before}pmta1{after}"), "end".to_owned()]);
        }
    }
}
