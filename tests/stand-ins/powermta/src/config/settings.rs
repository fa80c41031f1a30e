//! Directives of a section by name, and what of several `<domain>` sections holds for a queue.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::model::{Config, DomainMatch, SourceMatch};
use super::parse::Entry;
use super::pattern::DomainPattern;
use super::quantity::{Rate, rate, time};
use super::schema::{self, Scope};
use super::value::Value;

/// Directives of one section; a repeated one keeps all its lines.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    entries: BTreeMap<&'static str, Vec<(Vec<Value>, String)>>,
}

/// The guide calls one an alias of the other.
fn canonical(name: &str) -> &str {
    match name {
        "max-rcpt-per-transaction" => "max-rcpt-per-message",
        own => own,
    }
}

impl Settings {
    pub(super) fn add(&mut self, entry: &Entry) {
        let line = (entry.values.clone(), entry.text.clone());
        let name: &'static str = canonical(entry.name);
        self.entries.entry(name).or_default().push(line);
    }

    pub(super) fn lines(&self, name: &str) -> &[(Vec<Value>, String)] {
        self.entries.get(canonical(name)).map_or(&[], Vec::as_slice)
    }

    fn last(&self, name: &str) -> Option<&Value> {
        self.lines(name)
            .last()
            .and_then(|(values, _)| values.first())
    }

    /// Whether the directive is present.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(canonical(name))
    }

    /// As written, the last line.
    pub fn written(&self, name: &str) -> Option<&str> {
        self.lines(name).last().map(|(_, text)| text.as_str())
    }

    /// All lines as written.
    pub fn all_written(&self, name: &str) -> impl Iterator<Item = &str> {
        self.lines(name).iter().map(|(_, text)| text.as_str())
    }

    /// A yes or no.
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.last(name) {
            Some(Value::Flag(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.last(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A number; the inner one is absent for `unlimited`.
    pub fn count(&self, name: &str) -> Option<Option<u64>> {
        match self.last(name) {
            Some(Value::Count(count)) => Some(*count),
            _ => None,
        }
    }

    /// A rate.
    pub fn rate(&self, name: &str) -> Option<Rate> {
        match self.last(name) {
            Some(Value::Rate(rate)) => Some(*rate),
            _ => None,
        }
    }

    /// A time; the inner one is absent for `never`.
    pub fn time(&self, name: &str) -> Option<Option<Duration>> {
        match self.last(name) {
            Some(Value::Time(time)) => Some(*time),
            _ => None,
        }
    }

    /// A list, of the last line.
    pub fn list(&self, name: &str) -> Option<&[String]> {
        match self.last(name) {
            Some(Value::List(list)) => Some(list),
            _ => None,
        }
    }

    fn times(&self, name: &str) -> Option<Vec<Duration>> {
        match self.last(name) {
            Some(Value::Times(times)) => Some(times.clone()),
            _ => None,
        }
    }
}

/// What holds for one queue or client: levels from the strongest to the weakest.
#[derive(Clone, Debug)]
pub struct Layered<'a> {
    scope: Scope,
    levels: Vec<&'a Settings>,
}

impl Config {
    /// Settings of the queue `domain/vmta`: what the virtual MTA says wins over its pool, that over
    /// the top of the file; at each level a more specific pattern wins, and a name over a macro.
    pub fn domain_settings(&self, domain: &str, vmta: &str) -> Layered<'_> {
        let vmta = vmta.to_lowercase();
        let mut levels = Vec::new();
        if let Some(own) = self.virtual_mtas.get(&vmta) {
            levels.extend(matching(&own.domains, domain));
        }
        for pool in self.pools.values() {
            if pool
                .members
                .iter()
                .any(|member| member.to_lowercase() == vmta)
            {
                levels.extend(matching(&pool.domains, domain));
            }
        }
        levels.extend(matching(&self.domains, domain));
        Layered {
            scope: Scope::Domain,
            levels,
        }
    }

    /// Connections that one source address may have to an exchanger: the first line that fits.
    pub fn most_to_exchanger(&self, host: &str) -> Option<u64> {
        let mut lines = self.settings.lines("mx-connection-limit").iter();
        lines.find_map(|(values, _)| match values.as_slice() {
            [Value::Text(name), Value::Count(most)] => DomainPattern::read(name)
                .is_some_and(|pattern| pattern.matches(host))
                .then_some(*most)?,
            _ => None,
        })
    }

    /// Connections that one source address may have to an address: the first line that fits.
    pub fn most_to_address(&self, address: IpAddr) -> Option<u64> {
        let mut lines = self.settings.lines("ip-connection-limit").iter();
        lines.find_map(|(values, _)| match values.as_slice() {
            [Value::Cidr(network), Value::Count(most)] => {
                network.contains(&address).then_some(*most)?
            }
            _ => None,
        })
    }

    /// Settings for a client: the named source of its user or listener wins over networks, and a
    /// smaller network over a larger one.
    pub fn source_settings(&self, client: IpAddr, named: &[&str]) -> Layered<'_> {
        let mut networks: Vec<_> = self
            .sources
            .iter()
            .filter_map(|source| match &source.matches {
                SourceMatch::Network(network) if network.contains(&client) => {
                    Some((network.prefix_len(), &source.settings))
                }
                _ => None,
            })
            .collect();
        networks.sort_by_key(|(length, _)| Reverse(*length));
        let by_name = named.iter().flat_map(|name| {
            self.sources
                .iter()
                .filter_map(move |source| match &source.matches {
                    SourceMatch::Named(own) if own.eq_ignore_ascii_case(name) => {
                        Some(&source.settings)
                    }
                    _ => None,
                })
        });
        let mut levels: Vec<_> = by_name.collect();
        levels.extend(networks.into_iter().map(|(_, settings)| settings));
        // `always-allow-relaying` may stand at the top of the file too.
        levels.push(&self.settings);
        Layered {
            scope: Scope::Source,
            levels,
        }
    }
}

