//! From the tree of lines to what it means.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::check;
use super::error::{At, ConfigError};
use super::model::{
    AddressMatch, Config, DomainKey, Listener, Pool, Processor, RollupRule, SmtpUser, Source,
    SourceHost, SourceMatch, VirtualMta,
};
use super::named::{cidr, cidr_port, is_name};
use super::parse::{Entry, Node, Section, parse};
use super::pattern::DomainPattern;
use super::schema::Scope;
use super::settings::Settings;
use super::value::Value;

mod aliases;
mod certificate;
mod domains;
mod files;
mod rules;

use domains::Macros;

type Built<T> = Result<T, ConfigError>;

impl Config {
    /// Reads a configuration and all that it includes.
    ///
    /// # Errors
    ///
    /// The first fault, with file and line, as the product words it.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let tree = parse(file)?;
        let macros = Macros::collect(&tree)?;
        let mut config = Self::empty(file);
        for node in &tree.nodes {
            match node {
                Node::Entry(entry) if entry.name == "smtp-server-tls-certificate" => {
                    config.certificate = Some(certificate::read(&entry.text, &entry.at)?);
                    config.entry(entry);
                }
                Node::Entry(entry) => config.entry(entry),
                Node::Section(section) => config.section(section, &macros)?,
                Node::Rule(rule) => return Err(rule.at.grammar("a rule stands outside its list")),
            }
        }
        config.finish();
        check::references(&tree, &config)?;
        config.idle = check::idle(&tree);
        Ok(config)
    }

    fn empty(file: &Path) -> Self {
        Self {
            file: file.to_path_buf(),
            settings: Settings::default(),
            host_names: Vec::new(),
            listeners: Vec::new(),
            certificate: None,
            name_servers: Vec::new(),
            log_file: PathBuf::new(),
            spools: Vec::new(),
            relay_domains: Vec::new(),
            relay_addresses: Vec::new(),
            aliases: Vec::new(),
            sources: Vec::new(),
            users: Vec::new(),
            virtual_mtas: BTreeMap::new(),
            pools: BTreeMap::new(),
            pattern_lists: BTreeMap::new(),
            reply_lists: BTreeMap::new(),
            bounce_categories: Vec::new(),
            accounting: Vec::new(),
            bounce_processor: None,
            feedback_processor: None,
            address_lists: BTreeMap::new(),
            rollups: Vec::new(),
            source_hosts: Vec::new(),
            domain_keys: Vec::new(),
            domains: Vec::new(),
            http_access: Vec::new(),
            idle: Vec::new(),
        }
    }

    fn entry(&mut self, entry: &Entry) {
        match (entry.name, entry.values.as_slice()) {
            ("host-name", [Value::Text(name)]) => self.host_names.push(name.clone()),
            ("name-server", [Value::Ip(address)]) => self.name_servers.push(*address),
            ("log-file", _) => self.log_file = PathBuf::from(&entry.text),
            ("spool", _) => self.spools.push(PathBuf::from(&entry.text)),
            ("relay-domain", [Value::Text(domain)]) => {
                self.relay_domains.extend(DomainPattern::read(domain));
            }
            ("relay-address", [value]) => self.relay_addresses.extend(address_match(value)),
            ("alias", _) => self.aliases.extend(aliases::of_entry(entry)),
            ("domain-key", _) => self.domain_keys.extend(domain_key(entry)),
            ("smtp-source-host", _) => self.source_hosts.extend(source_host(entry)),
            ("http-access", [Value::Cidr(network), Value::Text(level)]) => {
                self.http_access.push((*network, level.clone()));
            }
            ("smtp-listener", [Value::CidrPort(network, port), rest @ ..]) => {
                self.listeners.push(Listener {
                    network: *network,
                    port: *port,
                    source: rest.first().and_then(text_of),
                    immediate_tls: false,
                    certificate: None,
                });
            }
            _ => {}
        }
        self.settings.add(entry);
    }

    fn section(&mut self, section: &Section, macros: &Macros<'_>) -> Built<()> {
        let argument = section.argument.clone();
        let at = &section.at;
        let key = argument.to_lowercase();
        match section.scope {
            Scope::Spool => self.spools.push(PathBuf::from(absolute(&argument, at)?)),
            Scope::Source => self.sources.push(source(section)),
            Scope::SmtpListener => self.listeners.push(listener(section)?),
            Scope::SmtpUser => self.users.push(user(section)),
            Scope::Domain => self.domains.extend(domains::read(section, macros)?),
            Scope::VirtualMta => {
                self.claim_name(&key, at)?;
                self.virtual_mtas.insert(key, virtual_mta(section, macros)?);
            }
            Scope::Pool => {
                self.claim_name(&key, at)?;
                self.pools.insert(key, pool(section, macros)?);
            }
            Scope::PatternList => {
                let list = rules::pattern_list(section)?;
                named_once(
                    self.pattern_lists.insert(key, list).is_none(),
                    &argument,
                    at,
                )?;
            }
            Scope::SmtpPatternList => {
                let list = rules::reply_list(section)?;
                named_once(self.reply_lists.insert(key, list).is_none(), &argument, at)?;
            }
            Scope::Aliases => self.aliases.extend(aliases::aliases(section)?),
            Scope::BounceCategories => self.bounce_categories.extend(rules::categories(section)?),
            Scope::AccountingFile => self.accounting.push(files::accounting(section)?),
            Scope::BounceProcessor => self.bounce_processor = Some(processor(section)?),
            Scope::FeedbackLoopProcessor => self.feedback_processor = Some(processor(section)?),
            Scope::AddressList => {
                let list = address_list(section)?;
                named_once(
                    self.address_lists.insert(key, list).is_none(),
                    &argument,
                    at,
                )?;
            }
            Scope::MxRollupList => self.rollups.extend(rollups(section)?),
            _ => {}
        }
        Ok(())
    }

    /// Virtual MTAs and pools share one name space, without regard to case.
    fn claim_name(&self, key: &str, at: &At) -> Built<()> {
        if !is_name(key) {
            return Err(at.value(format!("name expected instead of '{key}'")));
        }
        let free = !self.virtual_mtas.contains_key(key) && !self.pools.contains_key(key);
        named_once(free, key, at)
    }

    fn finish(&mut self) {
        if self.listeners.is_empty() {
            self.listeners.extend(cidr("0/0").map(|network| Listener {
                network,
                port: 25,
                source: None,
                immediate_tls: false,
                certificate: None,
            }));
        }
    }
}

