//! Makes resources of a role file and values.

use std::collections::BTreeMap;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{
    ArtifactRef, DirectorySpec, FileContent, FileSpec, HostPath, OnRemove, Policy, Resource,
    ServiceSpec, Spec,
};
use email_engine_protocol::id::{ArtifactName, ResourceId};
use minijinja::value::Serde;
use minijinja::{Value, context};

use super::artifacts::Artifacts;
use super::commands::{discard, step, suspension, transaction};
use super::error::{BundleFault, PlanError};
use super::role::{EXTRA, Each, FileEntry, Generated, RoleFile, Secret, ServiceEntry};
use super::template::Templates;
use super::values::{Item, Values};
use super::{artifacts, basics, certificate, cron, database, firewall, health, packages};
use crate::powermta::CONFIG_PATH;

/// Resources in order of id, and the bodies of their files.
pub(super) type Built = (Vec<Resource>, BTreeMap<ContentHash, Vec<u8>>);

/// A unit's name, what it comes after and what it needs.
type Unit = (String, Vec<String>, Vec<String>);

/// Makes the resources of one host.
pub(super) fn build(
    files: &BTreeMap<String, String>,
    role: &RoleFile,
    values: &Values,
    artifacts: &Artifacts,
) -> Result<Built, PlanError> {
    let mut build = Build {
        role,
        values,
        artifacts,
        shared: Value::from(Serde(&values.shared)),
        constants: Value::from(Serde(&role.values)),
        templates: templates(files, role)?,
        resources: BTreeMap::new(),
        bodies: BTreeMap::new(),
        written: Vec::new(),
    };
    build.simple()?;
    let made = basics::made(&build, role)?.into_iter();
    let mut told = Vec::new();
    let made = made.chain(database::made(&build, role)?);
    let made = made.chain(packages::made(&build, files, role)?);
    let made = made.chain(certificate::made(&build, role)?);
    for made in made.chain(artifacts::made(&build, role)?) {
        told.push((made.id.clone(), made.after, made.notify));
        build.add(made.id, made.spec, made.on_remove)?;
    }
    if let Some(made) = firewall::made(&build, files, role.firewall.as_ref())? {
        build.add(made.id, made.spec, made.on_remove)?;
    }
    for entry in &role.files {
        build.file_entry(entry)?;
    }
    for job in cron::made(&build, role)? {
        build.bodies.insert(job.hash, job.bytes);
        build.written.push((job.id.clone(), job.after, job.notify));
        build.add(job.id, Spec::File(job.spec), job.on_remove)?;
    }
    build.services()?;
    for made in health::made(&build, role)? {
        build
            .written
            .push((made.id.clone(), made.after, Vec::new()));
        build.add(made.id, Spec::HealthCheck(made.spec), OnRemove::Leave)?;
    }
    for entry in &role.transactions {
        let spec = transaction::spec(&build, entry)?;
        let id = format!("transaction:{}", entry.name);
        build.add(id, Spec::Transaction(spec), OnRemove::Leave)?;
    }
    for (name, spec) in suspension::specs(&build)? {
        let id = format!("suspension:{name}");
        build.add(id, Spec::Suspension(spec), OnRemove::Leave)?;
    }
    for (name, spec) in discard::specs(&build)? {
        let id = format!("discard:{name}");
        build.add(id, Spec::Discard(spec), OnRemove::Leave)?;
    }
    build.edges(&told)?;
    Ok((build.resources.into_values().collect(), build.bodies))
}

/// Names of resources that are templates: of what is repeated, with its item.
pub(super) fn named(names: &[String]) -> impl Iterator<Item = &str> {
    let texts = names.iter().map(String::as_str);
    texts.filter(|name| name.contains("{{"))
}