fn matching<'a>(domains: &'a [(DomainMatch, Settings)], domain: &str) -> Vec<&'a Settings> {
    let mut found: Vec<_> = domains
        .iter()
        .filter(|(own, _)| own.pattern.matches(domain))
        .collect();
    found.sort_by_key(|(own, _)| Reverse((own.pattern.specificity(), !own.from_macro)));
    found.into_iter().map(|(_, settings)| settings).collect()
}

impl Layered<'_> {
    fn default(&self, name: &str) -> &'static str {
        schema::find(self.scope, name).map_or("", |known| known.default)
    }

    fn first<T>(&self, read: impl Fn(&Settings) -> Option<T>) -> Option<T> {
        self.levels.iter().find_map(|settings| read(settings))
    }

    /// A yes or no; the default of the guide when nothing is said.
    pub fn flag(&self, name: &str) -> bool {
        self.first(|settings| settings.flag(name))
            .unwrap_or_else(|| self.default(name) == "yes")
    }

    /// A text, possibly empty.
    pub fn text(&self, name: &str) -> String {
        self.first(|settings| settings.written(name).map(str::to_owned))
            .unwrap_or_else(|| self.default(name).to_owned())
    }

    /// A number; absent for `unlimited`.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.first(|settings| settings.count(name))
            .unwrap_or_else(|| self.default(name).parse().ok())
    }

    /// A rate, or none said.
    pub fn rate(&self, name: &str) -> Option<Rate> {
        self.first(|settings| settings.rate(name))
            .or_else(|| rate(self.default(name)))
    }

    /// A time; absent for `never` and `no`.
    pub fn time(&self, name: &str) -> Option<Duration> {
        self.first(|settings| settings.time(name))
            .unwrap_or_else(|| time(self.default(name)))
    }

    /// A list of times.
    pub fn times(&self, name: &str) -> Vec<Duration> {
        self.first(|settings| settings.times(name))
            .unwrap_or_else(|| time(self.default(name)).into_iter().collect())
    }

    /// A list of words.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.first(|settings| settings.list(name).map(<[String]>::to_vec))
            .unwrap_or_default()
    }

    /// The rate of the smallest network that holds a source address.
    pub fn rate_of_source(&self, name: &str, source: IpAddr) -> Option<Rate> {
        self.of_source(name, source).and_then(|value| match value {
            Value::Rate(rate) => Some(rate),
            _ => None,
        })
    }

    /// The count of the smallest network that holds a source address.
    pub fn count_of_source(&self, name: &str, source: IpAddr) -> Option<u64> {
        self.of_source(name, source).and_then(|value| match value {
            Value::Count(count) => count,
            _ => None,
        })
    }

    fn of_source(&self, name: &str, source: IpAddr) -> Option<Value> {
        self.first(|settings| {
            let lines = settings.lines(name).iter();
            lines
                .filter_map(|(values, _)| match values.as_slice() {
                    [Value::Cidr(network), value] => Some((network, value)),
                    _ => None,
                })
                .filter(|(network, _)| network.contains(&source))
                .max_by_key(|(network, _): &(&IpNet, _)| network.prefix_len())
                .map(|(_, value)| value.clone())
        })
    }

    /// Every directive of a queue with its value, as `show settings` lists them.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let mut shown: Vec<_> = schema::of_domains()
            .filter(|known| !matches!(known.name, "include" | "auth-password"))
            .map(|known| {
                let text = self.text(known.name);
                let normal = match text.as_str() {
                    "true" => "yes".to_owned(),
                    "false" => "no".to_owned(),
                    "" => "\"\"".to_owned(),
                    _ => text,
                };
                (known.name, normal)
            })
            .collect();
        shown.sort_unstable();
        shown
    }
}
