//! In which order resources are applied.
//!
//! Edges that *block* come from `after` and from the tree of folders: what is in a folder comes after
//! the folder, and not at all when the folder failed; a file and a folder come after the user and the
//! group that they belong to, and a user after its groups; a database after its server, and a row after
//! its database; a transaction comes after its members, and
//! what waits for a member waits for the transaction. Edges of `notify` only order. Among those that
//! may come next, kind and id decide, so that every run takes the same way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use email_engine_protocol::desired::{Engine, HostPath, Resource, Spec};
use email_engine_protocol::id::ResourceId;
use petgraph::graph::{DiGraph, NodeIndex};

/// Resources that wait for each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("resources wait for each other: {}", names(.0))]
pub struct Cycle(pub Vec<ResourceId>);

fn names(ids: &[ResourceId]) -> String {
    let names: Vec<&str> = ids.iter().map(ResourceId::as_str).collect();
    names.join(" -> ")
}

/// The way through a state, as indices into its resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Every resource once, each after all that it waits for.
    pub sequence: Vec<usize>,
    /// For each resource those that block it.
    pub needs: Vec<Vec<usize>>,
    /// For each resource those that notify it.
    pub notifiers: Vec<Vec<usize>>,
    /// For each transaction its members, in the order of their swap.
    pub members: BTreeMap<usize, Vec<usize>>,
    /// For each member its transaction.
    pub member_of: BTreeMap<usize, usize>,
}

/// Orders the resources of a checked state.
///
/// # Errors
/// When some wait for each other: names them.
pub fn order(resources: &[Resource]) -> Result<Order, Cycle> {
    let by_id: BTreeMap<&ResourceId, usize> = resources
        .iter()
        .enumerate()
        .map(|(at, resource)| (&resource.id, at))
        .collect();
    let folders: BTreeMap<&HostPath, usize> = resources
        .iter()
        .enumerate()
        .filter_map(|(at, resource)| match &resource.spec {
            Spec::Archive(spec) => Some((&spec.path, at)),
            Spec::Directory(spec) => Some((&spec.path, at)),
            _ => None,
        })
        .collect();
    let accounts = Accounts::of(resources);
    let servers = Servers::of(resources);
    let (members, member_of) = members(resources, &by_id);
    let mut needs = vec![Vec::new(); resources.len()];
    let mut notifiers = vec![Vec::new(); resources.len()];
    for (at, resource) in resources.iter().enumerate() {
        needs[at].extend(resource.after.iter().filter_map(|id| by_id.get(id)));
        let waited = needs[at]
            .iter()
            .filter_map(|need| member_of.get(need).copied());
        let waited: BTreeSet<usize> = waited.filter(|to| Some(to) != member_of.get(&at)).collect();
        needs[at].extend(waited);
        needs[at].extend(members.get(&at).into_iter().flatten());
        needs[at].extend(resource.spec.path().and_then(|path| above(path, &folders)));
        needs[at].extend(accounts.of_spec(&resource.spec));
        needs[at].extend(servers.of_spec(&resource.spec));
        for told in resource.notify.iter().filter_map(|id| by_id.get(id)) {
            notifiers[*told].push(at);
        }
    }
    let sequence = walk(resources, &needs, &notifiers)?;
    Ok(Order {
        sequence,
        needs,
        notifiers,
        members,
        member_of,
    })
}

type Members = (BTreeMap<usize, Vec<usize>>, BTreeMap<usize, usize>);

fn members(resources: &[Resource], by_id: &BTreeMap<&ResourceId, usize>) -> Members {
    let mut members = BTreeMap::new();
    let mut member_of = BTreeMap::new();
    for (at, resource) in resources.iter().enumerate() {
        if let Spec::Transaction(spec) = &resource.spec {
            let of: Vec<usize> = spec
                .members
                .iter()
                .filter_map(|id| by_id.get(id).copied())
                .collect();
            member_of.extend(of.iter().map(|member| (*member, at)));
            members.insert(at, of);
        }
    }
    (members, member_of)
}

/// Users and groups of a state, by name.
struct Accounts<'a> {
    users: BTreeMap<&'a str, usize>,
    groups: BTreeMap<&'a str, usize>,
}

impl<'a> Accounts<'a> {
    fn of(resources: &'a [Resource]) -> Self {
        let (mut users, mut groups) = (BTreeMap::new(), BTreeMap::new());
        for (at, resource) in resources.iter().enumerate() {
            match &resource.spec {
                Spec::Group(spec) => groups.insert(spec.name.as_str(), at),
                Spec::User(spec) => users.insert(spec.name.as_str(), at),
                _ => None,
            };
        }
        Self { users, groups }
    }