/// What stands in files of its own in this room.
fn templates<'a>(
    files: &'a BTreeMap<String, String>,
    role: &'a RoleFile,
) -> Result<Templates<'a>, BundleFault> {
    let mut templates = Templates::new();
    let texts = transaction::texts(&role.transactions);
    let texts = texts.chain(suspension::texts(&role.suspensions));
    let texts = texts.chain(discard::texts(&role.discards));
    for text in texts
        .chain(basics::texts(&role.ip_addresses))
        .chain(database::texts(&role.sql_rows))
        .chain(database::script_texts(&role.sql_scripts))
        .chain(certificate::texts(&role.certificates))
        .chain(health::texts(&role.health_checks))
        .chain(packages::texts(&role.package_repositories))
        .chain(cron::texts(&role.cron_jobs))
    {
        templates.add_text(text, &role.path)?;
    }
    let tables = role.cron_jobs.iter();
    for path in tables.filter_map(|entry| entry.template.as_deref()) {
        templates.add_file(files, path, &role.path)?;
    }
    for entry in &role.services {
        templates.add_text(&entry.unit, &role.path)?;
        for text in named(&entry.after).chain(named(&entry.needs)) {
            templates.add_text(text, &role.path)?;
        }
    }
    for entry in &role.files {
        templates.add_text(&entry.path, &role.path)?;
        for text in named(&entry.after).chain(named(&entry.notify)) {
            templates.add_text(text, &role.path)?;
        }
        if let Some(path) = &entry.template {
            templates.add_file(files, path, &role.path)?;
        }
    }
    Ok(templates)
}

pub(super) struct Build<'a> {
    pub(super) role: &'a RoleFile,
    pub(super) values: &'a Values,
    artifacts: &'a Artifacts,
    shared: Value,
    constants: Value,
    pub(super) templates: Templates<'a>,
    resources: BTreeMap<ResourceId, Resource>,
    bodies: BTreeMap<ContentHash, Vec<u8>>,
    /// Files, jobs and health checks with their edges, `after` and `notify`.
    written: Vec<(String, Vec<String>, Vec<String>)>,
}

impl<'a> Build<'a> {
    fn simple(&mut self) -> Result<(), BundleFault> {
        let role = self.role;
        for entry in &role.directories {
            let spec = DirectorySpec {
                path: self.path(&entry.path)?,
                mode: self.mode(&entry.mode)?,
                owner: entry.owner.clone(),
                group: entry.group.clone(),
            };
            let id = format!("directory:{}", entry.path);
            self.add(id, Spec::Directory(spec), entry.on_remove)?;
        }
        for entry in &role.steps {
            let spec = step::spec(self, entry)?;
            self.add(
                format!("step:{}", entry.name),
                Spec::Step(spec),
                OnRemove::Leave,
            )?;
        }
        Ok(())
    }

    /// Last, when it is known what there is of what they need.
    fn services(&mut self) -> Result<(), BundleFault> {
        for entry in &self.role.services {
            for (unit, _, needs) in self.units(entry)? {
                if !self.has_all(&needs) {
                    continue;
                }
                let id = format!("service:{unit}");
                let spec = ServiceSpec {
                    unit,
                    enabled: true,
                    running: true,
                    on_notify: entry.on_notify,
                };
                self.add(id, Spec::Service(spec), entry.on_remove)?;
            }
        }
        Ok(())
    }

    /// Whether all of these resources are there.
    pub(super) fn has_all(&self, ids: &[String]) -> bool {
        ids.iter().all(|id| {
            let id = ResourceId::new(id.clone()).ok();
            id.is_some_and(|id| self.resources.contains_key(&id))
        })
    }

    /// Names of an entry's units, what each comes after and what it needs; templates, because some are
    /// called after the version of what they run, and some after their tenant.
    fn units(&self, entry: &ServiceEntry) -> Result<Vec<Unit>, BundleFault> {
        let contexts: Vec<Value> = match entry.each {
            None => vec![self.context(None)],
            Some(each) => {
                let items = self.values.items(each).iter();
                items.map(|item| self.context(Some(item))).collect()
            }
        };
        let one = |context: Value| {
            let unit = self
                .templates
                .text(&entry.unit, &self.role.path, &context)?;
            let needs = self.names(&entry.needs, &context)?;
            Ok((unit, self.names(&entry.after, &context)?, needs))
        };
        contexts.into_iter().map(one).collect()
    }

    /// Names of resources, templates among them filled in.
    pub(super) fn names(
        &self,
        names: &[String],
        context: &Value,
    ) -> Result<Vec<String>, BundleFault> {
        let one = |name: &String| match name.contains("{{") {
            true => self.templates.text(name, &self.role.path, context),
            false => Ok(name.clone()),
        };
        names.iter().map(one).collect()
    }

    /// Name of a unit; a template, because some are called after the version of what they run.
    pub(super) fn unit(&self, text: &str) -> Result<String, BundleFault> {
        self.templates
            .text(text, &self.role.path, &self.context(None))
    }

