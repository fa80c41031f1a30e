//! Which rooms are pure: their result depends on their arguments alone.

/// Folder or file stem of each pure room.
const PURE: [&str; 35] = [
    "protocol/src",
    "coordinator/src/alerts/rules",
    "coordinator/src/state",
    "coordinator/src/command",
    "coordinator/src/fleet",
    "coordinator/src/planner",
    "coordinator/src/powermta",
    "coordinator/src/dnsbl/health",
    "coordinator/src/dnsbl/query",
    "coordinator/src/dnsbl/registry",
    "coordinator/src/dnsbl/sweep/course",
    "coordinator/src/dnsbl/sweep/engine",
    "coordinator/src/dnsbl/sweep/pace",
    "coordinator/src/dnsbl/sweep/packet",
    "coordinator/src/dnsbl/verdict",
    "agent/src/allow/judge",
    "agent/src/health/course",
    "agent/src/reconciler/bind",
    "agent/src/reconciler/plan",
    "agent/src/reconciler/order",
    "agent/src/transaction/content",
    "agent/src/transaction/decide",
    "agent/src/transaction/settle",
    "agent/src/transaction/shape",
    "bootstrap/src/facts",
    "bootstrap/src/layout",
    "bootstrap/src/plan",
    "bootstrap/src/preflight",
    "bootstrap/src/request",
    "coordinator/src/dns/compliance",
    "coordinator/src/dns/due",
    "coordinator/src/dns/export",
    "coordinator/src/dns/publish",
    "coordinator/src/dns/verdict",
    "coordinator/src/dns/wanted",
];

/// The pure room that a file belongs to.
pub(crate) fn of(path: &str) -> Option<&'static str> {
    PURE.into_iter().find(|room| {
        path.strip_prefix(room)
            .is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
    })
}

/// A room that was renamed would leave the check silently: once a crate has its composition root
/// (`run.rs`), each of its pure rooms must be found.
pub(crate) fn missing(paths: &[String]) -> Vec<String> {
    PURE.into_iter()
        .filter(|room| {
            let crate_name = room.split('/').next().unwrap_or(room);
            let runs = ["run.rs", "run/mod.rs"];
            let is_built = crate_name == "protocol"
                || runs
                    .iter()
                    .any(|run| paths.contains(&format!("{crate_name}/src/{run}")));
            is_built && !paths.iter().any(|path| of(path) == Some(room))
        })
        .map(|room| format!("{room}: this pure room is gone; was it renamed? (rooms.rs)"))
        .collect()
}

/// Dependencies of a crate that are crates of this workspace, under whatever name.
///
/// Said of `protocol`, which imports none, and of the stand-in, which would otherwise share the errors
/// that it is there to show.
pub(crate) fn own_dependencies(crate_name: &str, manifest: &str) -> Vec<String> {
    let manifest: toml::Table = toml::from_str(manifest).unwrap();
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let of_targets = targets
        .into_iter()
        .flat_map(toml::Table::values)
        .filter_map(toml::Value::as_table);
    std::iter::once(&manifest)
        .chain(of_targets)
        .flat_map(|table| {
            ["dependencies", "dev-dependencies", "build-dependencies"]
                .into_iter()
                .filter_map(|section| table.get(section)?.as_table())
        })
        .flatten()
        .filter(|(name, what)| is_own(name, what))
        .map(|(name, _)| format!("{crate_name} must not depend on {name}"))
        .collect()
}

fn is_own(name: &str, what: &toml::Value) -> bool {
    let renamed = what.get("package").and_then(toml::Value::as_str);
    what.get("path").is_some() || renamed.unwrap_or(name).starts_with("email-engine")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_a_folder_or_a_file_and_not_a_longer_name() {
        assert_eq!(
            of("coordinator/src/state/mod.rs"),
            Some("coordinator/src/state")
        );
        assert_eq!(
            of("agent/src/reconciler/plan.rs"),
            Some("agent/src/reconciler/plan")
        );
        assert_eq!(of("coordinator/src/state_file.rs"), None);
        assert_eq!(of("coordinator/src/raft/mod.rs"), None);
    }

    #[test]
    fn a_renamed_room_is_missed_once_the_crate_runs() {
        let paths = |run: &str| vec!["protocol/src/id.rs".to_owned(), run.to_owned()];
        assert!(missing(&paths("agent/src/lib.rs")).is_empty());
        let complaints = missing(&paths("agent/src/run.rs")).join("\n");
        assert!(
            complaints.contains("agent/src/reconciler/order"),
            "{complaints}"
        );
        assert!(!complaints.contains("coordinator"), "{complaints}");
    }

    #[test]
    fn a_dependency_on_our_own_crate_is_found() {
        let manifest = "[dependencies]\nserde = \"1\"\n[dev-dependencies]\n\
                        email-engine-agent.workspace = true\n\
                        [build-dependencies]\nnear = { path = \"../near\" }\n\
                        [target.'cfg(unix)'.dependencies]\n\
                        other = { package = \"email-engine-coordinator\", version = \"1\" }\n";
        let found = own_dependencies("it", manifest);
        let wanted = ["email-engine-agent", "near", "other"];
        assert_eq!(
            found,
            wanted.map(|name| format!("it must not depend on {name}"))
        );
    }
}
