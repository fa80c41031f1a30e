//! What a configuration means, once it has been read without a fault.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::pattern::{DomainPattern, Expression};
use super::settings::Settings;

/// The whole configuration. Names of virtual MTAs, pools and lists are keys in lower case.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read.
    pub file: PathBuf,
    /// Directives of the top of the file.
    pub settings: Settings,
    /// Main name first.
    pub host_names: Vec<String>,
    /// Where mail is taken.
    pub listeners: Vec<Listener>,
    /// What STARTTLS shows on listeners without one of their own.
    pub certificate: Option<Certificate>,
    /// Resolvers, in order.
    pub name_servers: Vec<IpAddr>,
    /// The daemon's log.
    pub log_file: PathBuf,
    /// Spool directories; highest priority first.
    pub spools: Vec<PathBuf>,
    /// Mail for these is taken from anyone.
    pub relay_domains: Vec<DomainPattern>,
    /// So is mail for these.
    pub relay_addresses: Vec<AddressMatch>,
    /// Who gets mail for an address instead; the first that fits.
    pub aliases: Vec<Alias>,
    /// Rules for who may do what, in the order of the file.
    pub sources: Vec<Source>,
    /// Who may log in.
    pub users: Vec<SmtpUser>,
    /// Sending identities.
    pub virtual_mtas: BTreeMap<String, VirtualMta>,
    /// Groups of them.
    pub pools: BTreeMap<String, Pool>,
    /// Rules that choose a virtual MTA.
    pub pattern_lists: BTreeMap<String, PatternList>,
    /// What a reply of a receiver causes.
    pub reply_lists: BTreeMap<String, Vec<ReplyRule>>,
    /// What a diagnostic means.
    pub bounce_categories: Vec<(Expression, String)>,
    /// Where events are written.
    pub accounting: Vec<AccountingFile>,
    /// Asynchronous bounces.
    pub bounce_processor: Option<Processor>,
    /// Complaints.
    pub feedback_processor: Option<Processor>,
    /// Named lists, such as of suppressed addresses.
    pub address_lists: BTreeMap<String, Vec<AddressMatch>>,
    /// Domains that share a queue because they share mail exchangers.
    pub rollups: Vec<RollupRule>,
    /// Addresses of no virtual MTA.
    pub source_hosts: Vec<SourceHost>,
    /// Keys of no virtual MTA.
    pub domain_keys: Vec<DomainKey>,
    /// `<domain>` of the top of the file.
    pub domains: Vec<(DomainMatch, Settings)>,
    /// Directives that are taken and not carried out, with the place of the first.
    pub idle: Vec<String>,
    /// Web monitor: first match decides.
    pub http_access: Vec<(IpNet, String)>,
}

/// A line of `<aliases>`.
#[derive(Clone, Debug)]
pub struct Alias {
    /// Local part; absent for every one.
    pub local: Option<String>,
    /// Domain; absent for each of the machine's own names.
    pub domain: Option<String>,
    /// Who gets it.
    pub targets: Vec<String>,
}

/// A pattern of a `<domain>`, and whether a macro brought it.
#[derive(Clone, Debug)]
pub struct DomainMatch {
    /// Which domains.
    pub pattern: DomainPattern,
    /// A domain listed by name wins over the same from a macro.
    pub from_macro: bool,
}

/// `smtp-listener`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Own addresses on which connections are taken.
    pub network: IpNet,
    /// The port.
    pub port: u16,
    /// Named source, whose settings win.
    pub source: Option<String>,
    /// TLS from the first byte.
    pub immediate_tls: bool,
    /// What STARTTLS shows here, where it is not what every listener shows.
    pub certificate: Option<Certificate>,
}

/// A line that names a file with certificates and key, as it is written, and what was read from it.
#[derive(Clone)]
pub struct Certificate {
    /// The line's value.
    pub written: String,
    /// The server that it makes.
    pub server: Arc<rustls::ServerConfig>,
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

/// Whom a `<source>` is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceMatch {
    /// Clients of these addresses.
    Network(IpNet),
    /// Whoever a listener or user names it for.
    Named(String),
}

/// `<source>`.
#[derive(Clone, Debug)]
pub struct Source {
    /// Whom.
    pub matches: SourceMatch,
    /// What.
    pub settings: Settings,
}

/// `<smtp-user>`.
#[derive(Clone)]
pub struct SmtpUser {
    /// The name to log in with.
    pub name: String,
    /// Clear text, as in the file.
    pub password: Option<String>,
    /// The source whose settings apply.
    pub source: Option<String>,
}

impl fmt::Debug for SmtpUser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SmtpUser")
            .field("name", &self.name)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// `smtp-source-host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceHost {
    /// Addresses to connect from.
    pub network: IpNet,
    /// What is said in EHLO.
    pub host: String,
}