    /// Those that a resource belongs to.
    fn of_spec(&self, spec: &Spec) -> Vec<usize> {
        let owned = |owner: &Option<String>, group: &Option<String>| {
            let user = owner
                .as_ref()
                .and_then(|name| self.users.get(name.as_str()));
            let group = group
                .as_ref()
                .and_then(|name| self.groups.get(name.as_str()));
            user.into_iter().chain(group).copied().collect()
        };
        match spec {
            Spec::Archive(spec) => owned(&spec.owner, &spec.group),
            Spec::Certificate(spec) => owned(&None, &spec.group),
            Spec::Directory(spec) => owned(&spec.owner, &spec.group),
            Spec::File(spec) => owned(&spec.owner, &spec.group),
            Spec::User(spec) => {
                let groups = spec.all_groups();
                groups
                    .filter_map(|name| self.groups.get(name).copied())
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Database servers of a state and their databases.
struct Servers<'a> {
    /// Packages and services that make one.
    parts: BTreeMap<Engine, Vec<usize>>,
    databases: BTreeMap<(Engine, &'a str), usize>,
}

/// What distributions call them.
const MYSQL: [&str; 6] = [
    "default-mysql-server",
    "mariadb-server",
    "mariadb.service",
    "mysql-server",
    "mysql.service",
    "mysqld.service",
];
const POSTGRESQL: [&str; 3] = ["postgresql", "postgresql-server", "postgresql.service"];

impl<'a> Servers<'a> {
    fn of(resources: &'a [Resource]) -> Self {
        let (mut parts, mut databases) = (BTreeMap::new(), BTreeMap::new());
        for (at, resource) in resources.iter().enumerate() {
            let name = match &resource.spec {
                Spec::Package(spec) => spec.name.as_str(),
                Spec::VendorPackage(spec) => spec.package.name.as_str(),
                Spec::Service(spec) => spec.unit.as_str(),
                Spec::Database(spec) => {
                    databases.insert((spec.engine, spec.name.as_str()), at);
                    continue;
                }
                _ => continue,
            };
            for (engine, names) in [
                (Engine::Mysql, &MYSQL[..]),
                (Engine::Postgresql, &POSTGRESQL[..]),
            ] {
                if names.contains(&name) {
                    parts.entry(engine).or_insert_with(Vec::new).push(at);
                }
            }
        }
        Self { parts, databases }
    }

    /// Those that a resource is made with: a row or script by its database where that is ours, else by its server.
    fn of_spec(&self, spec: &Spec) -> Vec<usize> {
        let parts = |engine| self.parts.get(&engine).cloned().unwrap_or_default();
        match spec {
            Spec::Database(spec) => parts(spec.engine),
            Spec::SqlRow(spec) => self.of_database(spec.engine, &spec.database),
            Spec::SqlScript(spec) => self.of_database(spec.engine, &spec.database),
            _ => Vec::new(),
        }
    }

    fn of_database(&self, engine: Engine, name: &str) -> Vec<usize> {
        match self.databases.get(&(engine, name)) {
            Some(at) => vec![*at],
            None => self.parts.get(&engine).cloned().unwrap_or_default(),
        }
    }
}

/// The nearest managed folder above a path.
fn above(path: &HostPath, folders: &BTreeMap<&HostPath, usize>) -> Option<usize> {
    let mut folder = path.parent();
    while let Some(here) = folder {
        if let Some(at) = folders.get(&here) {
            return Some(*at);
        }
        folder = here.parent();
    }
    None
}

fn walk(
    resources: &[Resource],
    needs: &[Vec<usize>],
    notifiers: &[Vec<usize>],
) -> Result<Vec<usize>, Cycle> {
    let mut graph: DiGraph<usize, ()> = DiGraph::new();
    let nodes: Vec<NodeIndex> = (0..resources.len()).map(|at| graph.add_node(at)).collect();
    for at in 0..resources.len() {
        // Each once; asking the graph would look through everything that waits for the same folder.
        let before: BTreeSet<usize> = needs[at].iter().chain(&notifiers[at]).copied().collect();
        for before in before {
            graph.add_edge(nodes[before], nodes[at], ());
        }
    }
    let mut waits: Vec<usize> = nodes
        .iter()
        .map(|node| {
            graph
                .neighbors_directed(*node, petgraph::Direction::Incoming)
                .count()
        })
        .collect();
    let key = |at: usize| Reverse((resources[at].spec.kind_rank(), at));
    let mut ready: BinaryHeap<_> = (0..resources.len())
        .filter(|at| waits[*at] == 0)
        .map(key)
        .collect();
    let mut sequence = Vec::with_capacity(resources.len());
    while let Some(Reverse((_, at))) = ready.pop() {
        sequence.push(at);
        for next in graph.neighbors(nodes[at]) {
            let next = graph[next];
            waits[next] -= 1;
            if waits[next] == 0 {
                ready.push(key(next));
            }
        }
    }
    if sequence.len() == resources.len() {
        Ok(sequence)
    } else {
        Err(name_cycle(resources, &graph))
    }
}

fn name_cycle(resources: &[Resource], graph: &DiGraph<usize, ()>) -> Cycle {
    let loops = petgraph::algo::tarjan_scc(graph);
    let members = loops.into_iter().find(|members| {
        members.len() > 1
            || members
                .first()
                .is_some_and(|only| graph.contains_edge(*only, *only))
    });
    let mut ids: Vec<ResourceId> = members
        .unwrap_or_default()
        .into_iter()
        .map(|node| resources[graph[node]].id.clone())
        .collect();
    ids.sort();
    Cycle(ids)
}

/// Which kinds come first when nothing else decides.
trait KindRank {
    fn kind_rank(&self) -> u8;
}

impl KindRank for Spec {
    fn kind_rank(&self) -> u8 {
        match self {
            // Before packages that may come next as well. One that waits for something comes later than
            // they do; those that are meant from it say that they come after it.
            Self::PackageRepository(_) => 0,
            Self::Package(_) | Self::VendorPackage(_) => 1,
            Self::Group(_) => 2,
            Self::User(_) => 3,
            Self::Sysctl(_) => 4,
            Self::IpAddress(_) => 5,
            Self::Archive(_) | Self::Directory(_) => 6,
            Self::Certificate(_) | Self::File(_) => 7,
            Self::Symlink(_) => 8,
            Self::Transaction(_) => 9,
            Self::Step(_) => 10,
            Self::Service(_) => 11,
            Self::Database(_) => 12,
            // Those that are meant from rows as they are made now say that they come after them.
            Self::SqlScript(_) => 13,
            Self::SqlRow(_) => 14,
            // Set before all of them, whatever the order.
            Self::Suspension(_) => 15,
            // May wait for a connection, and nothing else shall wait with it.
            Self::Firewall(_) => 16,
            // Looked at when all is done.
            Self::Discard(_) | Self::HealthCheck(_) => 17,
        }
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::desired::{GroupSpec, UserSpec};
    use proptest::prelude::*;

    use super::*;
    use crate::reconciler::plan::tests::{directory, file, service};
    use crate::resources::database_samples;
    use crate::transaction::tests::pair;

    fn ids<'a>(resources: &'a [Resource], order: &Order) -> Vec<&'a str> {
        let id = |at: &usize| resources[*at].id.as_str();
        order.sequence.iter().map(id).collect()
    }

    #[test]
    fn folders_come_before_what_is_in_them_and_services_after_what_tells_them() {
        let mut config = file("/etc/pmta/config");
        config.notify.push(service("pmta").id);
        let resources = [
            service("pmta"),
            config,
            directory("/etc/pmta"),
            directory("/etc"),
        ];
        let order = order(&resources).unwrap();
        assert_eq!(
            ids(&resources, &order),
            [
                "directory:/etc",
                "directory:/etc/pmta",
                "file:/etc/pmta/config",
                "service:pmta"
            ]
        );
        assert_eq!(order.needs[1], [2]);
        assert_eq!(order.notifiers[0], [1]);
    }

    #[test]
    fn what_is_owned_comes_after_its_user_and_group_and_a_user_after_its_groups() {
        let account = |id: &str, spec: Spec| {
            let mut made = service("x");
            made.id = ResourceId::new(id).unwrap();
            made.spec = spec;
            made
        };
        let mut owned = file("/a/file");
        if let Spec::File(spec) = &mut owned.spec {
            (spec.owner, spec.group) = (Some("app".to_owned()), Some("tls".to_owned()));
        }
        let group = |name: &str| {
            let name = name.to_owned();
            account(&format!("group:{name}"), Spec::Group(GroupSpec { name }))
        };
        let user = UserSpec {
            name: "app".to_owned(),
            group: None,
            groups: vec!["tls".to_owned()],
            home: None,
        };
        let user = account("user:app", Spec::User(user));
        let resources = [owned, user, group("tls"), group("app"), group("other")];
        let order = order(&resources).unwrap();
        assert_eq!(order.needs[0], [1, 2]);
        assert_eq!(order.needs[1], [3, 2]);
        assert_eq!(ids(&resources, &order)[3..], ["user:app", "file:/a/file"]);
    }

    #[test]
    fn a_transaction_comes_after_its_members_and_before_who_waits_for_one() {
        let mut told = service("pmta");
        told.after.push(file("/b").id);
        let mut second = file("/a");
        second.after.push(file("/b").id);
        let resources = [second, file("/b"), told, pair(&["/b", "/a"])];
        let order = order(&resources).unwrap();
        let expected = ["file:/b", "file:/a", "transaction:pair", "service:pmta"];
        assert_eq!(ids(&resources, &order), expected);
        assert_eq!(order.members[&3], [1, 0]);
        assert_eq!(order.needs[2], [1, 3]);
        assert_eq!(order.needs[0], [1], "a member waits for a member only");
    }

    #[test]
    fn a_database_comes_after_its_server_and_a_row_after_its_database() {
        let package = |name: &str| {
            let mut made = file("/x");
            made.id = ResourceId::new(format!("package:{name}")).unwrap();
            made.spec = Spec::Package(email_engine_protocol::desired::PackageSpec {
                name: name.to_owned(),
                version: None,
                hold: false,
            });
            made
        };
        let mut resources = vec![
            database_samples::database(),
            package("mariadb-server"),
            package("postgresql"),
            service("mariadb"),
            database_samples::row("one", 5),
            database_samples::script("before"),
            database_samples::script("after"),
        ];
        let row = resources[4].id.clone();
        resources[6].after.push(row);
        let order = order(&resources).unwrap();
        let needs = [
            vec![1, 3],
            vec![],
            vec![],
            vec![],
            vec![0],
            vec![0],
            vec![4, 0],
        ];
        assert_eq!(order.needs, needs);
        // A script comes before the rows, unless it says otherwise.
        assert_eq!(order.sequence[4..], [5, 4, 6]);
        let told = resources[4].id.clone();
        resources[1].after.push(told);
        let cycle = super::order(&resources).unwrap_err().to_string();
        for id in ["database:mysql/shop", "package:mariadb-server", "sql_row:"] {
            assert!(cycle.contains(id), "{cycle}");
        }
        // A row of a database that an installer made comes after the server.
        let resources = [package("mysql-server"), database_samples::row("one", 5)];
        assert_eq!(super::order(&resources).unwrap().needs[1], [0]);
    }

    #[test]
    fn a_cycle_is_named() {
        let mut one = file("/a");
        let mut two = file("/b");
        one.after.push(two.id.clone());
        two.after.push(one.id.clone());
        let error = order(&[one, two, file("/c")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "resources wait for each other: file:/a -> file:/b"
        );
        let mut selfish = file("/a");
        selfish.after.push(selfish.id.clone());
        assert_eq!(order(&[selfish.clone()]), Err(Cycle(vec![selfish.id])));
    }

    /// The bound is for slow machines; comparing all pairs would take minutes.
    #[test]
    fn a_folder_of_a_hundred_thousand_files_is_ordered_at_once() {
        let mut resources = vec![directory("/keys")];
        resources.extend((0..100_000).map(|at| file(&format!("/keys/{at:06}"))));
        let begin = std::time::Instant::now();
        let order = order(&resources).unwrap();
        assert_eq!(order.sequence.len(), resources.len());
        assert!(begin.elapsed() < std::time::Duration::from_secs(20));
    }

    proptest! {
        #[test]
        fn whatever_waits_comes_later(edges in proptest::collection::vec((0_usize..20, 0_usize..20), 0..60)) {
            let mut resources: Vec<Resource> =
                (0..20).map(|at| file(&format!("/{at:02}"))).collect();
            for (from, to) in edges {
                let id = resources[to].id.clone();
                resources[from].after.push(id);
            }
            match order(&resources) {
                Ok(order) => {
                    let place = |at: usize| order.sequence.iter().position(|x| *x == at).unwrap();
                    for at in 0..20 {
                        for need in &order.needs[at] {
                            prop_assert!(place(*need) < place(at));
                        }
                    }
                }
                Err(Cycle(ids)) => {
                    // Each member waits for another member.
                    for id in &ids {
                        let member = resources.iter().find(|r| r.id == *id).unwrap();
                        prop_assert!(member.after.iter().any(|to| ids.contains(to)));
                    }
                    prop_assert!(!ids.is_empty());
                }
            }
        }
    }
}
