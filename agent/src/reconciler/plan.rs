//! What is to be done, decided from what shall be, what was found and what is owned.
//!
//! Pure: no machine, no clock. A plan leaves nothing to decide for whoever walks through it, except
//! what only the walk can tell: what failed, and what really changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use email_engine_protocol::desired::{Engine, Guard, HostConfig, HostPath, Policy, Resource, Spec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::ResourceState;

use crate::inventory::{Inventory, Item, Thing};
use crate::resources::Finding;

/// What is decided about one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing to do: this is how it is.
    Leave(ResourceState),
    /// Make it right.
    Make {
        /// What differs.
        diff: String,
        /// Whether it was right before, so that this undoes drift.
        repair: bool,
    },
}

/// Everything that a pass does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Removed first: something else shall stand in its place.
    pub early: Vec<(Thing, Item)>,
    /// One decision per resource of the state, in its order.
    pub decisions: Vec<Decision>,
    /// Removed last, in this order.
    pub late: Vec<(Thing, Item)>,
}

impl Plan {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_noop(&self) -> bool {
        self.early.is_empty()
            && self.late.is_empty()
            && self
                .decisions
                .iter()
                .all(|decision| matches!(decision, Decision::Leave(_)))
    }

    /// Whom the changes of this plan will notify.
    #[must_use]
    pub fn to_be_told(&self, config: &HostConfig) -> BTreeSet<ResourceId> {
        config
            .resources
            .iter()
            .zip(&self.decisions)
            .filter(|(_, decision)| matches!(decision, Decision::Make { .. }))
            .flat_map(|(resource, _)| resource.notify.iter().cloned())
            .collect()
    }
}

/// Repairs that are put off, with the distance that each keeps to the one before.
pub type Contested = BTreeMap<ResourceId, Duration>;

/// Decides. `findings` has every resource of the state; `contested` those whose repair is put off.
#[must_use]
pub fn plan(
    config: &HostConfig,
    findings: &BTreeMap<ResourceId, Finding>,
    inventory: &Inventory,
    contested: &Contested,
) -> Plan {
    let mut decisions: Vec<Decision> = config
        .resources
        .iter()
        .map(|resource| decide(resource, findings, inventory, contested))
        .collect();
    look_again_below_made_folders(config, &mut decisions);
    look_again_in_made_databases(config, findings, &mut decisions);
    ask_again(config, &mut decisions);
    let ground = Ground::of(config);
    let mut orphans = inventory.orphans(config);
    orphans.sort_by(|(one, _), (two, _)| removal_rank(one).cmp(&removal_rank(two)));
    let (early, late) = orphans
        .into_iter()
        .partition(|(thing, _)| ground.is_needed(thing));
    Plan {
        early,
        decisions,
        late,
    }
}

/// The places that a state needs for itself.
struct Ground {
    /// Its files and folders.
    own: BTreeSet<HostPath>,
    /// Its files and links: nothing can be below them.
    files: BTreeSet<HostPath>,
    /// Everything above its files and folders: has to be a folder.
    above: BTreeSet<HostPath>,
    /// Whether it puts addresses on interfaces: taken off after that, one that moved would be lost.
    addresses: bool,
}

impl Ground {
    fn of(config: &HostConfig) -> Self {
        let paths = config.resources.iter().filter_map(|r| r.spec.path());
        let own: BTreeSet<HostPath> = paths.cloned().collect();
        let files = config
            .resources
            .iter()
            .filter_map(|resource| match &resource.spec {
                Spec::File(spec) => Some(spec.path.clone()),
                Spec::Symlink(spec) => Some(spec.path.clone()),
                _ => None,
            })
            .collect();
        let mut above = BTreeSet::new();
        for path in &own {
            let mut folder = path.parent();
            while let Some(here) = folder {
                folder = here.parent();
                if !above.insert(here) {
                    break;
                }
            }
        }
        let is_address = |one: &Resource| matches!(one.spec, Spec::IpAddress(_));
        Self {
            own,
            files,
            above,
            addresses: config.resources.iter().any(is_address),
        }
    }

