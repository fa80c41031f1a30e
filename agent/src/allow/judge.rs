//! Whether a state stays inside the list. Pure: the answer follows from the arguments.

use std::collections::BTreeSet;
use std::net::IpAddr;

use email_engine_protocol::desired::{
    CommandLine, DatabaseSpec, HealthCheckSpec, HostConfig, HostPath, Probe, Resource, Spec,
    UserSpec, VendorPackageSpec,
};
use email_engine_protocol::id::ResourceId;
use ipnet::IpNet;

use super::CommandRule;

/// What is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    /// Where it comes from, for reasons.
    pub origin: String,
    /// Paths of files and folders.
    pub paths: Vec<PathRule>,
    /// First words of commands, or all of them.
    pub commands: Vec<CommandRule>,
    /// Names of packages.
    pub packages: Names,
    /// Names of packages that may come from an operator's file.
    pub package_files: Names,
    /// How addresses of package repositories begin, each without a slash at its end.
    pub package_repositories: Vec<String>,
    /// Names of units.
    pub services: Names,
    /// Names of users that services run as.
    pub users: Names,
    /// Names of groups, also of those that a user is put into.
    pub groups: Names,
    /// Names of kernel settings.
    pub sysctls: Names,
    /// Names of interfaces that get addresses.
    pub interfaces: Names,
    /// Networks whose addresses they may get.
    pub addresses: Vec<IpNet>,
    /// Ports of this host at which servers may be asked whether they are well.
    pub ports: Names,
    /// Databases, by engine and name.
    pub databases: Names,
    /// Users of databases, by engine and name.
    pub database_users: Names,
    /// Tables in which rows may be kept, by engine, database and name.
    pub tables: Names,
    /// Whether a state may say what enters and leaves.
    pub firewall: bool,
    /// Hosts of ACME servers that may be asked, with a port where it is not 443.
    pub acme_directories: Names,
    /// Where files and folders may have set-user-id and set-group-id bits.
    pub set_id: Vec<PathRule>,
    /// The agent's own files and folders: refused whatever is listed.
    pub own: BTreeSet<HostPath>,
}

/// One entry of `paths`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRule {
    /// A folder and everything below it; everything when it is the root.
    Below(Option<HostPath>),
    /// Exactly this.
    Exactly(HostPath),
}

/// The entries of `packages`, of `services` and of other lists of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Every name is allowed.
    pub all: bool,
    /// These are.
    pub listed: BTreeSet<String>,
}

/// What a state wants and may not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disallowed {
    /// An address that is in no listed network.
    #[error("{resource}: no entry of `addresses` in {origin} allows {address}")]
    Address {
        /// Who wants it.
        resource: ResourceId,
        /// Which one.
        address: IpAddr,
        /// The list.
        origin: String,
    },
    /// A command that is not listed.
    #[error("{resource}: no entry of `commands` in {origin} allows `{command}`")]
    Command {
        /// Who wants it.
        resource: ResourceId,
        /// What it wants.
        command: String,
        /// The list.
        origin: String,
    },
    /// A firewall where none is wanted.
    #[error("{resource}: `firewall` in {origin} allows no firewall")]
    Firewall {
        /// Who wants it.
        resource: ResourceId,
        /// The list.
        origin: String,
    },
    /// A package or service that is not listed.
    #[error("{resource}: no entry of `{key}` in {origin} allows {name}")]
    Name {
        /// Who wants it.
        resource: ResourceId,
        /// Which part of the list.
        key: &'static str,
        /// What it wants.
        name: String,
        /// The list.
        origin: String,
    },
    /// Bits by which a program runs as its owner, or a folder hands on its group.
    #[error("{resource}: no entry of `set_id` in {origin} allows {path} the mode {mode:04o}")]
    SetId {
        /// Who wants it.
        resource: ResourceId,
        /// Where.
        path: HostPath,
        /// The whole mode.
        mode: u32,
        /// The list.
        origin: String,
    },
    /// A folder above the agent's own files that would no longer be root's alone.
    #[error(
        "{resource}: {path} holds the agent's own {own} and must stay a folder of root's that \
         nobody else can write to"
    )]
    Opened {
        /// Who wants it.
        resource: ResourceId,
        /// The folder.
        path: HostPath,
        /// What is in it.
        own: HostPath,
    },
    /// The agent's own.
    #[error("{resource}: {path} is or holds the agent's own {own}, which no state may touch")]
    Own {
        /// Who wants it.
        resource: ResourceId,
        /// The path.
        path: HostPath,
        /// What is guarded.
        own: HostPath,
    },
    /// A path that is not listed.
    #[error("{resource}: no entry of `paths` in {origin} allows {path}")]
    Path {
        /// Who wants it.
        resource: ResourceId,
        /// The path.
        path: HostPath,
        /// The list.
        origin: String,
    },
    /// A folder of which everything is written.
    #[error("{resource}: no entry of `paths` in {origin} that ends in '/' allows all of {path}/")]
    Tree {
        /// Who wants it.
        resource: ResourceId,
        /// The folder.
        path: HostPath,
        /// The list.
        origin: String,
    },
}

