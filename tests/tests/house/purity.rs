//! Refuses what makes a pure room depend on more than its arguments: clock, randomness, files,
//! environment, network, threads, the order of a hash table, and floating point.
//!
//! Names are compared, not resolved; so the words are refused wherever they stand, in imports,
//! paths and macro arguments, and a rename of `std` is refused because it would hide the rest.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::source::{Source, is_test_only};

/// Crates that do IO, keep time or draw random numbers.
const CRATES: [&str; 20] = [
    "axum",
    "axum_server",
    "email_engine_agent",
    "email_engine_coordinator",
    "futures",
    "getrandom",
    "hyper",
    "notify",
    "openraft",
    "quinn",
    "rand",
    "rcgen",
    "reqwest",
    "rocksdb",
    "rustix",
    "sysinfo",
    "tempfile",
    "tokio",
    "tower",
    "tower_http",
];

/// Parts of the standard library that reach for the world.
const MODULES: [&[&str]; 13] = [
    &["std", "collections", "HashMap"],
    &["std", "env"],
    &["std", "fs"],
    &["std", "hash", "RandomState"],
    &["std", "io", "stderr"],
    &["std", "io", "stdin"],
    &["std", "io", "stdout"],
    &["std", "net", "TcpStream"],
    &["std", "net", "ToSocketAddrs"],
    &["std", "os"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "time", "SystemTime"],
];

/// Our own rooms that are the shell around the pure ones (the protocol has no shell).
const SHELL: [&str; 8] = [
    "api", "drift", "host", "link", "push", "raft", "run", "tasks",
];

/// Names that are refused wherever they stand. The trait `ring::rand::SecureRandom` is not among
/// them: a caller may hand its randomness in.
const NAMES: [&str; 20] = [
    "HashMap",
    "HashSet",
    "Instant",
    "OsRng",
    "RandomState",
    "SystemRandom",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "ThreadRng",
    "UdpSocket",
    "UnixListener",
    "UnixStream",
    "dbg",
    "eprintln",
    "f32",
    "f64",
    "option_env",
    "println",
    "thread_rng",
];

/// Complaints about one file of a pure room; its inline tests may do as they like.
pub(crate) fn impure_paths(source: &Source) -> Vec<String> {
    let mut walker = Walker {
        path: &source.path,
        complaints: Vec::new(),
    };
    walker.visit_file(&source.ast);
    walker.complaints
}

struct Walker<'a> {
    path: &'a str,
    complaints: Vec<String>,
}

impl Walker<'_> {
    fn judge(&mut self, segments: &[String], line: usize) {
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        let has_shell = !self.path.starts_with("protocol/");
        if let Some(reason) = refusal(&words, has_shell) {
            self.complaints.push(format!(
                "{}:{line}: `{}`: {reason}",
                self.path,
                words.join("::")
            ));
        }
    }

    fn use_tree(&mut self, tree: &syn::UseTree, prefix: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.use_tree(&path.tree, prefix);
                prefix.pop();
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(tree, prefix);
                }
            }
            syn::UseTree::Name(name) => self.use_leaf(&name.ident, prefix),
            syn::UseTree::Rename(rename) => {
                let line = rename.ident.span().start().line;
                if rename.ident == "std" || (rename.ident == "self" && *prefix == ["std"]) {
                    self.complaints.push(format!(
                        "{}:{line}: a renamed `std` hides what is taken from it",
                        self.path
                    ));
                }
                self.use_leaf(&rename.ident, prefix);
            }
            syn::UseTree::Glob(glob) => {
                prefix.push("*".to_owned());
                self.judge(prefix, glob.star_token.spans[0].start().line);
                prefix.pop();
            }
        }
    }

    fn use_leaf(&mut self, ident: &proc_macro2::Ident, prefix: &mut Vec<String>) {
        prefix.push(ident.to_string());
        // `use tokio;` takes the whole crate, which a lone word elsewhere does not.
        if prefix.len() == 1 {
            prefix.push("self".to_owned());
        }
        self.judge(prefix, ident.span().start().line);
        prefix.truncate(
            prefix.len()
                - if prefix.len() == 2 && prefix[1] == "self" {
                    2
                } else {
                    1
                },
        );
    }

    /// The arguments of a macro are not parsed: `a::b` is read off the tokens.
    fn tokens(&mut self, stream: TokenStream) {
        let mut path = Vec::new();
        let mut line = 0;
        let mut punctuation = String::new();
        for token in stream {
            match token {
                TokenTree::Ident(ident) => {
                    if punctuation != "::" {
                        self.judge(&path, line);
                        path.clear();
                    }
                    line = ident.span().start().line;
                    path.push(ident.to_string());
                    punctuation.clear();
                }
                TokenTree::Punct(punct) => punctuation.push(punct.as_char()),
                TokenTree::Group(group) => {
                    self.tokens(group.stream());
                    punctuation = " ".to_owned();
                }
                TokenTree::Literal(literal) => {
                    // In `pair.0.1` the tokens are a dot and what looks like a float.
                    if !punctuation.ends_with('.') {
                        self.visit_lit(&syn::Lit::new(literal));
                    }
                    punctuation = " ".to_owned();
                }
            }
        }
        self.judge(&path, line);
    }
}

