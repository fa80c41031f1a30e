//! SPF records as text (RFC 7208 sections 4.6, 5 to 7): terms, and macros of their domains.

use std::net::IpAddr;

/// What a mechanism that matches comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Qualifier {
    Pass,
    Fail,
    SoftFail,
    Neutral,
}

/// Lengths of the networks of addresses, IPv4 and IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lengths {
    pub(super) v4: u8,
    pub(super) v6: u8,
}

/// One mechanism.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    All,
    Include(String),
    A(Option<String>, Lengths),
    Mx(Option<String>, Lengths),
    Ptr(Option<String>),
    Network(ipnet::IpNet),
    Exists(String),
}

/// A record that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) mechanisms: Vec<(Qualifier, Mechanism)>,
    pub(super) redirect: Option<String>,
}

/// Whether a text is an SPF record at all.
pub(super) fn is_spf(text: &str) -> bool {
    let first = text.split(' ').next().unwrap_or_default();
    first.eq_ignore_ascii_case("v=spf1")
}

/// Reads a record; an error says which term is wrong.
pub(super) fn read(text: &str) -> Result<Record, String> {
    let mut record = Record::default();
    let mut has_explanation = false;
    for term in text.split(' ').skip(1).filter(|term| !term.is_empty()) {
        let wrong = || format!("term {term:?}, which is none of SPF's");
        if let Some((name, value)) = modifier(term) {
            let twice = match name.to_ascii_lowercase().as_str() {
                "redirect" => record.redirect.replace(value.to_owned()).is_some(),
                "exp" => std::mem::replace(&mut has_explanation, true),
                _ => false,
            };
            if twice || value.is_empty() {
                return Err(wrong());
            }
            continue;
        }
        let (qualifier, rest) = match term.as_bytes()[0] {
            b'+' => (Qualifier::Pass, &term[1..]),
            b'-' => (Qualifier::Fail, &term[1..]),
            b'~' => (Qualifier::SoftFail, &term[1..]),
            b'?' => (Qualifier::Neutral, &term[1..]),
            _ => (Qualifier::Pass, term),
        };
        let mechanism = mechanism(rest).ok_or_else(wrong)?;
        record.mechanisms.push((qualifier, mechanism));
    }
    Ok(record)
}

/// `name=value`, where the name comes before every sign that a mechanism may have.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic());
    let good = first && bytes.all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    good.then_some((name, value))
}

fn mechanism(text: &str) -> Option<Mechanism> {
    let at = text.find([':', '/']).unwrap_or(text.len());
    let (name, rest) = text.split_at(at);
    let domain = rest.strip_prefix(':');
    match name.to_ascii_lowercase().as_str() {
        "all" if rest.is_empty() => Some(Mechanism::All),
        "include" => named(domain?).map(Mechanism::Include),
        "exists" => named(domain?).map(Mechanism::Exists),
        "ptr" if rest.is_empty() => Some(Mechanism::Ptr(None)),
        "ptr" => named(domain?).map(|name| Mechanism::Ptr(Some(name))),
        "a" => with_lengths(rest).map(|(name, lengths)| Mechanism::A(name, lengths)),
        "mx" => with_lengths(rest).map(|(name, lengths)| Mechanism::Mx(name, lengths)),
        "ip4" => network(domain?, 32, IpAddr::is_ipv4),
        "ip6" => network(domain?, 128, IpAddr::is_ipv6),
        _ => None,
    }
}

fn named(text: &str) -> Option<String> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())).then(|| text.to_owned())
}

fn network(text: &str, longest: u8, fits: fn(&IpAddr) -> bool) -> Option<Mechanism> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, digits(length)?),
        None => (text, longest),
    };
    let address: IpAddr = address.parse().ok().filter(fits)?;
    ipnet::IpNet::new(address, length)
        .ok()
        .map(Mechanism::Network)
}

