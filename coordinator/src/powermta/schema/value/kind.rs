//! Kinds of words by the names that the table gives them.

use super::super::super::syntax::{Word, WordFault, Words};
use super::age::choices;
use super::{names, net, quantity, routing};

/// What one argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "each is named as in the table, and `accepted` says what it is"
)]
pub enum Kind {
    Access,
    AcctSize,
    Actions,
    Address,
    AddressOrRegex,
    Addresses,
    ApiKey,
    Boolean,
    /// One of these words, which `|` separates; `@5.0` behind one says since when it is known.
    Choice(&'static str),
    Cidr,
    Count,
    DailyRates,
    DaysOrNever,
    DkimKey,
    Domain,
    HeaderField,
    Host,
    Identity,
    IncludePath,
    Integer,
    Ip,
    List,
    Listener,
    ListenerSource,
    Macro,
    Name,
    Names,
    Path,
    Port,
    Priority,
    Privacy,
    Rate,
    RecordType,
    RecordTypes,
    Regex,
    Result,
    Rollup,
    Routes,
    Secret,
    Signals,
    Size,
    SizeOrUnlimited,
    Text,
    Time,
    TimeOrNever,
    Times,
    VirtualMta,
    VolumeRate,
    Word,
}

const NAMES: &[(&str, Kind)] = &[
    ("access", Kind::Access),
    ("acct-size", Kind::AcctSize),
    ("actions", Kind::Actions),
    ("address", Kind::Address),
    ("address-or-regex", Kind::AddressOrRegex),
    ("addresses", Kind::Addresses),
    ("api-key", Kind::ApiKey),
    ("boolean", Kind::Boolean),
    ("cidr", Kind::Cidr),
    ("count", Kind::Count),
    ("daily-rates", Kind::DailyRates),
    ("days-or-never", Kind::DaysOrNever),
    ("dkim-key", Kind::DkimKey),
    ("domain", Kind::Domain),
    ("header-field", Kind::HeaderField),
    ("host", Kind::Host),
    ("identity", Kind::Identity),
    ("include-path", Kind::IncludePath),
    ("integer", Kind::Integer),
    ("ip", Kind::Ip),
    ("list", Kind::List),
    ("listener", Kind::Listener),
    ("listener-source", Kind::ListenerSource),
    ("macro", Kind::Macro),
    ("name", Kind::Name),
    ("names", Kind::Names),
    ("path", Kind::Path),
    ("port", Kind::Port),
    ("priority", Kind::Priority),
    ("privacy", Kind::Privacy),
    ("rate", Kind::Rate),
    ("record-type", Kind::RecordType),
    ("record-types", Kind::RecordTypes),
    ("regex", Kind::Regex),
    ("result", Kind::Result),
    ("rollup", Kind::Rollup),
    ("rollup-by-ip", Kind::Choice("rollup-by-ip")),
    ("routes", Kind::Routes),
    ("secret", Kind::Secret),
    ("signals", Kind::Signals),
    ("size", Kind::Size),
    ("size-or-unlimited", Kind::SizeOrUnlimited),
    ("text", Kind::Text),
    ("time", Kind::Time),
    ("time-or-never", Kind::TimeOrNever),
    ("times", Kind::Times),
    ("virtual-mta", Kind::VirtualMta),
    ("volume-rate", Kind::VolumeRate),
    ("word", Kind::Word),
];

/// A word that an argument took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken<'a> {
    /// The word, which may still be no value of the kind.
    Word(Word<'a>),
    /// The value ended before it.
    Absent,
    /// Quotes or slashes are not as they should be.
    Fault(WordFault, usize),
}

/// Takes the next argument of a kind from the front of a value.
pub fn take<'a>(words: &mut Words<'a>, kind: Kind) -> Taken<'a> {
    let offset = words.offset();
    let regex =
        kind == Kind::Regex || (kind == Kind::AddressOrRegex && words.rest().starts_with('/'));
    let taken = if regex {
        words.regex()
    } else if kind.takes_rest() && !words.rest().starts_with('"') {
        let text = words.rest();
        *words = Words::of("");
        if text.is_empty() {
            Err(WordFault::Absent)
        } else {
            let quoted = false;
            Ok(Word {
                text,
                offset,
                quoted,
            })
        }
    } else {
        words.word()
    };
    match taken {
        Ok(word) => Taken::Word(word),
        Err(WordFault::Absent) => Taken::Absent,
        Err(fault) => Taken::Fault(fault, offset),
    }
}

impl Kind {
    pub(in super::super) fn named(name: &'static str) -> Option<Self> {
        if let Some((_, kind)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Some(*kind);
        }
        name.contains('|').then_some(Self::Choice(name))
    }

    /// Whether it is all that is left of a line, blanks included.
    #[must_use]
    pub const fn takes_rest(self) -> bool {
        matches!(
            self,
            Self::Actions
                | Self::Addresses
                | Self::DailyRates
                | Self::DkimKey
                | Self::List
                | Self::Names
                | Self::RecordTypes
                | Self::Result
                | Self::Routes
                | Self::Secret
                | Self::Text
                | Self::Times
                | Self::VolumeRate
        )
    }