    fn file_entry(&mut self, entry: &'a FileEntry) -> Result<(), BundleFault> {
        if !self.is_wanted(entry.when_artifact.as_ref()) {
            return Ok(());
        }
        let Some(each) = entry.each else {
            return self.file(entry, None);
        };
        let values = self.values;
        // What drains needs its files until it is gone.
        let leaving: &[Item] = match each {
            Each::Identity => &values.leaving,
            _ => &[],
        };
        let mut items = values.items(each).iter().chain(leaving);
        items.try_for_each(|item| self.file(entry, Some(item)))
    }

    fn file(&mut self, entry: &'a FileEntry, item: Option<&Item>) -> Result<(), BundleFault> {
        if entry.secret.is_some_and(Secret::is_awaited) && self.awaited(entry, item)?.is_none() {
            // Still to be made or given: the file comes with it.
            return Ok(());
        }
        let context = self.context(item);
        let path = self
            .templates
            .text(&entry.path, &self.role.path, &context)?;
        if path == CONFIG_PATH && entry.generated.is_none() {
            // What is written there decides who may send from where, and only what the planner makes
            // of it is known to.
            return Err(self.fault(&format!(
                "{CONFIG_PATH} is made by the planner: generated = \"powermta-config\" is accepted, \
                 and lines of your own stand in {EXTRA}"
            )));
        }
        let content = self.content(entry, item, &context)?;
        let spec = FileSpec {
            path: self.path(&path)?,
            content,
            mode: self.mode(&entry.mode)?,
            owner: entry.owner.clone(),
            group: entry.group.clone(),
            validate: None,
        };
        let id = format!("file:{path}");
        let after = self.names(&entry.after, &context)?;
        let notify = self.names(&entry.notify, &context)?;
        self.written.push((id.clone(), after, notify));
        self.add(id, Spec::File(spec), entry.on_remove)
    }

    pub(super) fn context(&self, item: Option<&Item>) -> Value {
        context! {
            values => self.constants.clone(),
            item => item.map_or(Value::UNDEFINED, |item| item.value.clone()),
            ..self.shared.clone()
        }
    }

    fn content(
        &mut self,
        entry: &FileEntry,
        item: Option<&Item>,
        context: &Value,
    ) -> Result<FileContent, BundleFault> {
        if let Some(name) = &entry.artifact {
            let others = entry.template.is_some() || entry.generated.is_some();
            if others || entry.secret.is_some() || entry.comment.is_some() || item.is_some() {
                return Err(self.fault(&format!(
                    "file {:?} is an artifact: each, template, generated, secret and comment are not for it",
                    entry.path
                )));
            }
            return Ok(FileContent::Artifact(self.artifact(name)?));
        }
        let text = match (&entry.template, entry.generated, entry.secret) {
            (Some(template), None, None) => self.templates.file(template, context)?,
            (None, Some(Generated::PowermtaConfig), None) => self
                .values
                .powermta
                .clone()
                .ok_or_else(|| self.fault("only a powermta host has a powermta-config"))?,
            (None, None, Some(secret)) => return self.secret(entry, secret, item),
            _ if entry.variable.is_some() => {
                return Err(self.fault("variable is for a secret"));
            }
            _ => {
                return Err(self.fault(&format!(
                    "file {:?} has exactly one of artifact, template, generated, secret",
                    entry.path
                )));
            }
        };
        let text = match &entry.comment {
            Some(sign) => headed(sign, &text),
            None => text,
        };
        let bytes = text.into_bytes();
        let hash = ContentHash::of(&bytes);
        let length = bytes.len() as u64;
        self.bodies.insert(hash, bytes);
        Ok(FileContent::Body { hash, length })
    }

    fn add(&mut self, id: String, spec: Spec, on_remove: OnRemove) -> Result<(), BundleFault> {
        let id = ResourceId::new(id).map_err(|error| self.fault(&error.to_string()))?;
        let resource = Resource {
            id: id.clone(),
            spec,
            on_remove,
            policy: Policy::Enforce,
            after: Vec::new(),
            notify: Vec::new(),
        };
        if self.resources.insert(id.clone(), resource).is_some() {
            return Err(self.fault(&format!("{id} is listed twice")));
        }
        Ok(())
    }

