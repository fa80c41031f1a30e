//! Types of the arguments of directives, and how their text is read.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::line::{take_expression, take_value};
use super::named::{cidr, cidr_port, is_address, is_name};
use super::pattern::{DomainPattern, Expression, is_domain};
use super::quantity::{Rate, digits, rate, size, time, volume_rate};

/// Most steps of a list of times.
const MOST_TIMES: usize = 30;

/// What an argument has to be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Address,
    AddressOrEmpty,
    AddressOrExpression,
    Addresses,
    AnyText,
    Cidr,
    CidrPort,
    Choice(&'static [&'static str]),
    Count(u64, u64),
    CountOrUnlimited,
    DailyLimits,
    Days,
    Domain,
    DomainKey,
    DomainOrPattern,
    Flag,
    FlagOrTime,
    Ip,
    Key,
    List,
    Name,
    NameOrEmpty,
    Path,
    Rate,
    /// Everything to the end of the line.
    Rest,
    Size,
    SizeOrUnlimited,
    Source,
    Time,
    TimeAtMost(u64),
    TimeOrNever,
    Times,
    VolumeRate,
}

/// A read argument.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Absent where `unlimited` was said.
    Count(Option<u64>),
    Cidr(IpNet),
    CidrPort(IpNet, u16),
    Expression(Expression),
    Flag(bool),
    Ip(IpAddr),
    List(Vec<String>),
    Rate(Rate),
    Text(String),
    /// Absent where `never` was said.
    Time(Option<Duration>),
    Times(Vec<Duration>),
}

impl Kind {
    /// Takes one argument off the front of a line's rest.
    pub(super) fn take(self, text: &str) -> Result<(Value, &str), String> {
        if let Self::Rest = self {
            return Ok((Value::Text(text.to_owned()), ""));
        }
        if let Self::DomainKey | Self::List | Self::Addresses = self
            && !text.starts_with('"')
        {
            return Ok((self.read(text)?, ""));
        }
        if matches!(self, Self::AddressOrExpression) && text.starts_with('/') {
            let (expression, rest) = take_expression(text)?;
            return Ok((Value::Expression(Expression::new(&expression)?), rest));
        }
        let (word, rest) = take_value(text)?;
        Ok((self.read(&word)?, rest))
    }

    fn read(self, word: &str) -> Result<Value, String> {
        let wanted = |what: &str| format!("{what} expected instead of '{word}'");
        let value = match self {
            Self::Flag => flag(word).map(Value::Flag),
            Self::FlagOrTime => flag_or_time(word),
            Self::Choice(known) => {
                let lower = word.to_lowercase();
                let found = known.iter().any(|choice| *choice == lower);
                return if found {
                    Ok(Value::Text(lower))
                } else {
                    Err(wanted(&format!("one of {}", known.join(", "))))
                };
            }
            Self::Count(least, most) => digits(word)
                .filter(|count| (least..=most).contains(count))
                .map(|count| Value::Count(Some(count))),
            Self::CountOrUnlimited if word == "unlimited" => Some(Value::Count(None)),
            Self::CountOrUnlimited => digits(word).map(|count| Value::Count(Some(count))),
            Self::Size => size(word).map(|bytes| Value::Count(Some(bytes))),
            Self::SizeOrUnlimited if word == "unlimited" => Some(Value::Count(None)),
            Self::SizeOrUnlimited => size(word).map(|bytes| Value::Count(Some(bytes))),
            Self::Rate => rate(word).map(Value::Rate),
            Self::VolumeRate => volume_rate(word).map(Value::Rate),
            Self::Time | Self::TimeAtMost(_) | Self::TimeOrNever | Self::Times | Self::Days => {
                self.read_time(word)
            }
            Self::Ip => word.parse().ok().map(Value::Ip),
            Self::Cidr => cidr(word).map(Value::Cidr),
            Self::CidrPort => cidr_port(word).map(|(network, port)| Value::CidrPort(network, port)),
            Self::Address | Self::AddressOrExpression => {
                is_address(word).then(|| Value::Text(word.to_owned()))
            }
            Self::AddressOrEmpty => {
                (word.is_empty() || is_address(word)).then(|| Value::Text(word.to_owned()))
            }
            Self::Name => is_name(word).then(|| Value::Text(word.to_owned())),
            Self::NameOrEmpty => {
                (word.is_empty() || is_name(word)).then(|| Value::Text(word.to_owned()))
            }
            Self::Domain => is_domain(word).then(|| Value::Text(word.to_lowercase())),
            Self::DomainOrPattern => {
                DomainPattern::read(word).map(|_| Value::Text(word.to_lowercase()))
            }
            Self::Source => word
                .strip_prefix("source=")
                .filter(|name| is_name(name))
                .map(|name| Value::Text(name.to_owned())),
            Self::Key => is_key(word).then(|| Value::Text(word.to_owned())),
            Self::Path => word.starts_with('/').then(|| Value::Text(word.to_owned())),
            Self::DomainKey => return domain_key(word),
            Self::List => Some(Value::List(list(word))),
            Self::Addresses => addresses(word),
            Self::DailyLimits => daily_limits(word),
            Self::AnyText | Self::Rest => Some(Value::Text(word.to_owned())),
        };
        value.ok_or_else(|| wanted(self.name()))
    }

