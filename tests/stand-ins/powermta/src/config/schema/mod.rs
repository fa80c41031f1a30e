//! Which directives and sections exist, where they may stand and what they take.

mod delivery;
mod global;
mod idle;
mod intake;
mod lists;

pub(super) use idle::is_idle;

use super::value::Kind;

/// Where a directive may stand: the top of the file, or a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    AccountingFile,
    AddressList,
    Aliases,
    BounceCategories,
    BounceProcessor,
    Dns,
    Domain,
    DomainKeyList,
    EmailPatterns,
    FeedbackLoopProcessor,
    Global,
    MxRollupList,
    PatternList,
    Pool,
    Proxy,
    RewriteList,
    Signals,
    SignalsFilter,
    SmtpListener,
    SmtpPatternList,
    SmtpUser,
    Source,
    SourceGroup,
    Spool,
    TransmissionsApi,
    TransmissionsListener,
    VirtualMta,
}

/// A directive: its arguments in order, the last `optional` of which may be absent.
#[derive(Debug)]
pub(super) struct Directive {
    pub(super) name: &'static str,
    pub(super) arguments: &'static [Kind],
    pub(super) optional: usize,
    pub(super) default: &'static str,
}

/// A directive with as many arguments as are named.
const fn directive(
    name: &'static str,
    arguments: &'static [Kind],
    default: &'static str,
) -> Directive {
    Directive {
        name,
        arguments,
        optional: 0,
        default,
    }
}

/// A directive whose last argument may be absent.
const fn with_option(name: &'static str, arguments: &'static [Kind]) -> Directive {
    Directive {
        name,
        arguments,
        optional: 1,
        default: "",
    }
}

/// The directive of this name that may stand here.
pub(super) fn find(scope: Scope, name: &str) -> Option<&'static Directive> {
    let name = name.to_ascii_lowercase();
    of(scope)
        .iter()
        .flat_map(|table| table.iter())
        .find(|known| known.name == name)
}

/// Whether the name exists somewhere, for a better complaint.
pub(super) fn exists(name: &str) -> bool {
    ALL.iter().any(|scope| find(*scope, name).is_some())
}

/// Directives of a `<domain>`, in the order of `show settings`.
pub(super) fn of_domains() -> impl Iterator<Item = &'static Directive> {
    of(Scope::Domain).iter().flat_map(|table| table.iter())
}

/// What stands inside a section of this name at this place, and whether it takes an argument.
pub(super) fn section(outer: Scope, name: &str) -> Option<(Scope, Argument)> {
    let inner = match (outer, name.to_ascii_lowercase().as_str()) {
        (Scope::Global, "spool") => (Scope::Spool, Argument::Path),
        (Scope::Global, "source") => (Scope::Source, Argument::Needed),
        (Scope::Global, "source-group") => (Scope::SourceGroup, Argument::Needed),
        (Scope::Global, "smtp-user") => (Scope::SmtpUser, Argument::Needed),
        (Scope::Global, "smtp-listener") => (Scope::SmtpListener, Argument::Needed),
        (Scope::Global | Scope::VirtualMta | Scope::Pool, "domain") => {
            (Scope::Domain, Argument::Needed)
        }
        (Scope::Global, "virtual-mta") => (Scope::VirtualMta, Argument::Needed),
        (Scope::Global, "virtual-mta-pool") => (Scope::Pool, Argument::Needed),
        (Scope::Global, "pattern-list") => (Scope::PatternList, Argument::Needed),
        (Scope::Global, "smtp-pattern-list") => (Scope::SmtpPatternList, Argument::Needed),
        (Scope::Global, "bounce-category-patterns") => (Scope::BounceCategories, Argument::None),
        (Scope::Global, "acct-file") => (Scope::AccountingFile, Argument::Path),
        (Scope::Global, "bounce-processor") => (Scope::BounceProcessor, Argument::None),
        (Scope::Global, "feedback-loop-processor") => {
            (Scope::FeedbackLoopProcessor, Argument::None)
        }
        (Scope::Global, "address-list") => (Scope::AddressList, Argument::Needed),
        (Scope::BounceProcessor | Scope::FeedbackLoopProcessor, "address-list") => {
            (Scope::AddressList, Argument::None)
        }
        (Scope::BounceProcessor | Scope::FeedbackLoopProcessor, "email-patterns") => {
            (Scope::EmailPatterns, Argument::None)
        }
        (Scope::Global, "mx-rollup-list") => (Scope::MxRollupList, Argument::None),
        (Scope::Global, "rewrite-list") => (Scope::RewriteList, Argument::Needed),
        (Scope::Global, "domain-key-list") => (Scope::DomainKeyList, Argument::Needed),
        (Scope::Global, "proxy") => (Scope::Proxy, Argument::Needed),
        (Scope::Global, "dns") => (Scope::Dns, Argument::None),
        (Scope::Global, "aliases") => (Scope::Aliases, Argument::None),
        (Scope::Global, "signals") => (Scope::Signals, Argument::None),
        (Scope::Global, "signals-filter") => (Scope::SignalsFilter, Argument::Needed),
        (Scope::Global, "transmissions-api") => (Scope::TransmissionsApi, Argument::None),
        (Scope::Global, "transmissions-api-listener") => {
            (Scope::TransmissionsListener, Argument::Needed)
        }
        _ => return None,
    };
    Some(inner)
}

