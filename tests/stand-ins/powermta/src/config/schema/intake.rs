//! Directives of what takes mail in: sources, users, listeners, spools.

use super::{Directive, directive, with_option};
use crate::config::value::Kind::{
    AddressOrEmpty, AnyText, Choice, Count, CountOrUnlimited, Flag, List, Name, Path, Rate, Size,
    SizeOrUnlimited, Time,
};

pub(super) const SOURCE: &[Directive] = &[
    directive("always-allow-relaying", &[Flag], "no"),
    directive("smtp-service", &[Flag], "yes"),
    directive("require-auth", &[Flag], "no"),
    directive("allow-auth", &[Flag], "yes"),
    directive("allow-unencrypted-plain-auth", &[Flag], "no"),
    directive("allow-starttls", &[Flag], "no"),
    directive("require-starttls-before-auth", &[Flag], "no"),
    directive("smtp-max-auth-failure-rate", &[Rate], "unlimited"),
    directive("process-x-virtual-mta", &[Flag], "no"),
    directive("retain-x-virtual-mta", &[Flag], "no"),
    directive("allow-empty-x-virtual-mta", &[Flag], "no"),
    directive("add-x-virtual-mta-header", &[Flag], "no"),
    directive("reject-invalid-virtual-mta", &[Flag], "yes"),
    directive("default-virtual-mta", &[Name], ""),
    directive("pattern-list", &[Name], ""),
    directive("process-x-job", &[Flag], "no"),
    directive("jobid-header", &[AnyText], ""),
    directive("jobid-prefix", &[AnyText], ""),
    directive("retain-x-job", &[Flag], "no"),
    directive("process-x-envid", &[Flag], "no"),
    directive("process-x-dkim-options", &[Flag], "no"),
    directive("retain-x-dkim-options", &[Flag], "no"),
    directive("process-x-dkim-key", &[Flag], "no"),
    directive("retain-x-dkim-key", &[Flag], "no"),
    directive("process-x-schedule", &[Flag], "no"),
    directive("retain-x-schedule", &[Flag], "no"),
    directive("verp-default", &[Flag], "no"),
    directive(
        "add-date-header",
        &[Choice(&["no", "yes", "override"])],
        "no",
    ),
    directive(
        "date-header-time",
        &[Choice(&["reception", "delivery"])],
        "reception",
    ),
    directive("add-message-id-header", &[Flag], "no"),
    directive("add-received-header", &[Flag], "yes"),
    directive("hide-message-source", &[Flag], "no"),
    directive("remove-header", &[List], ""),
    directive("max-message-size", &[SizeOrUnlimited], "unlimited"),
    directive("max-message-hops", &[Count(1, 10_000)], "100"),
    directive("max-rcpt-per-message", &[CountOrUnlimited], "0"),
    directive("too-many-rcpts-fails-message", &[Flag], "no"),
    directive("suppress-local-dsn", &[Flag], "no"),
    directive(
        "dsn-return-default",
        &[Choice(&["headers", "full", "system"])],
        "system",
    ),
    directive("suppression-lists", &[List], ""),
    directive("accept-invalid-recipients", &[Flag], "no"),
    directive("source-group", &[Name], ""),
    directive("bcc", &[AddressOrEmpty], ""),
    directive("rewrite-list", &[Name], ""),
    directive("include", &[Path], ""),
];

pub(super) const CHECKS: &[Directive] = &[
    directive("log-connections", &[Flag], "no"),
    directive("log-commands", &[Flag], "no"),
    directive("log-data", &[Flag], "no"),
    directive("log-tls", &[Flag], "no"),
    directive("allow-mailmerge", &[Flag], "no"),
    directive("always-allow-api-submission", &[Flag], "no"),
    directive("allow-chunking", &[Flag], "yes"),
    directive("allow-smtputf8", &[Flag], "yes"),
    directive("auto-qualify-domain", &[Flag], "yes"),
    directive("disconnect-on-transient-error", &[Flag], "no"),
    directive("broken-auth-clients", &[Flag], "no"),
    directive("smtp-data-timeout", &[Time], "10m"),
    directive("smtp-command-timeout", &[Time], "10m"),
    directive("check-dkim-inbound", &[Flag], "no"),
    directive("trace-dkim-check", &[Flag], "no"),
    directive("trace-spf-check", &[Flag], "no"),
    directive("check-spf-inbound", &[Flag], "no"),
    directive("check-spf-inbound-best-guess", &[AnyText], ""),
    directive("check-spf-inbound-max-void-lookups", &[Count(0, 100)], "2"),
    directive("check-iprev-inbound", &[Flag], "no"),
    directive("trace-iprev-check", &[Flag], "no"),
    directive("reject-iprev-check-temperror", &[Flag], "no"),
    directive("reject-iprev-check-permerror", &[Flag], "no"),
    directive("reject-iprev-check-fail", &[Flag], "no"),
    directive("reject-spf-check-temperror", &[Flag], "yes"),
    directive("reject-spf-check-permerror", &[Flag], "yes"),
    directive("reject-spf-check-fail", &[Flag], "yes"),
];

pub(super) const USER: &[Directive] = &[
    directive("password", &[AnyText], ""),
    directive("source", &[Name], ""),
    directive(
        "authentication-method",
        &[Choice(&["password", "system", "certificate"])],
        "password",
    ),
    directive("tls-certificate", &[Path], ""),
];

pub(super) const GROUP: &[Directive] = &[
    directive("max-smtp-in", &[CountOrUnlimited], "unlimited"),
    directive("reserved-smtp-in", &[CountOrUnlimited], "unlimited"),
];

pub(super) const SPOOL: &[Directive] = &[
    directive("priority", &[Count(1, 100)], "1"),
    directive("deliver-only", &[Flag], "no"),
    directive("delete-file-holders", &[Flag], "no"),
    directive("min-free-space", &[Size], "0"),
];

pub(super) const LISTENER: &[Directive] = &[
    directive("await-slot", &[Flag], "no"),
    directive("immediate-tls", &[Flag], "no"),
    directive("source", &[Name], ""),
    with_option("tls-certificate", &[Path, AnyText]),
    directive("tls-allow-tlsv1.2", &[Flag], "yes"),
    directive("tls-allow-tlsv1.1", &[Flag], "yes"),
    directive("tls-allow-tlsv1", &[Flag], "no"),
    directive("tls-allow-sslv3", &[Flag], "no"),
    directive("tls-ciphers", &[AnyText], ""),
    directive("tls-ca-file", &[Path], ""),
];