    /// Whether an orphan is in the way: it goes first, and if it is a folder that cannot go, then it
    /// is let go.
    fn is_needed(&self, thing: &Thing) -> bool {
        if let Thing::IpAddress(_) = thing {
            return self.addresses;
        }
        thing.path().is_some_and(|path| {
            let below_file = above_in(path, &self.files).is_some();
            below_file || self.own.contains(path) || self.above.contains(path)
        })
    }
}

fn decide(
    resource: &Resource,
    findings: &BTreeMap<ResourceId, Finding>,
    inventory: &Inventory,
    contested: &Contested,
) -> Decision {
    let diff = match findings.get(&resource.id) {
        None => return Decision::Leave(ResourceState::Unknown("not looked at".to_owned())),
        Some(Finding::Differs(diff)) => diff,
        Some(finding) => return Decision::Leave(state_of(finding)),
    };
    let applied = inventory.was_applied(resource);
    // An application brings a script new work again and again: that is nobody's drift, and no fight.
    let repair = applied && !matches!(resource.spec, Spec::SqlScript(_));
    match resource.policy {
        Policy::Hold => Decision::Leave(ResourceState::Drifted(format!("held: {diff}"))),
        Policy::Report if applied => Decision::Leave(ResourceState::Drifted(diff.clone())),
        Policy::Enforce | Policy::Report => match contested.get(&resource.id) {
            Some(pause) => {
                let seconds = pause.as_secs();
                let text = format!(
                    "contested: somebody undoes every repair, so it is made right again only \
                     {seconds} s after the last time; {diff}"
                );
                Decision::Leave(ResourceState::Drifted(text))
            }
            None => Decision::Make {
                diff: diff.clone(),
                repair,
            },
        },
    }
}

/// How a resource with this finding is reported when nothing is done about it.
#[must_use]
pub fn state_of(finding: &Finding) -> ResourceState {
    match finding {
        Finding::Differs(diff) | Finding::Noted(diff) => ResourceState::Drifted(diff.clone()),
        Finding::Right => ResourceState::Converged,
        Finding::Simulated => ResourceState::Simulated,
        Finding::Tells(told) => ResourceState::Told(told.clone()),
        // What should be knowable and is not counts as wrong; what cannot be known here does not.
        Finding::Unknown(reason) => ResourceState::Failed(format!("cannot be told: {reason}")),
        Finding::Unverified(reason) | Finding::Waits(reason) => {
            ResourceState::Unknown(reason.clone())
        }
    }
}

/// What was found below a folder that is made anew was found somewhere else, behind a link perhaps.
fn look_again_below_made_folders(config: &HostConfig, decisions: &mut [Decision]) {
    let made: BTreeSet<HostPath> = config
        .resources
        .iter()
        .zip(&*decisions)
        .filter_map(|(resource, decision)| match (&resource.spec, decision) {
            (Spec::Directory(spec), Decision::Make { .. }) => Some(spec.path.clone()),
            _ => None,
        })
        .collect();
    if made.is_empty() {
        return;
    }
    for (resource, decision) in config.resources.iter().zip(decisions) {
        let may_be_elsewhere = matches!(
            decision,
            Decision::Leave(ResourceState::Converged | ResourceState::Unknown(_))
        );
        if may_be_elsewhere
            && resource.policy == Policy::Enforce
            && let Some(folder) = resource.spec.path().and_then(|path| above_in(path, &made))
        {
            *decision = Decision::Make {
                diff: format!("its folder {folder} is made again"),
                repair: false,
            };
        }
    }
}