    /// Whether what it takes must not be shown.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        matches!(self, Self::ApiKey | Self::Secret)
    }

    /// Whether a word is one.
    ///
    /// # Errors
    /// What would be accepted.
    pub fn check(self, text: &str) -> Result<(), String> {
        self.accepts(text)
            .then_some(())
            .ok_or_else(|| self.accepted())
    }

    fn accepts(self, text: &str) -> bool {
        match self {
            Self::Access => names::is_access(text),
            Self::AcctSize | Self::Size => quantity::parse_size(text).is_some(),
            Self::Actions => routing::parse_actions(text).is_some(),
            Self::Address => names::is_address(text),
            Self::AddressOrRegex | Self::Regex | Self::Secret | Self::Text | Self::Word => true,
            Self::Addresses => names::list(text).all(names::is_address),
            Self::ApiKey => names::is_api_key(text),
            Self::Boolean => is_boolean(text),
            Self::Choice(words) => choices(words).any(|(word, _)| match word {
                "boolean" => is_boolean(text),
                "integer" => Self::Integer.accepts(text),
                "time-or-never" => Self::TimeOrNever.accepts(text),
                word => word.eq_ignore_ascii_case(text),
            }),
            Self::Cidr => net::Cidr::parse(text).is_some(),
            Self::Count => text == "unlimited" || Self::Integer.accepts(text),
            Self::DailyRates => names::list(text).all(quantity::is_daily_rate),
            Self::DaysOrNever => text == "never" || quantity::is_days(text),
            Self::DkimKey => routing::parse_dkim_key(text).is_some(),
            Self::Domain => names::is_domain_pattern(text),
            Self::HeaderField => text.len() > 7 && text.to_ascii_lowercase().starts_with("header_"),
            Self::Host => names::is_host(text),
            Self::Identity => names::is_identity(text),
            Self::Integer => text.parse::<u64>().is_ok() && !text.starts_with('+'),
            Self::Ip => text.parse::<std::net::IpAddr>().is_ok(),
            Self::List => names::list(text).all(|word| !word.is_empty()),
            Self::Listener => net::Listener::parse(text).is_some(),
            Self::ListenerSource => text.strip_prefix("source=").is_some_and(names::is_name),
            Self::Macro => names::is_macro(text),
            Self::Name | Self::VirtualMta => names::is_name(text),
            Self::Names => names::list(text).all(names::is_name),
            Self::IncludePath | Self::Path => !text.is_empty(),
            Self::Port => text.parse::<u16>().is_ok(),
            Self::Priority => text.parse::<u8>().is_ok_and(|n| n <= 100),
            Self::Privacy => names::is_privacy(text),
            Self::Rate => quantity::parse_rate(text).is_some(),
            Self::RecordType => routing::is_record_type(text),
            Self::RecordTypes => names::list(text).all(routing::is_record_type),
            Self::Result => routing::parse_result(text).is_some(),
            Self::Rollup => names::is_name(text),
            Self::Routes => text.is_empty() || names::are_routes(text),
            Self::Signals => names::is_signals(text),
            Self::SizeOrUnlimited => {
                matches!(text, "0" | "unlimited") || quantity::parse_size(text).is_some()
            }
            Self::Time => quantity::parse_time(text).is_some(),
            Self::TimeOrNever => text == "never" || quantity::parse_time(text).is_some(),
            Self::Times => text
                .split(',')
                .all(|time| quantity::parse_time(time).is_some()),
            Self::VolumeRate => quantity::parse_volume_rate(text).is_some(),
        }
    }

    /// What it accepts, for people.
    #[must_use]
    pub fn accepted(self) -> String {
        let words = match self {
            Self::Access => "none, monitor, monitor,deny-logs, operator or admin",
            Self::AcctSize | Self::Size => "a size such as 50M",
            Self::Actions => "actions such as mode=backoff or disable-source-ip,reenable-after=1h",
            Self::Address => "an address such as postmaster@example.com",
            Self::AddressOrRegex => "an address or /expression/",
            Self::Addresses => "addresses, separated by commas",
            Self::ApiKey => "32 to 128 letters, digits or _",
            Self::Boolean => "yes, no, true or false",
            Self::Choice(words) => {
                let words: Vec<_> = choices(words).map(|(word, _)| word).collect();
                let words = words.join(", ");
                return format!(
                    "one of {}",
                    words.replace("boolean", "yes, no, true, false")
                );
            }
            Self::Cidr => "an address or a range such as 192.0.2.0/24",
            Self::Count => "a number or unlimited",
            Self::DailyRates => "daily numbers such as 50/d,100/d",
            Self::DaysOrNever => "days such as 8d, or never",
            Self::DkimKey => "SELECTOR,DOMAIN,FILE: three parts",
            Self::Domain => "a domain, *, *.DOMAIN or [*.]DOMAIN",
            Self::HeaderField => "header_NAME",
            Self::Host => "one host name such as mail1.example.com",
            Self::Identity => "an address, @DOMAIN, sender-or-from or strict-from",
            Self::Integer => "a whole number",
            Self::Ip => "an address such as 192.0.2.1",
            Self::List | Self::Names => "words, separated by commas",
            Self::Listener => "ADDRESS:PORT such as 192.0.2.1:2525",
            Self::ListenerSource => "source=NAME",
            Self::Macro => "a name of letters, digits and _",
            Self::Name | Self::Rollup | Self::Word => "a name",
            Self::IncludePath | Self::Path => "a path",
            Self::Port => "a port from 0 to 65535",
            Self::Priority => "a number from 0 to 100",
            Self::Privacy => "retain, redact, siphash or hmac-sha256 with its secret",
            Self::Rate => "unlimited, 0 or a rate such as 100/h",
            Self::RecordType => "one of d, b, t, tq, r, f, rb, rs",
            Self::RecordTypes => "record types such as d,b,t",
            Self::Regex => "an expression between slashes",
            Self::Result => "virtual-mta=NAME, recipient-priority=N or call-to:LIST",
            Self::Routes => "hosts, [ADDRESS]:PORT or lookup-mx:DOMAIN, by , and ;",
            Self::Secret => "a secret",
            Self::Signals => "true[,subaccount=N], false or a filter's name",
            Self::SizeOrUnlimited => "unlimited or a size such as 50M",
            Self::Text => "a text",
            Self::Time => "a time such as 4d12h",
            Self::TimeOrNever => "never or a time such as 4d12h",
            Self::Times => "times such as 10m,1h,4h, without blanks",
            Self::VirtualMta => "the name of a virtual MTA",
            Self::VolumeRate => "unlimited, 0 or a volume such as 10G/2h",
        };
        words.to_owned()
    }
}

