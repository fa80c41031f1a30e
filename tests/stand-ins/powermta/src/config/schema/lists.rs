//! Directives of the smaller sections.

use super::{Directive, directive, with_option};
use crate::config::value::Kind::{
    Address, AddressOrExpression, AnyText, Choice, Cidr, Count, CountOrUnlimited, Days, Domain,
    DomainKey, DomainOrPattern, Flag, Key, List, Name, Path, Rate, Size, Time, VolumeRate,
};

pub(super) const VIRTUAL_MTA: &[Directive] = &[
    directive("smtp-source-host", &[Cidr, Domain], ""),
    directive("auto-cold-virtual-mta", &[Cidr, Domain], ""),
    directive("host-name", &[Domain], ""),
    directive("domain-key", &[DomainKey], ""),
    directive("max-smtp-out", &[CountOrUnlimited], "unlimited"),
    directive("max-smtp-msg-rate", &[Rate], "unlimited"),
    directive("max-smtp-data-volume-rate", &[VolumeRate], "unlimited"),
    directive("cold-virtual-mta", &[Name], ""),
    directive("use-proxy", &[List], ""),
    directive("include-headers-from", &[Path], ""),
    directive("rewrite-list", &[Name], ""),
    directive("include", &[Path], ""),
];

pub(super) const POOL: &[Directive] = &[
    directive("virtual-mta", &[Name], ""),
    directive("domain-key", &[DomainKey], ""),
    directive("max-smtp-out", &[CountOrUnlimited], "unlimited"),
    directive("max-smtp-msg-rate", &[Rate], "unlimited"),
    directive("max-smtp-data-volume-rate", &[VolumeRate], "unlimited"),
    directive("cold-virtual-mta", &[Name], ""),
    directive("include-headers-from", &[Path], ""),
    directive("rewrite-list", &[Name], ""),
];

pub(super) const ACCOUNTING: &[Directive] = &[
    directive("records", &[List], "d,b"),
    directive("record-fields", &[AnyText, List], ""),
    directive("move-to", &[Path], ""),
    directive("move-interval", &[Time], "1d"),
    directive("max-size", &[Size], "250M"),
    directive("delete-after", &[Days], "8d"),
    directive("queue-filter", &[List], ""),
    directive("retry-interval", &[Time], "5m"),
    directive("write-timeout", &[Time], "1m"),
    directive("iso-times", &[Flag], "yes"),
    directive("user-string", &[AnyText], ""),
    directive("map-header-to-field", &[AnyText, AnyText, AnyText], ""),
    directive("world-readable", &[Flag], "no"),
    directive("count-moved-records", &[Flag], "no"),
    directive("sync", &[Flag], "no"),
    with_option(
        "privacy-policy",
        &[
            Choice(&["retain", "redact", "siphash", "hmac-sha256"]),
            AnyText,
        ],
    ),
];

pub(super) const PROCESSOR: &[Directive] = &[
    directive("deliver-unmatched-email", &[Flag], "yes"),
    directive("deliver-matched-email", &[Flag], "no"),
    directive("deliver-email", &[Flag], ""),
    directive("forward-unmatched-to", &[Address], ""),
    directive("forward-errors-to", &[Address], ""),
];

pub(super) const ADDRESSES: &[Directive] = &[
    directive("address", &[AddressOrExpression], ""),
    directive("address-file", &[Path], ""),
    directive("domain", &[DomainOrPattern], ""),
];

pub(super) const EMAIL_PATTERNS: &[Directive] = &[
    directive("body-pattern-file", &[Path], ""),
    directive("log-match-info", &[Flag], "no"),
];

pub(super) const ROLLUP: &[Directive] = &[with_option(
    "mx",
    &[AnyText, AnyText, Choice(&["rollup-by-ip"])],
)];

pub(super) const KEYS: &[Directive] = &[directive("domain-key", &[DomainKey], "")];

pub(super) const REWRITE: &[Directive] = &[
    directive("mail-from", &[AnyText, AnyText], ""),
    directive("from-domain", &[AnyText, AnyText], ""),
];

pub(super) const PROXY: &[Directive] = &[
    directive("server", &[AnyText], ""),
    directive("client", &[AnyText], ""),
];

pub(super) const DNS: &[Directive] = &[
    directive("precached-domains-file", &[Path], ""),
    directive("precached-refresh-interval", &[Time], "5m"),
    directive("precached-max-domains", &[Count(0, 1_000_000)], "500"),
];

pub(super) const SIGNALS: &[Directive] = &[
    directive("api-key", &[AnyText], ""),
    directive("upload-url", &[AnyText], ""),
    directive("engagement-tracking", &[Flag], "no"),
    directive("custom-message-id-header", &[AnyText], ""),
    directive("process-x-sp-subaccount-id", &[Flag], "no"),
    directive("retain-x-sp-subaccount-id", &[Flag], "no"),
    directive("log-verbose", &[Flag], "no"),
    directive("min-free-space", &[Size], "0"),
    with_option(
        "privacy-policy",
        &[
            Choice(&["retain", "redact", "siphash", "hmac-sha256"]),
            AnyText,
        ],
    ),
];

pub(super) const SIGNALS_FILTER: &[Directive] = &[directive("sender-or-from", &[AnyText], "")];

pub(super) const TRANSMISSIONS: &[Directive] = &[
    directive("log-requests", &[Flag], "no"),
    directive("api-key", &[Key], ""),
    directive("log-data", &[Flag], "no"),
    directive("log-tls", &[Flag], "no"),
];

pub(super) const INCLUDE: &[Directive] = &[directive("include", &[Path], "")];