/// What a transaction asks a server of mail: that says its name to everybody.
const fn is_greeting(probe: &Probe) -> bool {
    matches!(probe, Probe::Greeting { .. })
}

impl PathRule {
    fn allows(&self, path: &HostPath) -> bool {
        match self {
            Self::Below(None) => true,
            Self::Below(Some(folder)) => path.is_within(folder),
            Self::Exactly(only) => path == only,
        }
    }
}

impl Names {
    /// One `*` in an entry stands for one or more signs.
    pub(super) fn allows(&self, name: &str) -> bool {
        let fits = |entry: &String| {
            let (before, behind) = entry.split_once('*')?;
            let inner = name.strip_prefix(before)?.strip_suffix(behind)?;
            Some(!inner.is_empty())
        };
        self.all
            || self.listed.contains(name)
            || self.listed.iter().any(|one| fits(one) == Some(true))
    }
}

impl AllowList {
    /// Judges a whole state.
    ///
    /// # Errors
    /// The first resource, in order, that wants what it may not have.
    pub fn judge(&self, config: &HostConfig) -> Result<(), Disallowed> {
        config.resources.iter().try_for_each(|resource| {
            if let Some(path) = resource.spec.path() {
                self.judge_own(resource, path)?;
                self.judge_path(resource, path)?;
            }
            match &resource.spec {
                Spec::File(file) => {
                    self.judge_mode(resource, &file.path, file.mode)?;
                    let validate = file.validate.as_ref();
                    validate.map_or(Ok(()), |command| self.judge_command(resource, command))
                }
                Spec::Archive(archive) => self.judge_tree(resource, &archive.path),
                Spec::Certificate(spec) => self.judge_certificate(resource, spec),
                Spec::Directory(folder) => self.judge_mode(resource, &folder.path, folder.mode),
                Spec::Package(package) => {
                    self.judge_name(resource, "packages", &self.packages, &package.name)
                }
                Spec::VendorPackage(spec) => self.judge_vendor(resource, spec),
                Spec::PackageRepository(spec) => self.judge_repository(resource, spec),
                Spec::Service(service) => {
                    self.judge_name(resource, "services", &self.services, &service.unit)
                }
                Spec::Step(step) => self.judge_commands(resource, step.commands()),
                Spec::Discard(spec) => self.judge_commands(resource, spec.commands()),
                Spec::Suspension(spec) => self.judge_commands(resource, spec.commands()),
                Spec::Transaction(spec) => {
                    self.judge_commands(resource, spec.commands())?;
                    // What is read is told in reports.
                    let mut logs = spec.logs();
                    logs.try_for_each(|log| self.judge_path(resource, log))?;
                    let mut asked = spec.probes().filter(|probe| !is_greeting(probe));
                    asked.try_for_each(|probe| self.judge_server(resource, probe))?;
                    let mut units = spec.units();
                    units.try_for_each(|unit| {
                        self.judge_name(resource, "services", &self.services, unit)
                    })
                }
                Spec::HealthCheck(spec) => self.judge_health(resource, spec),
                Spec::Firewall(_) if self.firewall => Ok(()),
                Spec::Firewall(_) => Err(Disallowed::Firewall {
                    resource: resource.id.clone(),
                    origin: self.origin.clone(),
                }),
                Spec::Symlink(link) => {
                    // What is written through it later would be written there.
                    self.judge_own(resource, &link.target)?;
                    self.judge_path(resource, &link.target)
                }
                Spec::Group(group) => {
                    self.judge_name(resource, "groups", &self.groups, &group.name)
                }
                Spec::User(user) => self.judge_user(resource, user),
                Spec::Database(spec) => self.judge_database(resource, spec),
                Spec::SqlRow(row) => {
                    let name = format!("{}/{}.{}", row.engine, row.database, row.table);
                    self.judge_name(resource, "tables", &self.tables, &name)
                }
                Spec::SqlScript(script) => script.tables().try_for_each(|table| {
                    let name = format!("{}/{}.{table}", script.engine, script.database);
                    self.judge_name(resource, "tables", &self.tables, &name)
                }),
                Spec::Sysctl(setting) => {
                    self.judge_name(resource, "sysctls", &self.sysctls, &setting.key)
                }
                Spec::IpAddress(spec) => {
                    let name = spec.interface.as_deref().unwrap_or("default");
                    self.judge_name(resource, "interfaces", &self.interfaces, name)?;
                    let mut addresses = spec.addresses.iter();
                    addresses.try_for_each(|address| self.judge_address(resource, *address))
                }
            }
        })?;
        self.judge_accounting(config)
    }