/// `:domain/24//64`, all of which may be absent.
fn with_lengths(text: &str) -> Option<(Option<String>, Lengths)> {
    let (name, lengths) = match text.find('/') {
        // A macro may hold a slash among its delimiters: the lengths stand behind the last brace.
        Some(_) => {
            let from = text.rfind('}').map_or(0, |at| at + 1);
            let at = text[from..].find('/').map_or(text.len(), |at| from + at);
            text.split_at(at)
        }
        None => (text, ""),
    };
    let name = match name.strip_prefix(':') {
        Some(name) => Some(named(name)?),
        None if name.is_empty() => None,
        None => return None,
    };
    let (v4, v6) = match lengths.split_once("//") {
        Some((v4, v6)) => (v4, Some(v6)),
        None => (lengths, None),
    };
    let v4 = match v4.strip_prefix('/') {
        Some(length) => digits(length).filter(|length| *length <= 32)?,
        None if v4.is_empty() => 32,
        None => return None,
    };
    let v6 = match v6 {
        Some(length) => digits(length).filter(|length| *length <= 128)?,
        None => 128,
    };
    Some((name, Lengths { v4, v6 }))
}

fn digits(text: &str) -> Option<u8> {
    let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let zero_led = text.len() > 1 && text.starts_with('0');
    (good && !zero_led).then(|| text.parse().ok()).flatten()
}

/// Who sends, for macros.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender<'a> {
    pub(super) local: &'a str,
    pub(super) domain: &'a str,
    pub(super) hello: &'a str,
    pub(super) address: IpAddr,
}

/// Writes the macros of a name out, for the domain whose record it stands in.
pub(super) fn expand(text: &str, sender: &Sender<'_>, current: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(inner) = rest.strip_prefix('{') {
            let (body, behind) = inner
                .split_once('}')
                .ok_or_else(|| format!("{text:?} with an open macro"))?;
            out.push_str(
                &one(body, sender, current)
                    .ok_or_else(|| format!("{text:?} with macro {body:?}"))?,
            );
            rest = behind;
            continue;
        }
        let literal = match rest.as_bytes().first() {
            Some(b'%') => "%",
            Some(b'_') => " ",
            Some(b'-') => "%20",
            _ => return Err(format!("{text:?} with a lone %")),
        };
        out.push_str(literal);
        rest = &rest[1..];
    }
    out.push_str(rest);
    let mut name = out.trim_end_matches('.').to_ascii_lowercase();
    // Labels go from the left until the name is short enough.
    while name.len() > 253 {
        match name.split_once('.') {
            Some((_, shorter)) => name = shorter.to_owned(),
            None => return Err(format!("{text:?}, which comes to a name that is too long")),
        }
    }
    Ok(name)
}

fn one(body: &str, sender: &Sender<'_>, current: &str) -> Option<String> {
    let letter = body.chars().next()?;
    let rest = &body[letter.len_utf8()..];
    let digits_end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (count, rest) = rest.split_at(digits_end);
    let (reversed, delimiters) = match rest.strip_prefix(['r', 'R']) {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let value = match letter.to_ascii_lowercase() {
        's' => format!("{}@{}", sender.local, sender.domain),
        'l' => sender.local.to_owned(),
        'o' => sender.domain.to_owned(),
        'd' => current.to_owned(),
        'h' => sender.hello.to_owned(),
        'i' => dotted(sender.address),
        'v' => (if sender.address.is_ipv4() {
            "in-addr"
        } else {
            "ip6"
        })
        .to_owned(),
        // The name of the address, which nobody should lean on (RFC 7208 section 7.3).
        'p' => "unknown".to_owned(),
        _ => return None,
    };
    if !delimiters.chars().all(|c| ".-+,/_=".contains(c)) {
        return None;
    }
    let split = |c: char| match delimiters.is_empty() {
        true => c == '.',
        false => delimiters.contains(c),
    };
    let mut parts: Vec<&str> = value.split(split).collect();
    if reversed {
        parts.reverse();
    }
    if !count.is_empty() {
        let keep: usize = count.parse().ok().filter(|keep| *keep > 0)?;
        let from = parts.len().saturating_sub(keep);
        parts.drain(..from);
    }
    Some(parts.join("."))
}

/// As macros write an address: of IPv6 each digit on its own.
fn dotted(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let octets = address.octets();
            let digits = octets
                .iter()
                .flat_map(|byte| [byte >> 4, byte & 0xf])
                .map(|digit| format!("{digit:x}"));
            digits.collect::<Vec<_>>().join(".")
        }
    }
}