    fn read_time(self, word: &str) -> Option<Value> {
        match self {
            Self::TimeOrNever if word == "never" => Some(Value::Time(None)),
            Self::Days if word == "never" => Some(Value::Time(None)),
            Self::Days => time(word.strip_suffix('d').map(|_| word)?)
                .map(|interval| Value::Time(Some(interval))),
            Self::TimeAtMost(most) => time(word)
                .filter(|interval| interval.as_secs() <= most)
                .map(|interval| Value::Time(Some(interval))),
            Self::Times => {
                let times: Option<Vec<_>> = word.split(',').map(time).collect();
                times
                    .filter(|times| times.len() <= MOST_TIMES)
                    .map(Value::Times)
            }
            _ => time(word).map(|interval| Value::Time(Some(interval))),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Address | Self::AddressOrEmpty | Self::AddressOrExpression => "email address",
            Self::Addresses => "list of email addresses",
            Self::Cidr => "IP address or CIDR",
            Self::CidrPort => "CIDR:PORT",
            Self::Count(..) | Self::CountOrUnlimited => "number",
            Self::DailyLimits => "list of N/day",
            Self::Days => "Nd or never",
            Self::Domain | Self::DomainOrPattern => "domain name",
            Self::Flag => "yes or no",
            Self::FlagOrTime => "yes, no or time interval",
            Self::Ip => "IP address",
            Self::Key => "key of 32 to 128 letters, digits and underscores",
            Self::Name | Self::NameOrEmpty => "name",
            Self::Path => "absolute path",
            Self::Rate | Self::VolumeRate => "rate",
            Self::Size | Self::SizeOrUnlimited => "size",
            Self::Source => "source=NAME",
            Self::Time | Self::TimeAtMost(_) | Self::TimeOrNever => "time interval",
            Self::Times => "list of at most 30 time intervals without blanks",
            _ => "value",
        }
    }
}

fn flag(word: &str) -> Option<bool> {
    match word.to_lowercase().as_str() {
        "yes" | "true" => Some(true),
        "no" | "false" => Some(false),
        _ => None,
    }
}

fn flag_or_time(word: &str) -> Option<Value> {
    match flag(word) {
        Some(true) => Some(Value::Time(Some(Duration::ZERO))),
        Some(false) => Some(Value::Time(None)),
        None if word == "never" => Some(Value::Time(None)),
        None => time(word).map(|interval| Value::Time(Some(interval))),
    }
}

fn is_key(word: &str) -> bool {
    (32..=128).contains(&word.len())
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Names between commas; the guide has blanks after them in some examples.
fn list(word: &str) -> Vec<String> {
    word.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

fn addresses(word: &str) -> Option<Value> {
    let parts = list(word);
    parts
        .iter()
        .all(|part| is_address(part))
        .then_some(Value::List(parts))
}

fn daily_limits(word: &str) -> Option<Value> {
    let parts = list(word);
    let known = |part: &String| {
        part.split_once('/')
            .is_some_and(|(count, unit)| digits(count).is_some() && ["d", "day"].contains(&unit))
    };
    parts.iter().all(known).then_some(Value::List(parts))
}

fn domain_key(word: &str) -> Result<Value, String> {
    let parts: Vec<_> = word.split(',').map(|part| part.trim().to_owned()).collect();
    let [selector, domain, file] = parts.as_slice() else {
        return Err(format!(
            "SELECTOR,DOMAIN,FILE expected, {} parts found",
            parts.len()
        ));
    };
    if !is_domain(selector) {
        return Err(format!("selector expected instead of '{selector}'"));
    }
    if domain != "*" && !is_domain(domain) {
        return Err(format!("domain name or * expected instead of '{domain}'"));
    }
    if !file.starts_with('/') {
        return Err(format!(
            "absolute path of a key expected instead of '{file}'"
        ));
    }
    Ok(Value::List(parts))
}