fn is_boolean(text: &str) -> bool {
    ["yes", "no", "true", "false"]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_takes_what_is_good_and_refuses_what_is_not() {
        for (name, good, bad) in [
            ("access", "monitor,deny-logs", "all"),
            (
                "actions",
                "mode=backoff,disable-source-ip,reenable-after=1h",
                "sleep",
            ),
            ("address", "a@example.com", "a"),
            (
                "addresses",
                "a@example.com, b@example.com",
                "a@example.com,b",
            ),
            ("api-key", "abcd_0123_abcd_0123_abcd_0123_ab", "short"),
            ("boolean", "True", "1"),
            ("cidr", "173.194/16", "300.1/16"),
            ("count", "unlimited", "-1"),
            ("daily-rates", "1/day,2/d", "5/h"),
            ("days-or-never", "8d", "8h"),
            (
                "dkim-key",
                "k1, example.com, /etc/k.pem",
                "k1,example.com,*,/etc/k.pem",
            ),
            ("domain", "[*.]example.com", "a{b"),
            ("header-field", "header_Message-Id", "Message-Id"),
            ("host", "mail1.example.com", "192.0.2.1"),
            ("identity", "@example.com", "x"),
            ("integer", "20", "2.5"),
            ("ip", "2001:db8::1", "192.0.2"),
            ("listener", "0/0:25", "192.0.2.1"),
            ("listener-source", "source=mta1", "mta1"),
            ("macro", "top_1", "a-b"),
            ("name", "vmta-1", "{vmta}"),
            ("port", "65535", "65536"),
            ("priority", "100", "101"),
            ("rate", "83/10m", "100"),
            ("record-types", "d, b,tq", "all"),
            ("result", "call-to: other", "vmta-1"),
            ("routes", "h1.test, h2.test; [192.0.2.1]:2525", "a b"),
            ("signals", "true,subaccount=5", "true,x=1"),
            ("size", "1G", "1GB"),
            ("time", "4d12h", "4x"),
            ("times", "10m,1h", "10m, 1h"),
            ("volume-rate", "10G/2h", "10G"),
            ("boolean|time-or-never", "30m", "soon"),
            ("integer|auto", "auto", "many"),
        ] {
            let kind = Kind::named(name).unwrap();
            assert_eq!(kind.check(good), Ok(()), "{name} {good}");
            assert_eq!(kind.check(bad), Err(kind.accepted()), "{name} {bad}");
        }
    }

    #[test]
    fn words_are_taken_as_their_kinds_say() {
        let mut words = Words::of("x-eval /a b/ call-to: c");
        let mut next = |kind| match take(&mut words, kind) {
            Taken::Word(word) => word.text.to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(next(Kind::Word), "x-eval");
        assert_eq!(next(Kind::Regex), "a b");
        assert_eq!(next(Kind::Result), "call-to: c");
        assert_eq!(take(&mut words, Kind::Word), Taken::Absent);
        let mut words = Words::of("/etc/pmta/x.pem");
        assert!(matches!(take(&mut words, Kind::Path), Taken::Word(w) if w.text.ends_with("pem")));
    }
}