/// Whether a step or a script is needed was asked before what it comes after is made: that may bring what it asks
/// about, or what answers.
fn ask_again(config: &HostConfig, decisions: &mut [Decision]) {
    let is_made = |decision: &Decision| matches!(decision, Decision::Make { .. });
    let at = |id: &ResourceId| config.resources.binary_search_by(|known| known.id.cmp(id));
    // One that is asked again may be what another one comes after.
    loop {
        let due = config
            .resources
            .iter()
            .zip(&*decisions)
            .position(|(resource, decision)| {
                let is_guarded = match &resource.spec {
                    Spec::SqlScript(_) => true,
                    Spec::Step(step) => step.guard != Guard::Notified,
                    _ => false,
                };
                let mut before = resource.after.iter().filter_map(|id| at(id).ok());
                is_guarded
                    && resource.policy == Policy::Enforce
                    && !is_made(decision)
                    && before.any(|before| is_made(&decisions[before]))
            });
        let Some(due) = due else { return };
        decisions[due] = Decision::Make {
            diff: "what it comes after is changed".to_owned(),
            repair: false,
        };
    }
}

/// A row or a script waits no longer for a database that is made in the same walk.
fn look_again_in_made_databases(
    config: &HostConfig,
    findings: &BTreeMap<ResourceId, Finding>,
    decisions: &mut [Decision],
) {
    let made: BTreeSet<(Engine, &str)> = config
        .resources
        .iter()
        .zip(&*decisions)
        .filter_map(|(resource, decision)| match (&resource.spec, decision) {
            (Spec::Database(spec), Decision::Make { .. }) => {
                Some((spec.engine, spec.name.as_str()))
            }
            _ => None,
        })
        .collect();
    if made.is_empty() {
        return;
    }
    for (resource, decision) in config.resources.iter().zip(decisions) {
        let within = match &resource.spec {
            Spec::SqlRow(row) => Some((row.engine, row.database.as_str())),
            Spec::SqlScript(script) => Some((script.engine, script.database.as_str())),
            _ => None,
        };
        if let Some((engine, database)) = within
            && made.contains(&(engine, database))
            && resource.policy != Policy::Hold
            && findings.get(&resource.id).is_some_and(Finding::waits)
        {
            *decision = Decision::Make {
                diff: format!("its database {database} is made"),
                repair: false,
            };
        }
    }
}

/// The nearest of some places above a path.
fn above_in<'a>(path: &HostPath, places: &'a BTreeSet<HostPath>) -> Option<&'a HostPath> {
    let mut above = path.parent();
    while let Some(folder) = above {
        if let Some(found) = places.get(&folder) {
            return Some(found);
        }
        above = folder.parent();
    }
    None
}

/// Rows go while their database is there and their server runs, services stop before their files go,
/// files before their package, a package before what it came from, the deepest folder first, and accounts
/// when nothing is theirs any more: a user before its group.
fn removal_rank(thing: &Thing) -> (u8, std::cmp::Reverse<Option<&HostPath>>) {
    let kind = match thing {
        Thing::SqlRow { .. } => 0,
        Thing::Database { .. } => 1,
        Thing::Service(_) => 2,
        Thing::Discard(_)
        | Thing::HealthCheck(_)
        | Thing::SqlScript(_)
        | Thing::Step(_)
        | Thing::Suspension(_)
        | Thing::Transaction(_) => 3,
        Thing::File(_)
        | Thing::Firewall
        | Thing::IpAddress(_)
        | Thing::Symlink(_)
        | Thing::Sysctl(_) => 4,
        Thing::Package(_) => 5,
        Thing::Archive(_)
        | Thing::Certificate(_)
        | Thing::Directory(_)
        | Thing::PackageRepository(_) => 6,
        Thing::User(_) => 7,
        Thing::Group(_) => 8,
    };
    (kind, std::cmp::Reverse(thing.path()))
}

#[cfg(test)]
pub(crate) mod tests {
    use email_engine_protocol::bytes::ContentHash;
    use email_engine_protocol::desired::{
        CommandLine, DirectorySpec, Disposition, FileContent, FileSpec, IpAddressSpec, OnNotify,
        OnRemove, ServiceSpec, StepSpec,
    };
    use email_engine_protocol::id::{ClusterId, HostId, Role};
    use email_engine_protocol::observed::Told;
    use proptest::prelude::*;

