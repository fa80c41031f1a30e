//! Every directive that is written, where it may stand, and where the vendor's guide (5.0) says so.
//!
//! [`lint`] holds a text against the table. It knows what this fleet writes, which is less than the
//! product takes.

/// Where a directive stands: the sections around it, outermost first.
type Scope = &'static [&'static str];

/// One directive in one scope.
#[derive(Clone, Copy, Debug)]
pub struct Directive {
    /// Sections around it.
    pub scope: Scope,
    /// Its keyword, or the name of a section that may open here (with `<`).
    pub keyword: &'static str,
    /// Fewest and most words of its value.
    pub words: (usize, usize),
    /// Section of the guide.
    pub guide: &'static str,
}

const fn directive(
    scope: Scope,
    keyword: &'static str,
    words: (usize, usize),
    guide: &'static str,
) -> Directive {
    Directive {
        scope,
        keyword,
        words,
        guide,
    }
}

const GLOBAL: Scope = &[];
const DOMAIN: Scope = &["domain"];
const VMTA: Scope = &["virtual-mta"];
const VMTA_DOMAIN: Scope = &["virtual-mta", "domain"];
const LIST: Scope = &["pattern-list"];
const SOURCE: Scope = &["source"];
const ACCT: Scope = &["acct-file"];
const BOUNCE: Scope = &["bounce-processor"];
const FEEDBACK: Scope = &["feedback-loop-processor"];

/// The table.
pub const DIRECTIVES: &[Directive] = &[
    directive(GLOBAL, "host-name", (1, 1), "3.3.1.25"),
    directive(GLOBAL, "postmaster", (1, 1), "3.3.1.3"),
    directive(GLOBAL, "run-as-root", (1, 1), "3.3.1.8"),
    directive(GLOBAL, "log-file", (1, 1), "3.3.1.37.2"),
    directive(GLOBAL, "http-mgmt-port", (1, 1), "3.3.1.36.1"),
    directive(GLOBAL, "http-access", (2, 2), "3.3.1.36.3"),
    directive(GLOBAL, "smtp-listener", (1, 1), "3.3.1.20"),
    directive(GLOBAL, "relay-domain", (1, 1), "3.3.1.32.2"),
    directive(GLOBAL, "<spool", (1, 1), "3.3.2"),
    directive(GLOBAL, "<domain", (1, 1), "3.3.10"),
    directive(GLOBAL, "<virtual-mta", (1, 1), "3.3.12"),
    directive(GLOBAL, "<pattern-list", (1, 1), "3.3.14"),
    directive(GLOBAL, "<source", (1, 1), "3.3.7"),
    directive(GLOBAL, "<acct-file", (1, 1), "3.3.11"),
    directive(GLOBAL, "<bounce-processor", (0, 0), "3.3.3"),
    directive(GLOBAL, "<feedback-loop-processor", (0, 0), "3.3.4"),
    directive(GLOBAL, "<aliases", (0, 0), "12.9"),
    directive(DOMAIN, "dkim-sign", (1, 1), "3.3.10.19"),
    directive(DOMAIN, "dkim-headers", (1, 30), "3.3.10.27"),
    directive(DOMAIN, "use-starttls", (1, 1), "3.3.10.94.1"),
    directive(DOMAIN, "retry-after", (1, 1), "3.3.10.39"),
    directive(DOMAIN, "bounce-after", (1, 1), "3.3.10.11"),
    directive(DOMAIN, "check-spf-outbound", (1, 1), "3.3.10.2"),
    directive(VMTA, "smtp-source-host", (2, 2), "3.3.1.16"),
    directive(VMTA, "domain-key", (1, 1), "3.3.1.33.1"),
    directive(VMTA, "max-smtp-msg-rate", (1, 1), "3.3.12.2"),
    directive(VMTA, "<domain", (1, 1), "3.3.12"),
    directive(VMTA_DOMAIN, "type", (1, 1), "3.3.10.51"),
    directive(VMTA_DOMAIN, "discard-as-bounce", (1, 1), "3.3.10.95.1"),
    directive(VMTA_DOMAIN, "check-spf-outbound", (1, 1), "3.3.10.2"),
    directive(VMTA_DOMAIN, "dkim-sign", (1, 1), "3.3.10.19"),
    directive(VMTA_DOMAIN, "disable-acct-records", (1, 1), "3.3.10.9"),
    directive(LIST, "mail-from", (2, 2), "3.3.14.2"),
    directive(SOURCE, "always-allow-relaying", (1, 1), "3.3.1.32.1"),
    directive(SOURCE, "pattern-list", (1, 1), "3.3.7.39"),
    directive(SOURCE, "process-x-virtual-mta", (1, 1), "3.3.7.48"),
    directive(SOURCE, "remove-header", (1, 1), "3.3.7.8"),
    directive(SOURCE, "process-x-job", (1, 1), "3.3.7.45"),
    directive(SOURCE, "suppress-local-dsn", (1, 1), "3.3.7.27"),
    directive(SOURCE, "default-virtual-mta", (1, 1), "3.3.7.29"),
    directive(ACCT, "records", (1, 1), "3.3.11.11"),
    directive(ACCT, "record-fields", (2, 2), "3.3.11.12"),
    directive(ACCT, "map-header-to-field", (3, 3), "3.3.11.10"),
    directive(ACCT, "max-size", (1, 1), "3.3.11.4"),
    directive(BOUNCE, "deliver-unmatched-email", (1, 1), "3.3.3.1"),
    directive(BOUNCE, "deliver-matched-email", (1, 1), "3.3.3.2"),
    directive(BOUNCE, "forward-errors-to", (1, 1), "3.3.3.5"),
    directive(BOUNCE, "<address-list", (0, 0), "3.3.5"),
    directive(FEEDBACK, "deliver-unmatched-email", (1, 1), "3.3.4.1"),
    directive(FEEDBACK, "deliver-matched-email", (1, 1), "3.3.4.2"),
    directive(FEEDBACK, "forward-errors-to", (1, 1), "3.3.4.5"),
    directive(FEEDBACK, "<address-list", (0, 0), "3.3.5"),
    directive(
        &["bounce-processor", "address-list"],
        "address",
        (1, 1),
        "3.3.5.1",
    ),
    directive(
        &["feedback-loop-processor", "address-list"],
        "address",
        (1, 1),
        "3.3.5.1",
    ),
    directive(&["aliases"], "alias", (2, 2), "12.9"),
];