fn named_once(first: bool, name: &str, at: &At) -> Built<()> {
    if first {
        Ok(())
    } else {
        Err(at.value(format!("'{name}' is already defined")))
    }
}

fn absolute<'a>(path: &'a str, at: &At) -> Built<&'a str> {
    if path.starts_with('/') {
        Ok(path)
    } else {
        Err(at.value(format!("absolute path expected instead of '{path}'")))
    }
}

fn entries(section: &Section) -> impl Iterator<Item = &Entry> {
    section.nodes.iter().filter_map(|node| match node {
        Node::Entry(entry) => Some(entry),
        _ => None,
    })
}

fn inner_sections(section: &Section) -> impl Iterator<Item = &Section> {
    section.nodes.iter().filter_map(|node| match node {
        Node::Section(inner) => Some(inner),
        _ => None,
    })
}

fn settings(section: &Section) -> Settings {
    let mut settings = Settings::default();
    for entry in entries(section) {
        settings.add(entry);
    }
    settings
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn source(section: &Section) -> Source {
    let argument = &section.argument;
    Source {
        matches: cidr(argument).map_or_else(
            || SourceMatch::Named(argument.clone()),
            SourceMatch::Network,
        ),
        settings: settings(section),
    }
}

fn listener(section: &Section) -> Built<Listener> {
    let (network, port) = cidr_port(&section.argument).ok_or_else(|| {
        section.at.value(format!(
            "CIDR:PORT expected instead of '{}'",
            section.argument
        ))
    })?;
    let settings = settings(section);
    let certificate = entries(section)
        .filter(|entry| entry.name == "tls-certificate")
        .last();
    let certificate = certificate.map(|entry| certificate::read(&entry.text, &entry.at));
    Ok(Listener {
        network,
        port,
        source: settings.text("source").map(str::to_owned),
        immediate_tls: settings.flag("immediate-tls").unwrap_or(false),
        certificate: certificate.transpose()?,
    })
}

fn user(section: &Section) -> SmtpUser {
    let settings = settings(section);
    SmtpUser {
        name: section.argument.clone(),
        password: settings.text("password").map(str::to_owned),
        source: settings.text("source").map(str::to_owned),
    }
}

fn source_host(entry: &Entry) -> Option<SourceHost> {
    match entry.values.as_slice() {
        [Value::Cidr(network), Value::Text(host)] => Some(SourceHost {
            network: *network,
            host: host.clone(),
        }),
        _ => None,
    }
}

fn domain_key(entry: &Entry) -> Option<DomainKey> {
    let [Value::List(parts)] = entry.values.as_slice() else {
        return None;
    };
    let [selector, domain, file] = parts.as_slice() else {
        return None;
    };
    Some(DomainKey {
        selector: selector.clone(),
        domain: (domain != "*").then(|| domain.to_lowercase()),
        file: PathBuf::from(file),
    })
}

fn keys(section: &Section) -> Vec<DomainKey> {
    let lines = entries(section).filter(|entry| entry.name == "domain-key");
    lines.filter_map(domain_key).collect()
}

fn virtual_mta(section: &Section, macros: &Macros<'_>) -> Built<VirtualMta> {
    let lines = entries(section).filter(|entry| entry.name == "smtp-source-host");
    Ok(VirtualMta {
        name: section.argument.clone(),
        source_hosts: lines.filter_map(source_host).collect(),
        domain_keys: keys(section),
        settings: settings(section),
        domains: domains::inside(section, macros)?,
    })
}

fn pool(section: &Section, macros: &Macros<'_>) -> Built<Pool> {
    let mut members = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in entries(section).filter(|entry| entry.name == "virtual-mta") {
        if let Some(Value::Text(name)) = entry.values.first() {
            if !seen.insert(name.to_lowercase()) {
                return Err(entry.at.value(format!("'{name}' is already in the pool")));
            }
            members.push(name.clone());
        }
    }
    Ok(Pool {
        name: section.argument.clone(),
        members,
        domain_keys: keys(section),
        settings: settings(section),
        domains: domains::inside(section, macros)?,
    })
}

fn address_match(value: &Value) -> Option<AddressMatch> {
    match value {
        Value::Text(text) => Some(AddressMatch::Address(text.clone())),
        Value::Expression(expression) => Some(AddressMatch::Expression(expression.clone())),
        _ => None,
    }
}

fn address_list(section: &Section) -> Built<Vec<AddressMatch>> {
    let mut list = Vec::new();
    for entry in entries(section) {
        match (entry.name, entry.values.as_slice()) {
            ("domain", [Value::Text(domain)]) => {
                list.extend(DomainPattern::read(domain).map(AddressMatch::Domain));
            }
            ("address-file", _) => list.extend(files::addresses(&entry.text, &entry.at)?),
            (_, [value]) => list.extend(address_match(value)),
            _ => {}
        }
    }
    Ok(list)
}

fn processor(section: &Section) -> Built<Processor> {
    let mut addresses = Vec::new();
    for inner in inner_sections(section).filter(|inner| inner.scope == Scope::AddressList) {
        addresses.extend(address_list(inner)?);
    }
    let settings = settings(section);
    Ok(Processor {
        addresses,
        forward_unmatched: settings
            .all_written("forward-unmatched-to")
            .map(str::to_owned)
            .collect(),
        settings,
    })
}

fn rollups(section: &Section) -> Built<Vec<RollupRule>> {
    let mut rules = Vec::new();
    for entry in entries(section) {
        let [Value::Text(exchanger), Value::Text(queue), option @ ..] = entry.values.as_slice()
        else {
            continue;
        };
        if !queue.to_lowercase().ends_with(".rollup") {
            return Err(entry.at.value(format!("'{queue}' does not end in .rollup")));
        }
        rules.push(RollupRule {
            exchanger: exchanger.to_lowercase(),
            queue: queue.to_lowercase(),
            by_address: !option.is_empty(),
        });
    }
    Ok(rules)
}
