//! How the coordinator and the agent are called in a trial. Secrets go by private files only.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use email_engine_protocol::id::{ClusterId, HostId, NodeId};

use super::TrialError;
use super::child::Recipe;
use super::place::Place;

/// The programs beside this one.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    coordinator: PathBuf,
    agent: PathBuf,
}

/// Where a node listens, as it says itself in `endpoints.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listeners {
    pub(super) agent: SocketAddr,
    pub(super) api: SocketAddr,
    pub(super) raft: SocketAddr,
}

/// Where a node that joins takes its token from. Only its own user can read it there.
const JOIN_TOKEN: &str = "EMAIL_ENGINE_JOIN_TOKEN";
/// Exit code of an agent whose host was retired or whose certificate was revoked.
const RETIRED: i32 = 5;
/// Any free port.
const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// What `init --output json` answers. Holds secrets: no Debug.
#[derive(Deserialize)]
pub(super) struct Founded {
    pub(super) cluster: ClusterId,
    pub(super) node: NodeId,
    pub(super) ca_pem: String,
    pub(super) admin_key: String,
    pub(super) recovery_key: String,
}

/// What a trial sets of a node's configuration; the rest has its defaults.
#[derive(Serialize)]
struct NodeConfig<'a> {
    data_dir: &'a Path,
    mode: &'static str,
    agent_listen: SocketAddr,
    raft_listen: SocketAddr,
    api_listen: SocketAddr,
    min_free_bytes: u64,
    dkim_stock: u32,
    dnsbl: DnsblConfig,
}

/// A trial has example addresses and no resolver: it asks no list by itself.
#[derive(Serialize)]
struct DnsblConfig {
    sweep_seconds: u64,
}

/// What a trial sets of an agent's configuration.
#[derive(Serialize)]
struct AgentConfig<'a> {
    data_dir: &'a Path,
    sandbox_root: &'a Path,
    audit_interval_seconds: u64,
    reconnect_max_seconds: u64,
    join_token_file: &'a Path,
}

impl Programs {
    /// Finds both in the folder of this program.
    pub(super) fn find() -> Result<Self, TrialError> {
        let own = std::env::current_exe().map_err(TrialError::io("find this program's folder"))?;
        let beside = |name: &str| {
            let path = own.with_file_name(name);
            if path.is_file() {
                Ok(path)
            } else {
                Err(TrialError::Missing { path })
            }
        };
        Ok(Self {
            coordinator: beside("email-engine-coordinator")?,
            agent: beside("email-engine-agent")?,
        })
    }

    /// Founds the cluster.
    pub(super) fn init(&self, place: &Place, n: u64) -> Result<Recipe, TrialError> {
        self.coordinator(place, n, &["init", "--output", "json"])
    }

    /// Makes the n-th node a learner of the cluster, by a token.
    pub(super) fn join(&self, place: &Place, n: u64, token: &str) -> Result<Recipe, TrialError> {
        let mut recipe = self.coordinator(place, n, &["join"])?;
        let token = Zeroizing::new(token.to_owned());
        recipe.environment.push((JOIN_TOKEN, token));
        Ok(recipe)
    }

    /// Runs the n-th node.
    pub(super) fn run(&self, place: &Place, n: u64) -> Result<Recipe, TrialError> {
        self.coordinator(place, n, &["run"])
    }

    fn coordinator(&self, place: &Place, n: u64, verb: &[&str]) -> Result<Recipe, TrialError> {
        Self::configure(place, n)?;
        let mut arguments: Vec<OsString> = verb.iter().map(Into::into).collect();
        arguments.splice(1..1, ["--config".into(), place.node_config(n).into()]);
        Ok(Recipe {
            name: format!("node {n}"),
            program: self.coordinator.clone(),
            arguments,
            environment: Vec::new(),
            log: place.log(&format!("node-{n}")),
            farewell: None,
        })
    }