/// What follows a section's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    None,
    Needed,
    Path,
}

fn of(scope: Scope) -> &'static [&'static [Directive]] {
    match scope {
        Scope::AccountingFile => &[lists::ACCOUNTING],
        Scope::AddressList => &[lists::ADDRESSES],
        Scope::BounceProcessor | Scope::FeedbackLoopProcessor => &[lists::PROCESSOR],
        Scope::Dns => &[lists::DNS],
        Scope::Domain => &[delivery::ROUTE, delivery::LIMITS, delivery::SIGNING],
        Scope::DomainKeyList => &[lists::KEYS],
        Scope::EmailPatterns => &[lists::EMAIL_PATTERNS],
        Scope::Global => &[global::CORE, global::MONITOR, global::SERVER],
        Scope::MxRollupList => &[lists::ROLLUP],
        Scope::Pool => &[lists::POOL],
        Scope::Proxy => &[lists::PROXY],
        Scope::RewriteList => &[lists::REWRITE],
        Scope::Signals => &[lists::SIGNALS],
        Scope::SignalsFilter => &[lists::SIGNALS_FILTER],
        Scope::SmtpListener => &[intake::LISTENER],
        Scope::SmtpUser => &[intake::USER],
        Scope::Source => &[intake::SOURCE, intake::CHECKS],
        Scope::SourceGroup => &[intake::GROUP],
        Scope::Spool => &[intake::SPOOL],
        Scope::TransmissionsApi => &[lists::TRANSMISSIONS],
        Scope::TransmissionsListener => &[intake::LISTENER],
        Scope::VirtualMta => &[lists::VIRTUAL_MTA],
        // Their lines are rules, which `parse` reads by itself.
        Scope::Aliases | Scope::BounceCategories | Scope::PatternList | Scope::SmtpPatternList => {
            &[lists::INCLUDE]
        }
    }
}

const ALL: [Scope; 23] = [
    Scope::AccountingFile,
    Scope::AddressList,
    Scope::BounceProcessor,
    Scope::Dns,
    Scope::Domain,
    Scope::DomainKeyList,
    Scope::EmailPatterns,
    Scope::FeedbackLoopProcessor,
    Scope::Global,
    Scope::MxRollupList,
    Scope::Pool,
    Scope::Proxy,
    Scope::RewriteList,
    Scope::Signals,
    Scope::SignalsFilter,
    Scope::SmtpListener,
    Scope::SmtpUser,
    Scope::Source,
    Scope::SourceGroup,
    Scope::Spool,
    Scope::TransmissionsApi,
    Scope::TransmissionsListener,
    Scope::VirtualMta,
];
