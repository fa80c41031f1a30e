//! Reads `directives.table`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::directive::{Directive, Standing};
use super::effect::Effect;
use super::scope::Scope;
use super::value::Kind;
use super::version::Since;

const TABLE: &str = include_str!("directives.table");

static DIRECTIVES: LazyLock<Vec<Directive>> =
    LazyLock::new(|| read(TABLE).expect("the table is a constant, and a test reads it"));

static BY_KEYWORD: LazyLock<BTreeMap<(&'static str, Scope), &'static Directive>> =
    LazyLock::new(|| {
        let key = |d: &'static Directive| ((d.keyword, d.scope), d);
        DIRECTIVES.iter().map(key).collect()
    });

/// All directives, in the order of the guide's sections.
#[must_use]
pub fn directives() -> &'static [Directive] {
    &DIRECTIVES
}

/// A directive by its keyword in lower case.
#[must_use]
pub fn directive(scope: Scope, keyword: &str) -> Option<&'static Directive> {
    BY_KEYWORD.get(&(keyword, scope)).copied()
}

/// Where a keyword may stand.
#[must_use]
pub fn scopes_of(keyword: &str) -> Vec<Scope> {
    let of = |directive: &&'static Directive| directive.keyword == keyword;
    DIRECTIVES.iter().filter(of).map(|d| d.scope).collect()
}

fn read(table: &'static str) -> Result<Vec<Directive>, String> {
    let mut scope = None;
    let mut directives = Vec::new();
    for (index, line) in table.lines().enumerate() {
        let fault = |what: &str| format!("directives.table:{}: {what}: {line}", index + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            scope = Some(Scope::named(name).ok_or_else(|| fault("no such scope"))?);
            continue;
        }
        let scope = scope.ok_or_else(|| fault("no scope before it"))?;
        directives.push(row(scope, line).ok_or_else(|| fault("not a directive"))?);
    }
    Ok(directives)
}

fn row(scope: Scope, line: &'static str) -> Option<Directive> {
    let cells: Vec<&'static str> = line.split(" | ").map(str::trim).collect();
    let (&[keyword, arguments, default, since, effect, guide], flags) =
        cells.split_at_checked(6)?
    else {
        return None;
    };
    let (arguments, required) = kinds(arguments)?;
    let mut directive = Directive {
        scope,
        keyword,
        arguments,
        required,
        default: None,
        default_4_5: None,
        since: Since::named(since)?,
        effect: match effect {
            "reload" => Effect::Reload,
            "restart" => Effect::Restart,
            "restart-when-queued" => Effect::RestartWhenQueued,
            "restart-monitor" => Effect::RestartMonitor,
            _ => return None,
        },
        guide: (guide != "-").then_some(guide),
        repeats: false,
        standing: Standing::Documented,
    };
    match default.split_once(" 4.5:") {
        Some((now, before)) => {
            directive.default = Some(now);
            directive.default_4_5 = Some(before);
        }
        None => directive.default = (default != "-").then_some(default),
    }
    for flag in flags.iter().flat_map(|cell| cell.split(' ')) {
        match flag.split_once(':').unwrap_or((flag, "")) {
            ("repeat", "") => directive.repeats = true,
            ("unverified", "") => directive.standing = Standing::Unverified,
            ("deprecated", instead) => {
                let instead = (!instead.is_empty()).then_some(instead);
                directive.standing = Standing::Deprecated(instead);
            }
            _ => return None,
        }
    }
    Some(directive)
}