    use super::*;
    use crate::resources::database_samples;

    fn resource(id: String, spec: Spec) -> Resource {
        Resource {
            id: ResourceId::new(id).unwrap(),
            spec,
            on_remove: OnRemove::Delete,
            policy: Policy::Enforce,
            after: Vec::new(),
            notify: Vec::new(),
        }
    }

    pub(crate) fn file(path: &str) -> Resource {
        let body = path.as_bytes();
        resource(
            format!("file:{path}"),
            Spec::File(FileSpec {
                path: HostPath::new(path).unwrap(),
                content: FileContent::Body {
                    hash: ContentHash::of(body),
                    length: body.len() as u64,
                },
                mode: 0o644,
                owner: None,
                group: None,
                validate: None,
            }),
        )
    }

    pub(crate) fn directory(path: &str) -> Resource {
        let spec = DirectorySpec {
            path: HostPath::new(path).unwrap(),
            mode: 0o755,
            owner: None,
            group: None,
        };
        let mut made = resource(format!("directory:{path}"), Spec::Directory(spec));
        made.on_remove = OnRemove::Leave;
        made
    }

    pub(crate) fn service(name: &str) -> Resource {
        resource(
            format!("service:{name}"),
            Spec::Service(ServiceSpec {
                unit: format!("{name}.service"),
                enabled: true,
                running: true,
                on_notify: OnNotify::Reload,
            }),
        )
    }

    pub(crate) fn config(mut resources: Vec<Resource>) -> HostConfig {
        resources.sort_by(|one, two| one.id.cmp(&two.id));
        HostConfig {
            cluster: ClusterId([1; 16]),
            host: HostId::new("pmta1").unwrap(),
            role: Role::Powermta,
            disposition: Disposition::Active,
            resources,
            large_removal: false,
            accounting: None,
        }
    }

    fn found(config: &HostConfig, finding: &Finding) -> BTreeMap<ResourceId, Finding> {
        let ids = config.resources.iter().map(|resource| resource.id.clone());
        ids.map(|id| (id, finding.clone())).collect()
    }

    #[test]
    fn a_host_that_is_right_needs_nothing() {
        let state = config(vec![file("/a"), directory("/d")]);
        let mut inventory = Inventory::default();
        inventory.claim(&state);
        let plan = plan(
            &state,
            &found(&state, &Finding::Right),
            &inventory,
            &Contested::new(),
        );
        assert!(plan.is_noop());
    }

    #[test]
    fn policies_tell_drift_from_a_new_wish() {
        let differs = Finding::Differs("mode".to_owned());
        let decide_with = |policy: Policy, applied: bool| {
            let mut wanted = file("/a");
            wanted.policy = policy;
            let state = config(vec![wanted.clone()]);
            let mut inventory = Inventory::default();
            inventory.claim(&state);
            if applied {
                inventory.mark_applied(&wanted);
            }
            plan(
                &state,
                &found(&state, &differs),
                &inventory,
                &Contested::new(),
            )
            .decisions
            .remove(0)
        };
        let make = |repair| Decision::Make {
            diff: "mode".to_owned(),
            repair,
        };
        assert_eq!(decide_with(Policy::Enforce, false), make(false));
        assert_eq!(decide_with(Policy::Enforce, true), make(true));
        assert_eq!(decide_with(Policy::Report, false), make(false));
        let drifted = |text: &str| Decision::Leave(ResourceState::Drifted(text.to_owned()));
        assert_eq!(decide_with(Policy::Report, true), drifted("mode"));
        assert_eq!(decide_with(Policy::Hold, false), drifted("held: mode"));
        assert_eq!(decide_with(Policy::Hold, true), drifted("held: mode"));
    }

