//! `cluster`: its nodes, and its backup.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use email_engine_protocol::api::{
    ClusterView, Consistency, Contact, MemberRole, NodeView, TokenRequest,
};
use email_engine_protocol::id::NodeId;
use email_engine_protocol::join::Admission;
use email_engine_protocol::observed::Observed;

use super::{Desk, token};
use crate::client::{ClientError, Patience};
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, or_dash, text, word};
use crate::private_file::Reserved;
use crate::prompt::{self, Reply};

/// Arguments of `cluster`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  email-engine cluster status
  email-engine cluster add --out node.token     a token, and what to do with it
  email-engine cluster promote 3                let node 3 vote
  email-engine cluster remove 2                 its number is never used again
  email-engine cluster backup fleet.backup      online, sealed to the recovery key

A backup is restored into a new cluster, on its first machine:
  email-engine-coordinator restore --from fleet.backup --recovery-key-file FILE")]
pub(crate) struct Cluster {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Create a node's join token and show the steps to join
    Add {
        /// How long the token lives
        #[arg(long, default_value = "1h", value_parser = token::parse_ttl)]
        ttl: u64,
        /// File for the token (mode 0600)
        #[arg(long, value_name = "FILE", default_value = "node.token")]
        out: PathBuf,
    },
    /// Save a consistent, sealed backup in a new file
    Backup {
        /// Where; it must not exist
        file: PathBuf,
    },
    /// Let a learner vote
    Promote {
        /// Its number
        node: u64,
    },
    /// Take a node out for good
    Remove {
        /// Its number
        node: u64,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Show the nodes (also without a leader)
    Status,
    /// Show versions of this program and of the cluster
    Version,
}

pub(crate) async fn run(desk: &Desk, arguments: Cluster) -> Result<Exit, Failure> {
    match arguments.command {
        ClusterCommand::Add { ttl, out } => add(desk, ttl, out).await?,
        ClusterCommand::Backup { file } => {
            let size = desk.client.backup(&file).await?;
            desk.output.note(&format!(
                "backup of {size} bytes saved in {}; only the recovery key opens it",
                file.display()
            ));
        }
        ClusterCommand::Promote { node } => {
            let answer = desk.client.promote(NodeId(node)).await?;
            desk.output
                .show(&answer, |_| format!("Node {node} has a vote."))?;
        }
        ClusterCommand::Remove { node, yes } => remove(desk, NodeId(node), yes).await?,
        ClusterCommand::Status => {
            let (view, stale) = look(desk).await?;
            if stale {
                desk.output.note(&format!(
                    "no leader's word: this is what node {} has, it may be old",
                    view.node
                ));
            }
            desk.output.show(&view, |output| render(output, &view))?;
        }
        ClusterCommand::Version => {
            let (view, _) = look(desk).await?;
            let versions = serde_json::json!({
                "client": env!("CARGO_PKG_VERSION"),
                "cluster_version": view.cluster_version,
            });
            desk.output.show(&versions, |_| {
                format!(
                    "client   {}\ncluster  {}",
                    env!("CARGO_PKG_VERSION"),
                    view.cluster_version
                )
            })?;
        }
    }
    Ok(Exit::Success)
}

/// The cluster by the leader's word, else as a node has it; the second value says which.
async fn look(desk: &Desk) -> Result<(ClusterView, bool), ClientError> {
    let patience = Some(Patience::LEADER);
    let leaders = desk.client.cluster(Consistency::Linearizable, patience);
    match leaders.await {
        Err(ClientError::Unavailable { .. } | ClientError::Unreachable { .. }) => {
            let view = desk.client.cluster(Consistency::Stale, None).await?;
            Ok((view, true))
        }
        answered => Ok((answered?, false)),
    }
}

async fn add(desk: &Desk, ttl: u64, out: PathBuf) -> Result<(), Failure> {
    let request = TokenRequest {
        admission: Admission::Node,
        ttl_seconds: ttl,
        replace: false,
    };
    let mut place = Reserved::at(&out)?;
    let created = desk.client.create_token(&request).await?;
    place.fill(&created.token)?;
    let file = out.display();
    desk.output.note(&format!(
        "The token is in {file} and ends at {}. On the new machine:\n\
         \n\
         1. copy {file} there, readable for root only\n\
         2. email-engine-coordinator join --token-file {file}\n\
         3. email-engine-coordinator run          (as a service)\n\
         \n\
         Then here, once `email-engine cluster status` lists it as a learner:\n\
         \n\
         4. email-engine cluster promote NUMBER",
        created.expires_at
    ));
    Ok(())
}

async fn remove(desk: &Desk, node: NodeId, yes: bool) -> Result<(), Failure> {
    let question = format!("Remove node {node} for good? Its number is never used again.");
    match prompt::confirm(&question, yes) {
        Reply::Yes => {}
        Reply::No => {
            let text = "not confirmed: nothing was changed";
            return Err(Failure::new(Exit::Failure, text));
        }
        Reply::Nobody => {
            let text = "a removed node cannot come back under its number, and there is no terminal \
                        to ask on: say --yes";
            return Err(Failure::new(Exit::Failure, text));
        }
    }
    let answer = desk.client.remove_node(node).await?;
    desk.output.show(&answer, |_| {
        format!("Node {node} is removed; stop its process.")
    })?;
    Ok(())
}

fn render(output: &Output, view: &ClusterView) -> String {
    let mut table = output.table(&[
        "NODE", "PART", "LEADER", "API", "AGENTS", "RAFT", "INDEX", "ANSWERS",
    ]);
    for node in &view.nodes {
        let mood = match node.role {
            MemberRole::Learner => Mood::Underway,
            MemberRole::Removed | MemberRole::Voter => Mood::Plain,
        };
        table.add_row(vec![
            output.mood(&node.id, Mood::Plain),
            output.mood(&word(&node.role), mood),
            output.mood(&if node.leader { "leads" } else { "-" }, Mood::Good),
            output.mood(&node.api_endpoint, Mood::Plain),
            output.mood(&node.agent_endpoint, Mood::Plain),
            output.mood(&node.raft_endpoint, Mood::Plain),
            output.mood(&or_dash(node.matched_index), Mood::Plain),
            output.mood(&answers(node).0, answers(node).1),
        ]);
    }
    let unknown = why_unknown(view).map_or_else(String::new, |reason| format!("\n\n{reason}"));
    format!(
        "Cluster {}, epoch {}, version {}\n\
         Asked node {}: leader {}, term {}, applied {} of {}, revision {}\n\n{}{unknown}",
        view.cluster,
        view.epoch,
        view.cluster_version,
        view.node,
        or_dash(view.leader),
        view.term,
        view.applied_index,
        view.last_index,
        view.revision,
        text(&table)
    )
}

/// Whether a node answers the leader, in a word or two.
fn answers(node: &NodeView) -> (String, Mood) {
    match &node.contact {
        None => ("-".to_owned(), Mood::Plain),
        Some(Observed::Unknown { .. }) => ("unknown".to_owned(), Mood::Underway),
        Some(Observed::Known { value, at }) => match value {
            Contact::Heard { last } => match at.since(*last) / 1000 {
                0 => ("yes".to_owned(), Mood::Good),
                seconds => (format!("{seconds} s ago"), Mood::Good),
            },
            Contact::Unreachable { since } => {
                (format!("not for {}", lasting(at.since(*since))), Mood::Bad)
            }
        },
    }
}

/// A time span, in its two largest units.
fn lasting(millis: u64) -> String {
    let seconds = millis / 1000;
    match (seconds / 86_400, seconds / 3_600, seconds / 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}

/// Why it is not known of some node whether it answers; the first reason stands for all.
fn why_unknown(view: &ClusterView) -> Option<String> {
    view.nodes.iter().find_map(|node| match &node.contact {
        Some(Observed::Unknown { reason, since }) => Some(format!(
            "Whether node {} answers is unknown since {since}: {reason}",
            node.id
        )),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::ClusterId;
    use email_engine_protocol::time::Timestamp;

    use super::*;
    use crate::output::PLAIN;

    fn node(id: u64, contact: Option<Observed<Contact>>) -> NodeView {
        NodeView {
            id: NodeId(id),
            role: MemberRole::Voter,
            leader: id == 1,
            raft_endpoint: format!("192.0.2.{id}:7444"),
            agent_endpoint: format!("192.0.2.{id}:7443"),
            api_endpoint: format!("192.0.2.{id}:7443"),
            matched_index: Some(90),
            contact,
        }
    }

    #[test]
    fn who_does_not_answer_is_seen_and_what_is_unknown_is_called_so() {
        let known = |value| {
            Some(Observed::Known {
                value,
                at: Timestamp(100_000),
            })
        };
        let unknown = Observed::Unknown {
            reason: "no leader is known".to_owned(),
            since: Timestamp(0),
        };
        let mut view = ClusterView {
            cluster: ClusterId([1; 16]),
            epoch: 1,
            cluster_version: 1,
            node: NodeId(1),
            leader: Some(NodeId(1)),
            term: 4,
            applied_index: 90,
            last_index: 91,
            revision: 12,
            state_time: Timestamp(0),
            nodes: vec![
                node(
                    1,
                    known(Contact::Heard {
                        last: Timestamp(99_900),
                    }),
                ),
                node(
                    2,
                    known(Contact::Heard {
                        last: Timestamp(98_000),
                    }),
                ),
                node(
                    3,
                    known(Contact::Unreachable {
                        since: Timestamp(35_000),
                    }),
                ),
            ],
        };
        let shown = |view: &ClusterView| render(&PLAIN, view);
        let lines = shown(&view);
        let ends = |at: usize, end: &str| lines.lines().nth(3 + at).unwrap().ends_with(end);
        assert!(ends(0, " ANSWERS") && ends(1, " 90     yes"), "{lines}");
        assert!(
            ends(2, " 2 s ago") && ends(3, " not for 1 min 5 s"),
            "{lines}"
        );
        assert!(!lines.contains("unknown"), "{lines}");
        view.nodes = vec![node(1, Some(unknown)), node(2, None)];
        let lines = shown(&view);
        assert!(
            lines.contains(" unknown\n") && lines.contains(": no leader is known"),
            "{lines}"
        );
    }

    #[test]
    fn long_silences_are_told_in_large_units() {
        let told = [59, 61, 3_700, 90_000].map(|seconds| lasting(seconds * 1000));
        assert_eq!(told, ["59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }
}
