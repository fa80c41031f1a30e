//! Sections: where they open and what stands behind their names.

use std::fmt;

use super::version::Since;

/// Where a directive stands: its innermost section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is named as its section")]
pub enum Scope {
    AcctFile,
    AddressList,
    Aliases,
    BounceCategoryPatterns,
    BounceProcessor,
    Dns,
    Domain,
    DomainKeyList,
    EmailPatterns,
    FeedbackLoopProcessor,
    Global,
    MxRollupList,
    PatternList,
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
    TransmissionsApiListener,
    VirtualMta,
    VirtualMtaPool,
}

/// What stands behind a section's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Nothing.
    None,
    /// A name or nothing.
    Optional,
    /// One argument.
    Required,
}

/// A section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionRule {
    /// Which it is.
    pub scope: Scope,
    /// Its name in the tag.
    pub name: &'static str,
    /// Where it may open.
    pub parents: &'static [Scope],
    /// What stands behind its name.
    pub argument: Argument,
    /// Section of the guide.
    pub guide: &'static str,
    /// Since when it is known.
    pub since: Since,
}

const fn rule(
    scope: Scope,
    name: &'static str,
    argument: Argument,
    guide: &'static str,
) -> SectionRule {
    SectionRule {
        scope,
        name,
        parents: &[Scope::Global],
        argument,
        guide,
        since: Since::V4_5,
    }
}

impl SectionRule {
    const fn within(self, parents: &'static [Scope]) -> Self {
        Self { parents, ..self }
    }

    const fn new_in(self, since: Since) -> Self {
        Self { since, ..self }
    }
}

const PROCESSORS: &[Scope] = &[Scope::BounceProcessor, Scope::FeedbackLoopProcessor];
const LISTED: &[Scope] = &[
    Scope::Global,
    Scope::BounceProcessor,
    Scope::FeedbackLoopProcessor,
];
const QUEUES: &[Scope] = &[Scope::Global, Scope::VirtualMta, Scope::VirtualMtaPool];
const PATTERNS: &[Scope] = &[Scope::Global, Scope::PatternList];

/// All sections.
pub const SECTIONS: &[SectionRule] = {
    use Argument::{None, Optional, Required};
    &[
        rule(Scope::AcctFile, "acct-file", Required, "3.3.11"),
        rule(Scope::AddressList, "address-list", Optional, "3.3.5").within(LISTED),
        rule(Scope::Aliases, "aliases", None, "12.9"),
        rule(
            Scope::BounceCategoryPatterns,
            "bounce-category-patterns",
            None,
            "10.8.1",
        ),
        rule(Scope::BounceProcessor, "bounce-processor", None, "3.3.3"),
        rule(Scope::Dns, "dns", None, "3.3.16"),
        rule(Scope::Domain, "domain", Required, "3.3.10").within(QUEUES),
        rule(Scope::DomainKeyList, "domain-key-list", Required, "3.3.19"),
        rule(Scope::EmailPatterns, "email-patterns", None, "3.3.6").within(PROCESSORS),
        rule(
            Scope::FeedbackLoopProcessor,
            "feedback-loop-processor",
            None,
            "3.3.4",
        ),
        rule(Scope::MxRollupList, "mx-rollup-list", None, "10.17"),
        rule(Scope::PatternList, "pattern-list", Required, "3.3.14").within(PATTERNS),
        rule(Scope::Proxy, "proxy", Required, "10.2.1.1").new_in(Since::V5_0),
        rule(Scope::RewriteList, "rewrite-list", Required, "3.3.18"),
        rule(Scope::Signals, "signals", None, "10.1.4.2"),
        rule(Scope::SignalsFilter, "signals-filter", Required, "10.1.4.3"),
        rule(Scope::SmtpListener, "smtp-listener", Required, "3.3.17"),
        rule(
            Scope::SmtpPatternList,
            "smtp-pattern-list",
            Required,
            "3.3.15",
        ),
        rule(Scope::SmtpUser, "smtp-user", Required, "3.3.8"),
        rule(Scope::Source, "source", Required, "3.3.7"),
        rule(Scope::SourceGroup, "source-group", Required, "3.3.9"),
        rule(Scope::Spool, "spool", Required, "3.3.2"),
        rule(Scope::TransmissionsApi, "transmissions-api", None, "3.3.20").new_in(Since::V5_0),
        rule(
            Scope::TransmissionsApiListener,
            "transmissions-api-listener",
            Required,
            "3.3.21",
        )
        .new_in(Since::V5_0),
        rule(Scope::VirtualMta, "virtual-mta", Required, "3.3.12"),
        rule(
            Scope::VirtualMtaPool,
            "virtual-mta-pool",
            Required,
            "3.3.13",
        ),
    ]
};

impl Scope {
    /// The section's name, `global` outside of all.
    #[must_use]
    pub fn name(self) -> &'static str {
        SECTIONS
            .iter()
            .find(|rule| rule.scope == self)
            .map_or("global", |rule| rule.name)
    }

    /// The section of a name, whatever its case.
    #[must_use]
    pub fn section(name: &str) -> Option<&'static SectionRule> {
        SECTIONS
            .iter()
            .find(|rule| rule.name.eq_ignore_ascii_case(name))
    }

    /// The scope that a table calls by this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "global" => Some(Self::Global),
            name => Self::section(name).map(|rule| rule.scope),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("outside of sections"),
            scope => write!(f, "in <{}>", scope.name()),
        }
    }
}