    #[test]
    fn a_contested_resource_is_left_and_said() {
        let state = config(vec![file("/a")]);
        let findings = found(&state, &Finding::Differs("content differs".to_owned()));
        let pause = Duration::from_secs(15);
        let contested = Contested::from([(state.resources[0].id.clone(), pause)]);
        let plan = plan(&state, &findings, &Inventory::default(), &contested);
        assert!(plan.is_noop());
        assert!(matches!(
            &plan.decisions[0],
            Decision::Leave(ResourceState::Drifted(text))
                if text.starts_with("contested") && text.ends_with("15 s after the last time; content differs")
        ));
    }

    #[test]
    fn what_is_below_a_folder_that_is_made_again_is_looked_at_again() {
        let state = config(vec![directory("/d"), file("/d/deep/a"), file("/e")]);
        let mut findings = found(&state, &Finding::Right);
        let link = Finding::Differs("a symbolic link, not a directory".to_owned());
        findings.insert(directory("/d").id, link);
        let plan = plan(&state, &findings, &Inventory::default(), &Contested::new());
        let made: Vec<bool> = plan
            .decisions
            .iter()
            .map(|decision| matches!(decision, Decision::Make { .. }))
            .collect();
        assert_eq!(made, [true, true, false]);
    }

    #[test]
    fn a_step_is_asked_again_when_what_it_comes_after_is_made() {
        let path = |text: &str| HostPath::new(text).unwrap();
        let step = |name: &str, guard, after: &Resource| {
            let command = CommandLine {
                program: path("/bin/app"),
                arguments: Vec::new(),
            };
            let spec = Spec::Step(StepSpec {
                command,
                guard,
                timeout_seconds: 1,
                success_codes: vec![0],
            });
            let mut made = resource(format!("step:{name}"), spec);
            made.after.push(after.id.clone());
            made
        };
        let made = file("/archive");
        // The first of them by name comes last.
        let second = step("b", Guard::Removes(path("/old")), &made);
        let first = step("a", Guard::Creates(path("/new")), &second);
        let told = step("told", Guard::Notified, &made);
        let alone = step("z", Guard::Removes(path("/old")), &file("/elsewhere"));
        let config = config(vec![made, first, second, told, alone]);
        let decisions = |finding: &Finding| {
            let mut findings = found(&config, &Finding::Right);
            findings.insert(ResourceId::new("file:/archive").unwrap(), finding.clone());
            let plan = plan(&config, &findings, &Inventory::default(), &Contested::new());
            let made = |decision: &Decision| matches!(decision, Decision::Make { .. });
            plan.decisions.iter().map(made).collect::<Vec<_>>()
        };
        let differs = Finding::Differs("new".to_owned());
        assert_eq!(decisions(&differs), [true, true, true, false, false]);
        assert_eq!(decisions(&Finding::Right), [false; 5]);
    }

    #[test]
    fn a_row_that_waits_is_made_with_its_database_and_is_right_beside_others() {
        let state = config(vec![
            database_samples::database(),
            database_samples::row("one", 5),
        ]);
        let waits = Finding::Waits("waits: no table".to_owned());
        let mut findings = found(&state, &waits);
        findings.insert(state.resources[0].id.clone(), Finding::Right);
        let nothing = (Inventory::default(), Contested::new());
        let made = plan(&state, &findings, &nothing.0, &nothing.1);
        let unknown = ResourceState::Unknown("waits: no table".to_owned());
        assert_eq!(made.decisions[1], Decision::Leave(unknown));
        let missing = Finding::Differs("missing".to_owned());
        findings.insert(state.resources[0].id.clone(), missing);
        let made = plan(&state, &findings, &nothing.0, &nothing.1);
        assert!(matches!(
            &made.decisions[1],
            Decision::Make { repair: false, .. }
        ));
    }