    /// Edges come last, when every id is known.
    fn edges(&mut self, made: &[(String, &[String], &[String])]) -> Result<(), BundleFault> {
        let role = self.role;
        for entry in &role.services {
            for (unit, after, _) in self.units(entry)? {
                let after = self.expand(&after)?;
                self.edge(&format!("service:{unit}"), after, Vec::new());
            }
        }
        for entry in &role.steps {
            let (after, notify) = (self.expand(&entry.after)?, self.expand(&entry.notify)?);
            self.edge(&format!("step:{}", entry.name), after, notify);
        }
        for (id, after, notify) in made {
            let (after, notify) = (self.expand(after)?, self.expand(notify)?);
            self.edge(id, after, notify);
        }
        if let Some(entry) = &role.firewall {
            let (after, notify) = (self.expand(&entry.after)?, self.expand(&entry.notify)?);
            self.edge(firewall::ID, after, notify);
        }
        for entry in &role.transactions {
            let (after, notify) = (self.expand(&entry.after)?, self.expand(&entry.notify)?);
            self.edge(&format!("transaction:{}", entry.name), after, notify);
        }
        for (id, after, notify) in std::mem::take(&mut self.written) {
            let (after, notify) = (self.expand(&after)?, self.expand(&notify)?);
            self.edge(&id, after, notify);
        }
        Ok(())
    }

    fn edge(&mut self, id: &str, after: Vec<ResourceId>, notify: Vec<ResourceId>) {
        let resource = ResourceId::new(id)
            .ok()
            .and_then(|id| self.resources.get_mut(&id));
        if let Some(resource) = resource {
            resource.after = after;
            resource.notify = notify;
        }
    }

    pub(super) fn expand(&self, names: &[String]) -> Result<Vec<ResourceId>, BundleFault> {
        let mut ids = Vec::new();
        for name in names {
            if let Some(prefix) = name.strip_suffix('*') {
                ids.extend(
                    self.resources
                        .keys()
                        .filter(|id| id.as_str().starts_with(prefix))
                        .cloned(),
                );
            } else {
                ids.push(
                    ResourceId::new(name.clone())
                        .ok()
                        .filter(|id| self.resources.contains_key(id))
                        .ok_or_else(|| self.fault(&format!("no resource has the id {name:?}")))?,
                );
            }
        }
        Ok(ids)
    }

    pub(super) fn path(&self, text: &str) -> Result<HostPath, BundleFault> {
        HostPath::new(text).map_err(|error| self.fault(&error.to_string()))
    }

    /// Whether an entry is part of this host: always, unless it wants a name that stands for nothing.
    pub(super) fn is_wanted(&self, when_artifact: Option<&ArtifactName>) -> bool {
        when_artifact.is_none_or(|name| self.artifacts.contains_key(name))
    }

    /// What a name stands for on this host.
    pub(super) fn artifact(&self, name: &ArtifactName) -> Result<ArtifactRef, BundleFault> {
        let found = self.artifacts.get(name).cloned();
        found.ok_or_else(|| self.fault(&format!("artifact {name} was not looked up")))
    }

    pub(super) fn mode(&self, digits: &str) -> Result<u32, BundleFault> {
        u32::from_str_radix(digits, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777)
            .ok_or_else(|| self.fault(&format!("mode {digits:?} is not octal digits up to 7777")))
    }

    pub(super) fn fault(&self, reason: &str) -> BundleFault {
        BundleFault {
            file: self.role.path.clone(),
            line: None,
            reason: reason.to_owned(),
        }
    }
}

/// A text under a head that names its hash and nothing that changes without it.
pub(super) fn headed(sign: &str, text: &str) -> String {
    let hash = ContentHash::of(text.as_bytes());
    format!(
        "{sign} Written by Email-Engine; what is changed here is changed back.\n\
         {sign}{HASH_FOLLOWS}{hash}\n{text}"
    )
}

/// A text whose head does not change with the lines below it, for telling what does.
pub(super) fn without_hash(text: &str) -> String {
    match text.split_once(HASH_FOLLOWS) {
        Some((head, rest)) if head.lines().count() <= 2 => {
            let below = rest.split_once('\n').map_or("", |(_, below)| below);
            format!("{head}{HASH_FOLLOWS}...\n{below}")
        }
        _ => text.to_owned(),
    }
}

const HASH_FOLLOWS: &str = " sha256 of the lines below this one: ";