/// `domain-key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainKey {
    /// `s=`.
    pub selector: String,
    /// `d=`; absent for `*`.
    pub domain: Option<String>,
    /// Private key in PEM.
    pub file: PathBuf,
}

/// `<virtual-mta>`.
#[derive(Clone, Debug)]
pub struct VirtualMta {
    /// As written in the file.
    pub name: String,
    /// Addresses and EHLO names.
    pub source_hosts: Vec<SourceHost>,
    /// Keys, tried before the pool's and the global ones.
    pub domain_keys: Vec<DomainKey>,
    /// Own directives.
    pub settings: Settings,
    /// Own `<domain>` sections.
    pub domains: Vec<(DomainMatch, Settings)>,
}

/// `<virtual-mta-pool>`.
#[derive(Clone, Debug)]
pub struct Pool {
    /// As written in the file.
    pub name: String,
    /// Names of virtual MTAs, in order.
    pub members: Vec<String>,
    /// Keys after the virtual MTA's own.
    pub domain_keys: Vec<DomainKey>,
    /// Own directives.
    pub settings: Settings,
    /// Own `<domain>` sections.
    pub domains: Vec<(DomainMatch, Settings)>,
}

/// Rules, the first that matches decides.
#[derive(Clone, Debug, Default)]
pub struct PatternList {
    /// In order.
    pub rules: Vec<PatternRule>,
}

/// A line of a pattern list.
#[derive(Clone, Debug)]
pub struct PatternRule {
    /// What is compared.
    pub subject: Subject,
    /// What follows from a match.
    pub result: PatternResult,
}

/// What a pattern is compared with.
#[derive(Clone, Debug)]
pub enum Subject {
    /// `*`: matches whatever.
    Any,
    /// A header's whole body.
    Header(String, Expression),
    /// The envelope sender.
    MailFrom(Expression),
    /// An envelope recipient.
    RcptTo(Expression),
}

/// Where a match leads.
#[derive(Clone, Debug)]
pub enum PatternResult {
    /// Another list, by name.
    CallTo(String),
    /// A list written in place.
    Nested(PatternList),
    /// A virtual MTA or a pool.
    VirtualMta(String),
}

/// A line of `<smtp-pattern-list>`.
#[derive(Clone, Debug)]
pub struct ReplyRule {
    /// What a reply is compared with.
    pub reply: Expression,
    /// What is done.
    pub actions: Vec<ReplyAction>,
}

/// What a reply causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyAction {
    /// `mode=backoff`.
    Backoff,
    /// `bounce-queue`.
    BounceQueue,
    /// `bounce-rcpt`.
    BounceRcpt,
    /// `defer-queue`.
    DeferQueue,
    /// `disable-source-ip[,reenable-after=T]`.
    DisableSource(Option<Duration>),
    /// `mode=normal`.
    Normal,
    /// `skip-mx`.
    SkipMx,
}

/// `<acct-file>`.
#[derive(Clone, Debug)]
pub struct AccountingFile {
    /// A path; with `|` in front, a program and its arguments.
    pub target: String,
    /// Short names of record types.
    pub records: Vec<String>,
    /// Fields per record type, as written.
    pub fields: Vec<(String, Vec<String>)>,
    /// `map-header-to-field`: type, `header_X`, field.
    pub mapped: Vec<(String, String, String)>,
    /// The rest.
    pub settings: Settings,
}

/// `<bounce-processor>` or `<feedback-loop-processor>`.
#[derive(Clone, Debug)]
pub struct Processor {
    /// Which recipients it looks at.
    pub addresses: Vec<AddressMatch>,
    /// Whither mail goes that is no report.
    pub forward_unmatched: Vec<String>,
    /// The rest.
    pub settings: Settings,
}

/// A line of an address list.
#[derive(Clone, Debug)]
pub enum AddressMatch {
    /// One address; without `@`, a local part.
    Address(String),
    /// All of a domain.
    Domain(DomainPattern),
    /// A regular expression.
    Expression(Expression),
}

impl AddressMatch {
    /// Whether an address is meant.
    pub fn matches(&self, address: &str) -> bool {
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        match self {
            Self::Address(own) if own.contains('@') => own.eq_ignore_ascii_case(address),
            Self::Address(own) => address
                .rsplit_once('@')
                .is_some_and(|(local, _)| local.eq_ignore_ascii_case(own)),
            Self::Domain(pattern) => pattern.matches(domain),
            Self::Expression(expression) => expression.matches(address),
        }
    }
}

/// A line of `<mx-rollup-list>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupRule {
    /// A mail exchanger; `*` in front stands for any label.
    pub exchanger: String,
    /// The queue, ending in `.rollup`.
    pub queue: String,
    /// Compare addresses instead of names.
    pub by_address: bool,
}