fn kinds(text: &'static str) -> Option<(Vec<Kind>, usize)> {
    let mut kinds = Vec::new();
    let mut required = 0;
    for word in text.split(' ') {
        let optional = word
            .strip_prefix('[')
            .and_then(|word| word.strip_suffix(']'));
        kinds.push(Kind::named(optional.unwrap_or(word))?);
        required += usize::from(optional.is_none());
    }
    Some((kinds, required))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::scope::SECTIONS;
    use super::*;

    #[test]
    fn the_table_is_read_and_no_directive_is_there_twice() {
        let directives = read(TABLE).unwrap();
        assert!(directives.len() > 380, "{}", directives.len());
        assert_eq!(directives.len(), BY_KEYWORD.len());
        for directive in &directives {
            assert!(directive.required <= directive.arguments.len());
            assert_eq!(directive.keyword, directive.keyword.to_ascii_lowercase());
        }
    }

    #[test]
    fn every_section_has_directives_or_lines_of_its_own() {
        for rule in SECTIONS
            .iter()
            .filter(|r| r.scope != Scope::BounceCategoryPatterns)
        {
            assert!(
                DIRECTIVES
                    .iter()
                    .any(|directive| directive.scope == rule.scope),
                "{}",
                rule.name
            );
        }
    }

    #[test]
    fn no_line_of_the_table_is_lost() {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for directive in &*DIRECTIVES {
            *counts.entry(directive.scope.name()).or_default() += 1;
        }
        let counts: Vec<_> = counts.into_iter().collect();
        assert_eq!(counts, COUNTS);
    }

    /// Each section of the guide about a directive is one line here at least.
    #[test]
    fn the_numbers_of_the_guide_have_no_holes() {
        let numbers: BTreeSet<&str> = DIRECTIVES.iter().filter_map(|d| d.guide).collect();
        let mut holes = Vec::new();
        for chapter in SECTIONS.iter().map(|rule| rule.guide).chain(["3.3.1"]) {
            let inner = |number: &&str| {
                let rest = number.strip_prefix(chapter)?.strip_prefix('.')?;
                rest.split('.').next()?.parse::<u32>().ok()
            };
            let told: BTreeSet<u32> = numbers.iter().filter_map(inner).collect();
            let most = told.last().copied().unwrap_or(0);
            let lost = (1..most).filter(|number| !told.contains(number));
            holes.extend(lost.map(|number| format!("{chapter}.{number}")));
        }
        // The first two repeat other sections; the third is about `<domain>` in a pool.
        assert_eq!(holes, ["3.3.10.6", "3.3.10.82", "3.3.13.2"]);
    }

    #[test]
    fn a_section_is_as_old_as_the_oldest_of_its_directives() {
        for rule in SECTIONS {
            let mut own = DIRECTIVES.iter().filter(|d| d.scope == rule.scope);
            let oldest = own.by_ref().map(|d| d.since).min();
            assert_eq!(oldest.unwrap_or(Since::V4_5), rule.since, "{}", rule.name);
        }
    }

    #[test]
    fn every_default_is_a_value_that_the_directive_takes() {
        for directive in &*DIRECTIVES {
            for default in directive.default.into_iter().chain(directive.default_4_5) {
                let named = matches!(default, "none" | "local-names" | "normal-mode" | "*");
                let takes = |kind: &Kind| kind.check(default).is_ok();
                assert!(
                    named || directive.arguments.iter().any(takes),
                    "{} {default}",
                    directive.keyword
                );
            }
        }
    }

    #[test]
    fn what_replaces_a_deprecated_directive_exists() {
        for directive in &*DIRECTIVES {
            if let Standing::Deprecated(Some(instead)) = directive.standing {
                let exists = Scope::section(instead).is_some() || !scopes_of(instead).is_empty();
                assert!(exists, "{}: {instead}", directive.keyword);
            }
        }
    }

    /// The lists of the guide that everything here was decided on.
    #[test]
    fn the_table_has_what_the_guide_lists() {
        for (scope, keywords) in LISTED {
            for keyword in keywords.split_ascii_whitespace() {
                assert!(directive(*scope, keyword).is_some(), "{keyword} {scope}");
            }
        }
        let unverified: BTreeSet<_> = DIRECTIVES
            .iter()
            .filter(|directive| directive.standing == Standing::Unverified)
            .map(|directive| directive.keyword)
            .collect();
        assert_eq!(
            unverified,
            BTreeSet::from([
                "add-gm-token",
                "check-mfrom-outbound",
                "check-pra-outbound",
                "dk-sign",
                // Only in what `show settings` prints.
                "log-data",
                "mx-connection-attempts",
                "remove-received-headers",
                "smtp-multiple-line-response-timeout",
                "sync-msg-create",
                "sync-msg-update",
                "total-max-file",
            ])
        );
        assert!(DIRECTIVES.iter().all(|d| !d.keyword.starts_with("edns")));
    }

    #[test]
    fn defaults_arity_versions_and_effects_are_the_guides() {
        let find = |scope, keyword| directive(scope, keyword).unwrap();
        for (scope, keyword, default) in [
            (Scope::Global, "total-max-smtp-in", "100"),
            (Scope::Global, "total-max-smtp-out", "1200"),
            (Scope::Global, "log-rotate", "8"),
            (Scope::Global, "http-mgmt-port", "8080"),
            (Scope::Source, "reject-invalid-virtual-mta", "true"),
            (Scope::Source, "process-x-virtual-mta", "false"),
            (Scope::Source, "smtp-max-auth-failure-rate", "unlimited"),
            (Scope::Domain, "max-smtp-out", "20"),
            (Scope::Domain, "retry-after", "10m"),
            (Scope::Domain, "bounce-after", "4d12h"),
            (Scope::Domain, "use-starttls", "true"),
            (Scope::Domain, "backoff-retry-after", "1h"),
            (Scope::Domain, "backoff-to-normal-after", "never"),
            (Scope::Domain, "backoff-to-normal-after-delivery", "false"),
            (Scope::Domain, "reenable-source-ip-after", "never"),
            (Scope::Domain, "dkim-sign", "false"),
            (Scope::Domain, "dkim-algorithm", "rsa-sha256"),
            (Scope::Domain, "queue-priority", "50"),
            (Scope::AcctFile, "records", "d,b"),
            (Scope::AcctFile, "max-size", "250M"),
            (Scope::AcctFile, "delete-after", "8d"),
            (Scope::AcctFile, "move-interval", "1d"),
        ] {
            assert_eq!(find(scope, keyword).default, Some(default), "{keyword}");
        }
        let redirect = find(Scope::Global, "http-redirect-to-https");
        assert_eq!(
            (redirect.default, redirect.default_4_5),
            (Some("true"), Some("false"))
        );
        assert_eq!(find(Scope::VirtualMta, "smtp-source-host").required, 2);
        assert_eq!(find(Scope::SmtpListener, "tls-certificate").required, 1);
        assert_eq!(find(Scope::AcctFile, "map-header-to-field").required, 3);
        for (scope, keyword, since) in [
            (Scope::Global, "http-api-key", Since::V5_0),
            (Scope::TransmissionsApi, "api-key", Since::V5_0),
            (Scope::Domain, "http-delivery-url", Since::V5_0),
            (Scope::Domain, "second-dkim-sign", Since::V4_5),
            (Scope::Domain, "use-mta-sts", Since::Later),
        ] {
            assert_eq!(find(scope, keyword).since, since, "{keyword}");
        }
        let slow: Vec<_> = DIRECTIVES
            .iter()
            .filter(|directive| directive.effect != Effect::Reload)
            .map(|directive| (directive.keyword, directive.effect))
            .collect();
        assert_eq!(
            slow,
            [
                ("run-as-root", Effect::Restart),
                ("http-mgmt-port", Effect::RestartMonitor),
                ("type", Effect::RestartWhenQueued),
            ]
        );
        for keyword in [
            "postmaster",
            "host-name",
            "smtp-listener",
            "name-server",
            "domain-key",
        ] {
            assert!(find(Scope::Global, keyword).repeats, "{keyword}");
        }
        assert!(!find(Scope::Source, "pattern-list").repeats);
        assert!(!find(Scope::AcctFile, "records").repeats);
    }

    const COUNTS: [(&str, usize); 26] = [
        ("acct-file", 16),
        ("address-list", 3),
        ("aliases", 1),
        ("bounce-processor", 5),
        ("dns", 3),
        ("domain", 137),
        ("domain-key-list", 1),
        ("email-patterns", 2),
        ("feedback-loop-processor", 5),
        ("global", 81),
        ("mx-rollup-list", 1),
        ("pattern-list", 3),
        ("proxy", 2),
        ("rewrite-list", 2),
        ("signals", 9),
        ("signals-filter", 1),
        ("smtp-listener", 10),
        ("smtp-pattern-list", 2),
        ("smtp-user", 4),
        ("source", 74),
        ("source-group", 2),
        ("spool", 4),
        ("transmissions-api", 4),
        ("transmissions-api-listener", 7),
        ("virtual-mta", 13),
        ("virtual-mta-pool", 9),
    ];

    const LISTED: &[(Scope, &str)] = &[
        (
            Scope::Global,
            "host-name postmaster smtp-listener run-as-root total-max-smtp-in total-max-smtp-out \
             name-server log-file log-rotate spool domain-macro relay-domain relay-address \
             mx-connection-limit ip-connection-limit include-headers-from \
             invalid-virtual-mta-fallback http-mgmt-port http-access http-api-key \
             http-redirect-to-https http-csrf-protection domain-key smtp-source-host include",
        ),
        (
            Scope::Spool,
            "priority deliver-only delete-file-holders min-free-space",
        ),
        (
            Scope::Source,
            "always-allow-relaying smtp-service require-auth allow-auth \
             allow-unencrypted-plain-auth allow-starttls require-starttls-before-auth \
             smtp-max-auth-failure-rate process-x-virtual-mta retain-x-virtual-mta \
             allow-empty-x-virtual-mta reject-invalid-virtual-mta default-virtual-mta pattern-list \
             process-x-job jobid-header jobid-prefix retain-x-job process-x-envid \
             process-x-dkim-options process-x-schedule verp-default add-date-header \
             date-header-time add-message-id-header add-received-header hide-message-source \
             remove-header max-message-size max-rcpt-per-message suppress-local-dsn \
             suppression-lists accept-invalid-recipients source-group log-connections log-commands \
             log-data log-tls allow-mailmerge always-allow-api-submission bcc smtp-data-timeout \
             smtp-command-timeout rewrite-list include",
        ),
        (
            Scope::SmtpUser,
            "password source authentication-method tls-certificate",
        ),
        (
            Scope::VirtualMta,
            "smtp-source-host host-name domain-key max-smtp-out max-smtp-msg-rate \
             max-smtp-data-volume-rate cold-virtual-mta use-proxy include-headers-from rewrite-list \
             include",
        ),
        (
            Scope::VirtualMtaPool,
            "virtual-mta domain-key cold-virtual-mta max-smtp-out max-smtp-msg-rate \
             max-smtp-data-volume-rate include-headers-from rewrite-list",
        ),
        (Scope::PatternList, "mail-from rcpt-to header"),
        (
            Scope::Domain,
            "max-smtp-out max-msg-per-connection max-rcpt-per-message max-rcpt-per-transaction \
             max-msg-rate max-connect-rate max-data-volume-rate max-errors-per-connection \
             source-ip-max-msg-rate source-ip-max-smtp-out max-smtp-out-per-source-ip \
             source-ip-max-connect-rate smtp-out-rampup-interval connection-idle-timeout \
             queue-priority connect-timeout smtp-greeting-timeout data-send-timeout \
             smtp-data-termination-timeout retry-after retry-recipients-after retry-upon-new-mail \
             bounce-after bounce-upon-no-mx bounce-upon-5xx-greeting smtp-421-means-mx-unavailable \
             smtp-553-means-invalid-mailbox type smtp-hosts queue-to reroute-to-virtual-mta \
             disable-mx-rollup auth-username auth-password discard-as-bounce use-starttls \
             require-starttls use-dane use-mta-sts smtp-tls-allow-tlsv1 smtp-tls-allow-tlsv1.1 \
             smtp-tls-allow-tlsv1.2 smtp-tls-ca-file smtp-tls-ciphers reuse-ssl-session log-tls \
             track-recipient-events disable-acct-records max-events-recorded deliver-local-dsn \
             remove-header ignore-8bitmime log-connections log-commands log-resolution dkim-sign \
             dkim-identity dkim-identity-fallback dkim-algorithm dkim-headers \
             dkim-disallow-adding-headers second-dkim-sign second-dkim-headers smtp-pattern-list \
             backoff-max-msg-rate backoff-max-smtp-out backoff-max-connect-rate \
             backoff-retry-after backoff-to-normal-after backoff-to-normal-after-delivery \
             backoff-notify backoff-reroute-to-virtual-mta backoff-upon-all-sources-disabled \
             reenable-source-ip-after max-cold-virtual-mta-msg check-spf-outbound \
             retry-after-dns-error smtp-client-certificate route include",
        ),
        (Scope::SmtpPatternList, "reply include"),
        (Scope::MxRollupList, "mx"),
        (
            Scope::BounceProcessor,
            "deliver-unmatched-email deliver-matched-email forward-unmatched-to forward-errors-to",
        ),
        (Scope::AddressList, "domain address address-file"),
        (
            Scope::AcctFile,
            "records record-fields move-to move-interval max-size delete-after iso-times \
             user-string queue-filter map-header-to-field world-readable sync privacy-policy \
             retry-interval write-timeout",
        ),
    ];
}