    #[test]
    fn addresses_that_move_to_another_interface_are_taken_off_before_they_are_put_there() {
        let on = |name: Option<&str>| {
            resource(
                format!("ip_address:{}", name.unwrap_or("default")),
                Spec::IpAddress(IpAddressSpec {
                    interface: name.map(str::to_owned),
                    addresses: vec!["192.0.2.1".parse().unwrap()],
                }),
            )
        };
        let mut inventory = Inventory::default();
        inventory.claim(&config(vec![on(None)]));
        let nothing = BTreeMap::new();
        let moved = plan(
            &config(vec![on(Some("eth1"))]),
            &nothing,
            &inventory,
            &Contested::new(),
        );
        assert_eq!((moved.early.len(), moved.late.len()), (1, 0));
        let gone = plan(&config(Vec::new()), &nothing, &inventory, &Contested::new());
        assert_eq!((gone.early.len(), gone.late.len()), (0, 1));
    }

    #[test]
    fn a_path_that_changes_its_kind_is_freed_first_and_the_rest_goes_in_order() {
        let old = config(vec![
            file("/x"),
            file("/d/b"),
            directory("/d"),
            directory("/d/e"),
            service("s"),
        ]);
        let mut inventory = Inventory::default();
        inventory.claim(&old);
        let new = config(vec![directory("/x")]);
        let missing = Finding::Differs("missing".to_owned());
        let plan = plan(&new, &found(&new, &missing), &inventory, &Contested::new());
        let path = |text: &str| HostPath::new(text).unwrap();
        assert_eq!(plan.early.len(), 1);
        assert_eq!(plan.early[0].0, Thing::File(path("/x")));
        let late: Vec<Thing> = plan.late.into_iter().map(|(thing, _)| thing).collect();
        assert_eq!(
            late,
            [
                Thing::Service("s.service".to_owned()),
                Thing::File(path("/d/b")),
                Thing::Directory(path("/d/e")),
                Thing::Directory(path("/d")),
            ]
        );
    }

    fn any_finding() -> impl Strategy<Value = Finding> {
        prop_oneof![
            Just(Finding::Right),
            Just(Finding::Simulated),
            Just(Finding::Tells(Told::new([vec!["a".to_owned()]]))),
            Just(Finding::Differs("differs".to_owned())),
            Just(Finding::Unknown("unreadable".to_owned())),
            Just(Finding::Unverified("owner".to_owned())),
        ]
    }

    fn any_policy() -> impl Strategy<Value = Policy> {
        prop_oneof![
            Just(Policy::Enforce),
            Just(Policy::Report),
            Just(Policy::Hold)
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_done_without_a_reason_and_nothing_orphaned_is_forgotten(
            wanted in proptest::collection::btree_map(0_u8..30, (any_policy(), any_finding()), 0..20),
            owned in proptest::collection::btree_set(0_u8..30, 0..20),
        ) {
            let resource = |at: &u8| file(&format!("/f/{at:02}"));
            let mut findings = BTreeMap::new();
            let mut resources = Vec::new();
            for (at, (policy, finding)) in &wanted {
                let mut wished = resource(at);
                wished.policy = *policy;
                findings.insert(wished.id.clone(), finding.clone());
                resources.push(wished);
            }
            let state = config(resources);
            let mut inventory = Inventory::default();
            inventory.claim(&config(owned.iter().map(resource).collect()));
            let plan = plan(&state, &findings, &inventory, &Contested::new());
            for (resource, decision) in state.resources.iter().zip(&plan.decisions) {
                let differs = matches!(findings[&resource.id], Finding::Differs(_));
                let made = matches!(decision, Decision::Make { .. });
                prop_assert_eq!(made, differs && resource.policy != Policy::Hold);
            }
            let removed: BTreeSet<Thing> =
                plan.early.iter().chain(&plan.late).map(|(thing, _)| thing.clone()).collect();
            let orphaned: BTreeSet<Thing> = owned
                .iter()
                .filter(|at| !wanted.contains_key(at))
                .map(|at| Thing::of(&resource(at)))
                .collect();
            prop_assert_eq!(removed, orphaned);
        }
    }
}