/// Why a path is refused, if it is. `*` as last segment stands for a glob import.
fn refusal(words: &[&str], has_shell: bool) -> Option<&'static str> {
    // A lone word may be a local variable with the name of a crate.
    if words.len() > 1 && CRATES.contains(&words[0]) {
        return Some("this crate does IO, keeps time or draws random numbers");
    }
    if has_shell && words.len() > 1 && words[0] == "crate" && SHELL.contains(&words[1]) {
        return Some("a pure room must not know the shell around it");
    }
    let is_glob = words.last() == Some(&"*");
    let named = if is_glob {
        &words[..words.len() - 1]
    } else {
        words
    };
    let reaches = |module: &&[&str]| {
        named.starts_with(module) || (is_glob && !named.is_empty() && module.starts_with(named))
    };
    if MODULES.iter().any(reaches) {
        return Some("pure rooms take such things as arguments");
    }
    if words.iter().any(|word| NAMES.contains(word)) {
        return Some("clock, randomness, hash order, floats and IO stay outside of pure rooms");
    }
    if words.len() > 1 && words.last() == Some(&"now") && words[0] != "Self" {
        return Some("`now` is an argument");
    }
    None
}

impl<'ast> Visit<'ast> for Walker<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test_only(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !is_test_only(&function.attrs) {
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        if !is_test_only(&block.attrs) {
            visit::visit_item_impl(self, block);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test_only(&item.attrs) {
            self.use_tree(&item.tree, &mut Vec::new());
        }
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.use_leaf(&item.ident, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.judge(&segments, path.segments[0].ident.span().start().line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    fn visit_lit_float(&mut self, literal: &'ast syn::LitFloat) {
        let line = literal.span().start().line;
        let text = literal.to_string();
        self.complaints
            .push(format!("{}:{line}: `{text}`: integers only", self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        impure_paths(&Source::parse("coordinator/src/state/mod.rs", text))
    }

    #[test]
    fn every_way_to_reach_for_the_world_is_refused() {
        for text in [
            "use tokio::sync::mpsc;",
            "use tokio;",
            "extern crate quinn;",
            "use std::collections::{BTreeMap, HashMap};",
            "use std::collections::*;",
            "use std::time::{Duration, Instant as Point};",
            "use std::{env, fmt};",
            "use std as s;",
            "use std::{self as s};",
            "use ring::rand::SystemRandom;",
            "use crate::raft::Cluster;",
            "use std::net::UdpSocket;",
            "fn f() -> u64 { std::process::id().into() }",
            "fn f() { let t = std::time::SystemTime::now(); }",
            "fn f() { let t = jiff::Timestamp::now(); }",
            "fn f(x: f64) {}",
            "fn f() -> bool { 2 > 1.5 as u8 }",
            "fn f() -> Vec<u8> { vec![std::fs::read(\"x\").len() as u8] }",
            "fn f() { format!(\"{}\", tokio::task::id()); }",
            "fn f() { println!(\"x\"); }",
            "macro_rules! m { () => { std::thread::yield_now() } }",
            "#[cfg(not(test))] mod m { use std::fs; }",
            "impl X { fn f(&self) -> HashSet<u8> { todo() } }",
        ] {
            assert!(!complaints(text).is_empty(), "was not refused: {text}");
        }
    }

    #[test]
    fn a_complaint_names_file_line_and_path() {
        let found = complaints("use std::fmt;\nuse std::fs::File;\n");
        let wanted = "coordinator/src/state/mod.rs:2: `std::fs::File`: ";
        assert!(
            found.len() == 1 && found[0].starts_with(wanted),
            "{found:?}"
        );
    }

    #[test]
    fn what_depends_on_arguments_alone_is_welcome() {
        for text in [
            "use std::collections::{BTreeMap, BTreeSet};",
            "use std::net::{IpAddr, Ipv4Addr};",
            "use std::time::Duration;",
            "use super::*;",
            "use ring::rand::SecureRandom;",
            "use crate::state::FleetState;",
            "fn f(now: jiff::Timestamp, link: u8) -> u8 { link }",
            "fn f(pair: ((u8, u8), u8)) { format!(\"{} {}\", pair.0.1, now); }",
            "#[cfg(test)] mod tests { use std::time::Instant; }",
        ] {
            assert_eq!(complaints(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn the_protocol_may_have_a_module_named_as_a_shell_elsewhere() {
        let text = "use crate::api::HostView;";
        assert!(impure_paths(&Source::parse("protocol/src/wire/mod.rs", text)).is_empty());
        assert_eq!(complaints(text).len(), 1);
    }
}