/// A line that is not in the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text:?}: {fault}")]
pub struct LintError {
    /// Number of the line, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
    /// What is wrong with it.
    pub fault: &'static str,
}

/// Holds every line of a configuration against the table.
///
/// # Errors
/// The first line that is not in it.
pub fn lint(text: &str) -> Result<(), LintError> {
    let mut open: Vec<&str> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let refuse = |fault| LintError {
            line: index + 1,
            text: line.to_owned(),
            fault,
        };
        let content = line.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        if let Some(name) = content.strip_prefix("</") {
            if open.pop() != name.strip_suffix('>') {
                return Err(refuse("closes another section than the open one"));
            }
            continue;
        }
        let tag = content
            .strip_prefix('<')
            .and_then(|rest| rest.strip_suffix('>'));
        let mut words = tag.unwrap_or(content).split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default();
        let count = words.count();
        let known = DIRECTIVES.iter().find(|directive| {
            directive.scope == open
                && match directive.keyword.strip_prefix('<') {
                    Some(section) => tag.is_some() && section == keyword,
                    None => tag.is_none() && directive.keyword == keyword,
                }
        });
        let Some(known) = known else {
            return Err(refuse("no such directive in this place"));
        };
        if !(known.words.0..=known.words.1).contains(&count) {
            return Err(refuse("wrong number of words"));
        }
        if tag.is_some() {
            open.push(keyword);
        }
    }
    open.is_empty().then_some(()).ok_or_else(|| LintError {
        line: text.lines().count(),
        text: String::new(),
        fault: "ends with a section open",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_table_is_named_with_its_line() {
        let text = "host-name a.example.com\n<source 192.0.2.1>\n  default-virtual-mta-pool x\n</source>\n";
        assert_eq!(
            lint(text).unwrap_err().to_string(),
            "line 3: \"  default-virtual-mta-pool x\": no such directive in this place"
        );
        for bad in [
            "smtp-source-host 192.0.2.1 a.example.com\n",
            "host-name\n",
            "<spool /a>\n",
            "<spool /a>\n</domain>\n",
            "</spool>\n",
            "<virtual-mta a b>\n</virtual-mta>\n",
            "virtual-mta a\n",
        ] {
            assert!(lint(bad).is_err(), "{bad}");
        }
        assert_eq!(lint("# a\n\n<spool /a> # b\n</spool>\n"), Ok(()));
    }
}