    fn judge_commands<'a>(
        &self,
        resource: &Resource,
        mut commands: impl Iterator<Item = &'a CommandLine>,
    ) -> Result<(), Disallowed> {
        commands.try_for_each(|command| self.judge_command(resource, command))
    }

    fn judge_user(&self, resource: &Resource, user: &UserSpec) -> Result<(), Disallowed> {
        self.judge_name(resource, "users", &self.users, &user.name)?;
        // One of its own name comes with it.
        let mut groups = user.all_groups().filter(|group| *group != user.name);
        groups.try_for_each(|group| self.judge_name(resource, "groups", &self.groups, group))
    }

    /// What is read must be listed as well: counts and names of it leave the host.
    fn judge_accounting(&self, config: &HostConfig) -> Result<(), Disallowed> {
        let files = config.accounting.iter().flat_map(|spec| &spec.files);
        for path in files.map(|file| &file.path) {
            let resource = || ResourceId::new("accounting").expect("it is a plain word");
            if let Some(own) = self.own.iter().find(|own| path.is_within(own)) {
                return Err(Disallowed::Own {
                    resource: resource(),
                    path: path.clone(),
                    own: own.clone(),
                });
            }
            if !self.paths.iter().any(|rule| rule.allows(path)) {
                return Err(Disallowed::Path {
                    resource: resource(),
                    path: path.clone(),
                    origin: self.origin.clone(),
                });
            }
        }
        Ok(())
    }

    pub(super) fn judge_own(&self, resource: &Resource, path: &HostPath) -> Result<(), Disallowed> {
        for own in &self.own {
            let above = own.is_within(path);
            if let (true, Spec::Directory(folder)) = (above && own != path, &resource.spec) {
                let owner = folder.owner.as_deref().unwrap_or("root");
                if owner != "root" || folder.mode & 0o022 != 0 {
                    return Err(Disallowed::Opened {
                        resource: resource.id.clone(),
                        path: path.clone(),
                        own: own.clone(),
                    });
                }
            } else if above || path.is_within(own) {
                return Err(Disallowed::Own {
                    resource: resource.id.clone(),
                    path: path.clone(),
                    own: own.clone(),
                });
            }
        }
        Ok(())
    }

    fn judge_path(&self, resource: &Resource, path: &HostPath) -> Result<(), Disallowed> {
        if self.paths.iter().any(|rule| rule.allows(path)) {
            return Ok(());
        }
        Err(Disallowed::Path {
            resource: resource.id.clone(),
            path: path.clone(),
            origin: self.origin.clone(),
        })
    }

    /// A folder of which everything is written: to list the folder alone does not allow that.
    pub(super) fn judge_tree(
        &self,
        resource: &Resource,
        path: &HostPath,
    ) -> Result<(), Disallowed> {
        let is_whole = |rule: &PathRule| matches!(rule, PathRule::Below(_)) && rule.allows(path);
        if self.paths.iter().any(is_whole) {
            return Ok(());
        }
        Err(Disallowed::Tree {
            resource: resource.id.clone(),
            path: path.clone(),
            origin: self.origin.clone(),
        })
    }

    fn judge_mode(
        &self,
        resource: &Resource,
        path: &HostPath,
        mode: u32,
    ) -> Result<(), Disallowed> {
        if mode & 0o6000 == 0 || self.set_id.iter().any(|rule| rule.allows(path)) {
            return Ok(());
        }
        Err(Disallowed::SetId {
            resource: resource.id.clone(),
            path: path.clone(),
            mode,
            origin: self.origin.clone(),
        })
    }

    pub(super) fn judge_name(
        &self,
        resource: &Resource,
        key: &'static str,
        names: &Names,
        name: &str,
    ) -> Result<(), Disallowed> {
        if names.allows(name) {
            return Ok(());
        }
        Err(Disallowed::Name {
            resource: resource.id.clone(),
            key,
            name: name.to_owned(),
            origin: self.origin.clone(),
        })
    }

    fn judge_vendor(
        &self,
        resource: &Resource,
        spec: &VendorPackageSpec,
    ) -> Result<(), Disallowed> {
        let (key, names) = match &spec.artifact {
            Some(_) => ("package_files", &self.package_files),
            None => ("packages", &self.packages),
        };
        self.judge_name(resource, key, names, &spec.package.name)
    }

    fn judge_database(&self, resource: &Resource, spec: &DatabaseSpec) -> Result<(), Disallowed> {
        let listed = |name: &str| format!("{}/{name}", spec.engine);
        let (name, user) = (listed(&spec.name), listed(&spec.user));
        self.judge_name(resource, "databases", &self.databases, &name)?;
        self.judge_name(resource, "database_users", &self.database_users, &user)
    }

    fn judge_health(&self, resource: &Resource, spec: &HealthCheckSpec) -> Result<(), Disallowed> {
        for probe in &spec.probes {
            self.judge_server(resource, probe)?;
            if let Some(command) = probe.command() {
                self.judge_command(resource, command)?;
            }
        }
        let mut units = spec.units();
        units.try_for_each(|unit| self.judge_name(resource, "services", &self.services, unit))
    }

    /// A server that is asked: it is at an address of this host, and only some of those are for asking.
    fn judge_server(&self, resource: &Resource, probe: &Probe) -> Result<(), Disallowed> {
        let Some(address) = probe.address() else {
            return Ok(());
        };
        let port = address.port().to_string();
        self.judge_name(resource, "ports", &self.ports, &port)
    }

    fn judge_address(&self, resource: &Resource, address: IpAddr) -> Result<(), Disallowed> {
        if self.addresses.iter().any(|net| net.contains(&address)) {
            return Ok(());
        }
        Err(Disallowed::Address {
            resource: resource.id.clone(),
            address,
            origin: self.origin.clone(),
        })
    }

    fn judge_command(&self, resource: &Resource, command: &CommandLine) -> Result<(), Disallowed> {
        let mut words = vec![command.program.as_str()];
        words.extend(command.arguments.iter().map(String::as_str));
        if self.commands.iter().any(|rule| rule.allows(&words)) {
            return Ok(());
        }
        Err(Disallowed::Command {
            resource: resource.id.clone(),
            command: words.join(" "),
            origin: self.origin.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::desired::{Guard, OnNotify, PackageSpec, ServiceSpec, StepSpec};
    use proptest::prelude::*;

    use super::*;
    use crate::reconciler::plan::tests::{config, directory, file};

    fn path(text: &str) -> HostPath {
        HostPath::new(text).unwrap()
    }

    fn names(listed: &[&str]) -> Names {
        Names {
            all: false,
            listed: listed.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn list() -> AllowList {
        AllowList {
            origin: "the list".to_owned(),
            paths: vec![
                PathRule::Below(Some(path("/etc/pmta"))),
                PathRule::Exactly(path("/etc/engine")),
                PathRule::Below(Some(path("/lib/agent"))),
            ],
            commands: vec![
                CommandRule::read(vec!["/usr/sbin/pmta".to_owned(), "reload".to_owned()]).unwrap(),
            ],
            packages: names(&["cron"]),
            services: names(&["pmta.service"]),
            set_id: vec![PathRule::Exactly(path("/etc/pmta/shared"))],
            own: BTreeSet::from([path("/lib/agent/data"), path("/etc/engine/agent.toml")]),
            ..AllowList::default()
        }
    }

    fn step(words: &[&str]) -> Resource {
        let mut made = file("/x");
        made.id = ResourceId::new("step:run").unwrap();
        made.spec = Spec::Step(StepSpec {
            command: CommandLine {
                program: path(words[0]),
                arguments: words[1..].iter().map(|word| (*word).to_owned()).collect(),
            },
            guard: Guard::Notified,
            timeout_seconds: 1,
            success_codes: Vec::new(),
        });
        made
    }

    fn refused(resource: Resource) -> String {
        let state = config(vec![file("/etc/pmta/config"), resource]);
        list().judge(&state).unwrap_err().to_string()
    }

    fn allowed(resource: Resource) -> bool {
        list().judge(&config(vec![resource])).is_ok()
    }

    #[test]
    fn paths_are_exact_or_whole_folders() {
        assert!(allowed(directory("/etc/pmta")) && allowed(file("/etc/pmta/a/b")));
        assert!(allowed(directory("/etc/engine")));
        for outside in ["/etc/shadow", "/etc/pmta2/x", "/etc/engine/other", "/srv"] {
            let reason = refused(file(outside));
            assert!(reason.contains("`paths` in the list"), "{reason}");
            assert!(reason.contains(outside), "{reason}");
        }
        let mut everything = list();
        everything.paths = vec![PathRule::Below(None)];
        assert_eq!(everything.judge(&config(vec![file("/etc/shadow")])), Ok(()));
    }

    #[test]
    fn a_command_must_begin_with_the_listed_words() {
        assert!(allowed(step(&["/usr/sbin/pmta", "reload"])));
        assert!(allowed(step(&["/usr/sbin/pmta", "reload", "--now"])));
        // What only asks is run as well.
        for guard in [Guard::OnlyIf, Guard::Unless] {
            let asked = CommandLine {
                program: path("/usr/bin/asked"),
                arguments: Vec::new(),
            };
            let mut guarded = step(&["/usr/sbin/pmta", "reload"]);
            let Spec::Step(spec) = &mut guarded.spec else {
                panic!("a step");
            };
            spec.guard = guard(asked);
            let reason = refused(guarded);
            assert!(reason.contains("/usr/bin/asked"), "{reason}");
        }
        for words in [
            &["/bin/sh", "-c", "true"][..],
            &["/usr/sbin/pmta"],
            &["/usr/sbin/pmta", "delete"],
            &["/usr/sbin/pmta", "reload --now"],
        ] {
            let reason = refused(step(words));
            assert!(reason.contains(&words.join(" ")), "{reason}");
            assert!(reason.contains("`commands` in the list"), "{reason}");
        }
        let mut validated = file("/etc/pmta/config2");
        if let Spec::File(spec) = &mut validated.spec {
            spec.validate = Some(CommandLine {
                program: path("/bin/sh"),
                arguments: Vec::new(),
            });
        }
        assert!(refused(validated).contains("/bin/sh"));
    }

    fn package(name: &str) -> Resource {
        let mut made = file("/x");
        made.id = ResourceId::new("package:one").unwrap();
        made.spec = Spec::Package(PackageSpec {
            name: name.to_owned(),
            version: None,
            hold: false,
        });
        made
    }

    fn service(unit: &str) -> Resource {
        let mut made = file("/x");
        made.id = ResourceId::new("service:one").unwrap();
        made.spec = Spec::Service(ServiceSpec {
            unit: unit.to_owned(),
            enabled: true,
            running: true,
            on_notify: OnNotify::Reload,
        });
        made
    }

    #[test]
    fn packages_and_services_are_listed_by_name() {
        assert!(allowed(package("cron")) && allowed(service("pmta.service")));
        for (outside, key, name) in [
            (package("netcat"), "packages", "netcat"),
            (service("ssh.service"), "services", "ssh.service"),
        ] {
            let expected = format!("no entry of `{key}` in the list allows {name}");
            let reason = refused(outside);
            assert!(reason.contains(&expected), "{reason}");
        }
        let mut open = list();
        open.packages.all = true;
        assert_eq!(open.judge(&config(vec![package("netcat")])), Ok(()));
        assert!(open.judge(&config(vec![service("ssh.service")])).is_err());
    }

    #[test]
    fn set_id_bits_are_refused_where_the_list_does_not_name_them() {
        let with = |at: &str, mode: u32| {
            let mut program = file(at);
            let mut folder = directory(at);
            if let (Spec::File(file), Spec::Directory(folder)) =
                (&mut program.spec, &mut folder.spec)
            {
                file.mode = mode;
                folder.mode = mode;
            }
            [program, folder]
        };
        assert!(with("/etc/pmta/x", 0o1755).into_iter().all(allowed));
        assert!(with("/etc/pmta/shared", 0o2770).into_iter().all(allowed));
        for mode in [0o4755, 0o2755, 0o6755] {
            for made in with("/etc/pmta/x", mode) {
                let reason = refused(made);
                assert!(reason.contains(&format!("the mode {mode:04o}")), "{reason}");
            }
        }
    }

    #[test]
    fn the_agents_own_is_refused_although_it_is_listed() {
        for own in [
            file("/lib/agent/data"),
            file("/lib/agent/data/keys"),
            directory("/lib/agent/data"),
            directory("/lib/agent/data/ledger"),
            file("/etc/engine/agent.toml"),
            // As a file it would take the place of the folder that holds it.
            file("/etc/engine"),
            file("/lib/agent"),
        ] {
            let reason = refused(own);
            assert!(reason.contains("the agent's own"), "{reason}");
        }
    }

    #[test]
    fn a_folder_above_the_agents_own_stays_roots_alone() {
        let above = |owner: Option<&str>, mode: u32| {
            let mut made = directory("/lib/agent");
            if let Spec::Directory(folder) = &mut made.spec {
                folder.owner = owner.map(str::to_owned);
                folder.mode = mode;
            }
            made
        };
        assert!(allowed(above(None, 0o755)) && allowed(above(Some("root"), 0o750)));
        for opened in [above(Some("pmta"), 0o755), above(None, 0o775)] {
            let reason = refused(opened);
            assert!(reason.contains("nobody else can write to"), "{reason}");
        }
    }

    #[test]
    fn every_command_and_unit_of_a_transaction_is_judged() {
        use email_engine_protocol::desired::{Probe, TransactionSpec};
        let judged = |change: fn(&mut TransactionSpec)| {
            let mut together = crate::transaction::tests::pair(&["/etc/pmta/a"]);
            if let Spec::Transaction(spec) = &mut together.spec {
                for check in [&mut spec.test, &mut spec.activate] {
                    check.command.program = path("/usr/sbin/pmta");
                    check.command.arguments = vec!["reload".to_owned()];
                }
                spec.unit = Some("pmta.service".to_owned());
                change(spec);
            }
            let state = config(vec![file("/etc/pmta/a"), together]);
            list().judge(&state).map_err(|error| error.to_string())
        };
        assert_eq!(judged(|_| {}), Ok(()));
        let command = judged(|spec| spec.test.command.program = path("/bin/sh"));
        assert!(command.unwrap_err().contains("`/bin/sh reload`"));
        let asked = judged(|spec| {
            let mut command = spec.test.command.clone();
            command.arguments = vec!["show".to_owned()];
            spec.read_back.push(Probe::Answer {
                command,
                seconds: 1,
                expect: Vec::new(),
            });
        });
        assert!(asked.unwrap_err().contains("`/usr/sbin/pmta show`"));
        let unit = judged(|spec| spec.unit = Some("ssh.service".to_owned()));
        assert!(unit.unwrap_err().contains("ssh.service"));
    }

    proptest! {
        /// Whatever is listed, nothing that the agent owns is ever allowed to be written.
        #[test]
        fn no_list_opens_the_agents_own(
            rules in proptest::collection::vec("/[a-c](/[a-c]){0,2}", 0..6),
            wanted in "/[a-c](/[a-c]){0,3}",
            own in "/[a-c](/[a-c]){0,2}",
        ) {
            let own = path(&own);
            let open = AllowList {
                origin: String::new(),
                paths: rules.iter().map(|rule| PathRule::Below(Some(path(rule)))).collect(),
                commands: vec![CommandRule::default()],
                own: BTreeSet::from([own.clone()]),
                ..AllowList::default()
            };
            let wanted_path = path(&wanted);
            if open.judge(&config(vec![file(&wanted)])).is_ok() {
                prop_assert!(!wanted_path.is_within(&own) && !own.is_within(&wanted_path));
                prop_assert!(rules.iter().any(|rule| wanted_path.is_within(&path(rule))));
            }
        }
    }

    #[test]
    fn one_star_in_a_name_stands_for_what_differs() {
        let known = names(&["postgresql/api_*", "web@*.service", "cron", "a*b*"]);
        for good in ["postgresql/api_client_1", "web@x.service", "cron", "aXb*"] {
            assert!(known.allows(good), "{good}");
        }
        for bad in [
            "postgresql/api_",
            "mysql/api_x",
            "web@.service",
            "web@x.socket",
            "cron2",
            "ab",
        ] {
            assert!(!known.allows(bad), "{bad}");
        }
    }
}
