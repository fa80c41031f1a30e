//! Which virtual MTA or pool a message gets: header, then pattern list, then the source's default.

use std::net::IpAddr;

use crate::config::{Config, Layered, PatternList, PatternResult, Subject};
use crate::headers;

/// A list that calls itself would never end.
const DEEPEST: usize = 32;

/// What the choice is made from.
#[derive(Debug)]
pub(super) struct Letter<'a> {
    pub(super) orig: &'a str,
    pub(super) recipients: &'a [String],
    pub(super) message: &'a [u8],
    /// Own address that the client connected to.
    pub(super) own_address: IpAddr,
}

/// The choice, or why the message is refused.
pub(super) fn choose(
    config: &Config,
    source: &Layered<'_>,
    letter: &Letter<'_>,
) -> Result<Option<String>, String> {
    let header = headers::find(letter.message, "x-virtual-mta").map(|body| body.trim().to_owned());
    let asked = header.filter(|_| source.flag("process-x-virtual-mta"));
    if let Some(name) = asked {
        if !name.is_empty() {
            return known_or_fallback(config, source, &name);
        }
        if !source.flag("allow-empty-x-virtual-mta") {
            return Err("X-Virtual-MTA header is empty".to_owned());
        }
    }
    let list = source.text("pattern-list").to_lowercase();
    let matched = config
        .pattern_lists
        .get(&list)
        .and_then(|list| by_list(config, list, letter, 0));
    if let Some(name) = matched {
        return known_or_fallback(config, source, &name);
    }
    let default = source.text("default-virtual-mta");
    if default.eq_ignore_ascii_case("by-smtp-source-ip") {
        let own = config.virtual_mtas.values().find(|vmta| {
            vmta.source_hosts
                .iter()
                .any(|host| host.network.contains(&letter.own_address))
        });
        return Ok(own.map(|vmta| vmta.name.clone()));
    }
    Ok((!default.is_empty()).then_some(default))
}

fn known_or_fallback(
    config: &Config,
    source: &Layered<'_>,
    name: &str,
) -> Result<Option<String>, String> {
    let key = name.to_lowercase();
    if config.virtual_mtas.contains_key(&key) || config.pools.contains_key(&key) {
        return Ok(Some(name.to_owned()));
    }
    if source.flag("reject-invalid-virtual-mta") {
        return Err(format!("invalid VirtualMTA '{name}'"));
    }
    // Without a fallback it is queued under the name, and bounced when its turn comes.
    let fallback = config.settings.text("invalid-virtual-mta-fallback");
    Ok(Some(fallback.unwrap_or(name).to_owned()))
}

fn by_list(
    config: &Config,
    list: &PatternList,
    letter: &Letter<'_>,
    depth: usize,
) -> Option<String> {
    if depth == DEEPEST {
        return None;
    }
    list.rules.iter().find_map(|rule| {
        let hit = match &rule.subject {
            Subject::Any => true,
            Subject::MailFrom(pattern) => pattern.matches(letter.orig),
            // The first hit of any recipient is for the whole message.
            Subject::RcptTo(pattern) => letter.recipients.iter().any(|to| pattern.matches(to)),
            Subject::Header(name, pattern) => {
                headers::find(letter.message, name).is_some_and(|body| pattern.matches(&body))
            }
        };
        if !hit {
            return None;
        }
        match &rule.result {
            PatternResult::VirtualMta(name) => Some(name.clone()),
            PatternResult::Nested(inner) => by_list(config, inner, letter, depth + 1),
            PatternResult::CallTo(name) => config
                .pattern_lists
                .get(name)
                .and_then(|inner| by_list(config, inner, letter, depth + 1)),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    const CONFIG: &str = r"log-file /x/log
<spool /x>
</spool>
<virtual-mta v1>
smtp-source-host 127.0.0.1 v1.example
</virtual-mta>
<virtual-mta v2>
smtp-source-host 127.0.0.2 v2.example
</virtual-mta>
<virtual-mta-pool p>
virtual-mta v1
</virtual-mta-pool>
<pattern-list deep>
rcpt-to /@z\.example$/ virtual-mta=p
</pattern-list>
<pattern-list l>
mail-from /@one\.example$/ virtual-mta=v1
header x-kind /^\s*deep/ call-to:deep
mail-from /@two\.example$/ <pattern-list>
  rcpt-to /vip/ virtual-mta=v2
  * virtual-mta=v1
</pattern-list>
</pattern-list>
<source 0/0>
default-virtual-mta by-smtp-source-ip
</source>
<source 127.0.0.0/8>
process-x-virtual-mta yes
pattern-list l
</source>
<source shared>
process-x-virtual-mta no
</source>";

    fn chosen(
        from: &str,
        to: &str,
        headers: &str,
        named: &[&str],
    ) -> Result<Option<String>, String> {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("config");
        fs::write(&file, CONFIG).unwrap();
        let config = Config::read(&file).unwrap();
        let source = config.source_settings("127.0.0.9".parse().unwrap(), named);
        let message = format!("{headers}\r\n");
        let letter = Letter {
            orig: from,
            recipients: &[to.to_owned()],
            message: message.as_bytes(),
            own_address: "127.0.0.2".parse().unwrap(),
        };
        choose(&config, &source, &letter)
    }

    fn is(name: &str) -> Result<Option<String>, String> {
        Ok(Some(name.to_owned()))
    }

    #[test]
    fn the_header_outranks_the_list_and_the_list_the_default() {
        let header = "X-Virtual-MTA: P\r\n";
        assert_eq!(chosen("a@one.example", "b@x.example", header, &[]), is("P"));
        assert_eq!(chosen("a@one.example", "b@x.example", "", &[]), is("v1"));
        assert_eq!(chosen("a@other.example", "b@x.example", "", &[]), is("v2"));
    }

    #[test]
    fn a_source_that_does_not_process_the_header_ignores_it() {
        let header = "X-Virtual-MTA: v2\r\n";
        assert_eq!(
            chosen("a@one.example", "b@x.example", header, &["shared"]),
            is("v1")
        );
    }

    #[test]
    fn an_unknown_name_in_the_header_is_refused() {
        assert!(chosen("a@one.example", "b@x.example", "X-Virtual-MTA: no\r\n", &[]).is_err());
        assert!(chosen("a@one.example", "b@x.example", "X-Virtual-MTA:\r\n", &[]).is_err());
    }

    #[test]
    fn lists_call_and_contain_lists() {
        assert_eq!(
            chosen("a@q.example", "b@z.example", "X-Kind: deep\r\n", &[]),
            is("p")
        );
        assert_eq!(chosen("a@two.example", "vip@x.example", "", &[]), is("v2"));
        assert_eq!(chosen("a@two.example", "b@x.example", "", &[]), is("v1"));
    }
}