    /// Writes a node's configuration, with the ports that it has once it has some: started again, it
    /// must be where the others know it.
    pub(super) fn configure(place: &Place, n: u64) -> Result<(), TrialError> {
        let data_dir = place.node(n);
        let listeners = Listeners::read(&place.node_endpoints(n))?;
        let config = NodeConfig {
            data_dir: &data_dir,
            mode: "sandbox",
            agent_listen: listeners.map_or(FREE, |listeners| listeners.agent),
            raft_listen: listeners.map_or(FREE, |listeners| listeners.raft),
            api_listen: listeners.map_or(FREE, |listeners| listeners.api),
            // A trial is small; it shall run on a machine whose disk is nearly full.
            min_free_bytes: 128 * 1024 * 1024,
            dkim_stock: 10,
            dnsbl: DnsblConfig { sweep_seconds: 0 },
        };
        write_config(&place.node_config(n), &config)
    }

    /// How an agent is named in messages.
    pub(super) fn agent_name(host: &HostId) -> String {
        format!("agent {host}")
    }

    /// Runs a host's agent.
    pub(super) fn agent(&self, place: &Place, host: &HostId) -> Result<Recipe, TrialError> {
        let file = place.host(host).join("agent.toml");
        let config = AgentConfig {
            data_dir: &place.agent(host),
            sandbox_root: &place.host_root(host),
            // Short, so that one sees the guarantee at work and not only the hint of inotify.
            audit_interval_seconds: 10,
            reconnect_max_seconds: 5,
            join_token_file: &place.host_token(host),
        };
        write_config(&file, &config)?;
        Ok(Recipe {
            name: Self::agent_name(host),
            program: self.agent.clone(),
            arguments: vec!["run".into(), "--config".into(), file.into_os_string()],
            environment: Vec::new(),
            log: place.log(&format!("agent-{host}")),
            farewell: Some(RETIRED),
        })
    }
}

impl Listeners {
    /// Where a node listens, if it ever did.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, TrialError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(TrialError::io(format!("read {}", path.display()))(error));
            }
        };
        // Half of it, while it is being written, is as good as none.
        Ok(serde_json::from_str(&text).ok())
    }
}

fn write_config(path: &Path, config: &impl Serialize) -> Result<(), TrialError> {
    let text = toml::to_string(config).expect("a flat table is TOML");
    crate::private_file::write(path, text.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs() -> Programs {
        Programs {
            coordinator: "/bin/email-engine-coordinator".into(),
            agent: "/bin/email-engine-agent".into(),
        }
    }

    #[test]
    fn a_node_comes_back_on_the_ports_that_it_had() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::open(folder.path()).unwrap();
        programs().init(&place, 1).unwrap();
        let config = std::fs::read_to_string(place.node_config(1)).unwrap();
        assert!(config.contains("api_listen = \"127.0.0.1:0\""), "{config}");
        let listeners = Listeners {
            agent: "127.0.0.1:7001".parse().unwrap(),
            api: "127.0.0.1:7002".parse().unwrap(),
            raft: "127.0.0.1:7003".parse().unwrap(),
        };
        std::fs::create_dir(place.node(1)).unwrap();
        let text = serde_json::to_string(&listeners).unwrap();
        std::fs::write(place.node_endpoints(1), text).unwrap();
        Programs::configure(&place, 1).unwrap();
        let config = std::fs::read_to_string(place.node_config(1)).unwrap();
        assert!(
            config.contains("raft_listen = \"127.0.0.1:7003\""),
            "{config}"
        );
    }

    #[test]
    fn no_secret_is_an_argument() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::open(folder.path()).unwrap();
        let host = HostId::new("pmta1").unwrap();
        std::fs::create_dir(place.host(&host)).unwrap();
        std::fs::write(place.host_token(&host), "eejoin1.secret").unwrap();
        for recipe in [
            programs().join(&place, 2, "eejoin1.secret").unwrap(),
            programs().agent(&place, &host).unwrap(),
        ] {
            assert!(!format!("{recipe:?}").contains("eejoin1"), "{recipe:?}");
        }
    }
}
