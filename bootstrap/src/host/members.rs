//! Whom this machine is to a cluster: its own programs know, and say so without changing anything.

use std::path::Path;

use email_engine_protocol::id::{ClusterId, HostId, NodeId, Role};
use email_engine_protocol::observed::Attempt;
use serde::Deserialize;

use super::child;
use crate::facts::{Bundle, Measured, Member, Membership};
use crate::layout::{AGENT, COORDINATOR, Layout, NODE_DATA};
use crate::request::Part;

#[derive(Deserialize)]
struct HostSays {
    enrolled: Option<Host>,
    #[serde(default)]
    identity_lost: bool,
    converged: bool,
    attempted: Option<Attempt>,
    retired: bool,
    accepted: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Host {
    cluster: ClusterId,
    host: HostId,
    role: Role,
}

#[derive(Deserialize)]
struct NodeSays {
    node: Option<Node>,
}

#[derive(Deserialize)]
struct Node {
    cluster: ClusterId,
    node: NodeId,
}

/// Asks the part's program, preferably the one beside the bootstrap: it knows every earlier form of
/// what it reads.
///
/// # Errors
/// When there is something that cannot be read, and what that is.
pub fn membership(part: Part, bundle: &Bundle) -> Measured<Membership> {
    let (name, data) = match part {
        Part::Agent => (AGENT, "/var/lib/email-engine-agent"),
        Part::Coordinator => (COORDINATOR, NODE_DATA),
    };
    // What nobody installed has nothing to say.
    if !Path::new(data)
        .try_exists()
        .map_err(|error| format!("{data}: {error}"))?
    {
        return Ok(Membership::default());
    }
    let installed = Layout::program(part);
    let program = match bundle.get(name) {
        Some(Ok(program)) => program.path.clone(),
        _ if installed.exists() => installed,
        _ => return Err(format!("{data} is there, and no program that can read it")),
    };
    let said = child::run(child::program(program).arg("status"));
    let said = said.map_err(|error| error.to_string())?;
    let answer = match part {
        Part::Agent => serde_json::from_slice(&said).map(host),
        Part::Coordinator => serde_json::from_slice(&said).map(node),
    };
    answer.map_err(|error| format!("{name} status: {error}"))
}

fn host(said: HostSays) -> Membership {
    let trouble = match said.attempted {
        _ if said.retired => Some("the host was retired".to_owned()),
        Some(Attempt {
            generation,
            stage,
            reason,
        }) => Some(format!(
            "state {generation} did not get through ({stage:?}): {reason}"
        )),
        None if said.accepted.is_none() => Some("no state has come yet".to_owned()),
        None => None,
    };
    Membership {
        enrolled: said.enrolled.map(|host| Member {
            cluster: host.cluster,
            name: host.host.to_string(),
            role: Some(host.role),
        }),
        identity_lost: said.identity_lost,
        converged: said.converged,
        trouble,
    }
}

fn node(said: NodeSays) -> Membership {
    Membership {
        enrolled: said.node.map(|node| Member {
            cluster: node.cluster,
            name: node.node.to_string(),
            role: None,
        }),
        identity_lost: false,
        converged: false,
        trouble: None,
    }
}
