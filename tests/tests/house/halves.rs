//! The agent's two halves know each other by messages alone: whoever has the network half must not
//! have the keys, the ledger or the machine with it, and the half that has those speaks with nobody.

use syn::UseTree;
use syn::visit::{self, Visit};

use crate::source::{Source, is_test_only};

/// A half: its folders, and what they may or may not name.
struct Half {
    rooms: &'static [&'static str],
    rule: Rule,
}

enum Rule {
    /// No other room of the agent.
    Only(&'static [&'static str]),
    /// Neither these rooms nor these crates.
    Never(&'static [&'static str]),
}

const HALVES: [Half; 2] = [
    Half {
        rooms: &["agent/src/link", "agent/src/identity"],
        rule: Rule::Only(&["halves", "identity", "link"]),
    },
    Half {
        rooms: &[
            "agent/src/drift",
            "agent/src/executor",
            "agent/src/health",
            "agent/src/host",
            "agent/src/inventory",
            "agent/src/ledger",
            "agent/src/reconciler",
            "agent/src/resources",
            "agent/src/transaction",
        ],
        rule: Rule::Never(&["identity", "link", "quinn", "rustls"]),
    },
];

/// Whether a file belongs to a room: its folder, or the file of that name.
fn is_of(path: &str, room: &str) -> bool {
    path.strip_prefix(room)
        .is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

/// Rooms that no file is in: one that was renamed would leave the check silently.
pub(crate) fn missing(paths: &[String]) -> Vec<String> {
    HALVES
        .iter()
        .flat_map(|half| half.rooms)
        .filter(|room| !paths.iter().any(|path| is_of(path, room)))
        .map(|room| format!("{room}: this room of a half is gone; was it renamed? (halves.rs)"))
        .collect()
}

/// Complaints about one file; what only tests use may put the halves together.
pub(crate) fn crossings(source: &Source) -> Vec<String> {
    let half = HALVES
        .iter()
        .find(|half| half.rooms.iter().any(|room| is_of(&source.path, room)));
    let Some(half) = half.filter(|_| !source.path.contains("/testbed/")) else {
        return Vec::new();
    };
    let mut names = Names::default();
    names.visit_file(&source.ast);
    let is_wrong = |name: &&Name| match half.rule {
        Rule::Only(rooms) => name.own && !rooms.contains(&name.text.as_str()),
        Rule::Never(all) => all.contains(&name.text.as_str()),
    };
    let wrong = names.0.iter().filter(is_wrong);
    wrong
        .map(|name| {
            format!(
                "{}: names {}, which is the other half's",
                source.path, name.text
            )
        })
        .collect()
}

/// A room of the same crate, or another crate.
struct Name {
    own: bool,
    text: String,
}

#[derive(Default)]
struct Names(Vec<Name>);

impl Names {
    fn add(&mut self, own: bool, text: String) {
        self.0.push(Name { own, text });
    }

    fn tree(&mut self, tree: &UseTree, own: bool) {
        match tree {
            UseTree::Path(path) if path.ident == "crate" => self.tree(&path.tree, true),
            UseTree::Path(path) => self.add(own, path.ident.to_string()),
            UseTree::Name(name) => self.add(own, name.ident.to_string()),
            UseTree::Rename(name) => self.add(own, name.ident.to_string()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(tree, own)),
            UseTree::Glob(_) => {}
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test_only(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test_only(&item.attrs) {
            self.tree(&item.tree, false);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        match segments.next() {
            Some(first) if first == "crate" => {
                if let Some(room) = segments.next() {
                    self.add(true, room);
                }
            }
            // A lone word is a name of the file's own, and counted where it is imported.
            Some(first) if path.segments.len() > 1 => self.add(false, first),
            _ => {}
        }
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        crossings(&Source::parse(path, text))
    }

    #[test]
    fn each_way_across_is_found_and_tests_may_go_it() {
        for across in [
            "use crate::executor::Core;",
            "use crate::{halves::Halves, ledger::Ledger};",
            "fn f() { crate::host::open(); }",
            "fn f(x: crate::resources::Finding) {}",
        ] {
            assert_eq!(
                complaints("agent/src/link/dial.rs", across).len(),
                1,
                "{across}"
            );
        }
        for across in [
            "use crate::link::Session;",
            "fn f() { quinn::Endpoint::client(); }",
            "use rustls::ClientConfig;",
        ] {
            assert_eq!(
                complaints("agent/src/ledger.rs", across).len(),
                1,
                "{across}"
            );
        }
        for fine in [
            (
                "agent/src/link/dial.rs",
                "use crate::halves::ToExecutor; use quinn::Endpoint;",
            ),
            (
                "agent/src/link/dial.rs",
                "#[cfg(test)] mod tests { use crate::executor::Core; }",
            ),
            (
                "agent/src/link/testbed/rig.rs",
                "use crate::executor::Core;",
            ),
            ("agent/src/executor/core.rs", "use crate::host::Machine;"),
            ("agent/src/run.rs", "use crate::{executor, link};"),
        ] {
            assert_eq!(complaints(fine.0, fine.1), Vec::<String>::new(), "{fine:?}");
        }
    }

    #[test]
    fn a_renamed_room_is_missed() {
        let complaints = missing(&["agent/src/link/mod.rs".to_owned()]).join("\n");
        assert!(complaints.contains("agent/src/executor: "), "{complaints}");
        assert!(!complaints.contains("agent/src/link: "), "{complaints}");
    }
}
