//! `status`: the fleet at a glance, also when the cluster has no leader.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::Duration;

use clap::Args;

use email_engine_protocol::api::{
    ClusterView, Consistency, Contact, FleetState, MemberRole, StatusView,
};
use email_engine_protocol::observed::Observed;

use super::{Desk, hosts};
use crate::client::{ClientError, Patience};
use crate::exit::{Exit, Failure};
use crate::output::{Output, word};

/// Arguments of `status`.
#[derive(Args, Debug)]
#[command(after_help = "\
Asks the leader; when there is none, shows what a node has on its own, and says so.
Exit code 0 converged, 3 converging, 4 degraded, 5 no node answers.

Examples:
  email-engine status
  email-engine status --watch
  email-engine status --output json | jq -r .state")]
pub(crate) struct Status {
    /// Show it again and again, until Ctrl-C
    #[arg(long, short)]
    watch: bool,
    /// Seconds between two looks
    #[arg(long, default_value_t = 2, value_name = "SECONDS", requires = "watch",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// Do not ask the leader: show what the first reachable node has
    #[arg(long)]
    stale: bool,
}

pub(crate) async fn run(desk: &Desk, arguments: &Status) -> Result<Exit, Failure> {
    if !arguments.watch {
        let status = look(desk, arguments.stale, Patience::LEADER).await?;
        desk.output
            .show(&status, |output| render(output, &status))?;
        return Ok(verdict(&status));
    }
    let watching = watch(desk, arguments);
    tokio::select! {
        ended = watching => ended,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

async fn watch(desk: &Desk, arguments: &Status) -> Result<Exit, Failure> {
    loop {
        let shown = match look(desk, arguments.stale, Patience::LEADER).await {
            Ok(status) => desk
                .output
                .render(&status, |output| render(output, &status))?,
            // Watching goes on: this is what one watches for.
            Err(error) => format!("{error}"),
        };
        if std::io::stdout().is_terminal() {
            // From the top of a cleared screen, so that only what changed seems to move.
            let _ = write!(std::io::stdout().lock(), "\u{1b}[H\u{1b}[2J");
        }
        desk.output.print(&desk.output.one_of_many(shown))?;
        tokio::time::sleep(Duration::from_secs(arguments.interval)).await;
    }
}

/// The leader's word, else what a node has on its own.
async fn look(desk: &Desk, stale: bool, leader: Patience) -> Result<StatusView, ClientError> {
    if !stale {
        match desk
            .client
            .status(Consistency::Linearizable, Some(leader))
            .await
        {
            Err(ClientError::Unavailable { .. } | ClientError::Unreachable { .. }) => {}
            answered => return answered,
        }
    }
    let mut status = desk.client.status(Consistency::Stale, None).await?;
    status.stale = true;
    Ok(status)
}

pub(crate) const fn verdict(status: &StatusView) -> Exit {
    match status.state {
        FleetState::Converged => Exit::Success,
        FleetState::Converging => Exit::Converging,
        FleetState::Degraded => Exit::Degraded,
    }
}

pub(crate) fn render(output: &Output, status: &StatusView) -> String {
    let cluster = &status.cluster;
    let mut shown = format!("Fleet: {}", word(&status.state));
    if status.stale {
        let _ = write!(
            shown,
            " (as node {} has it: no leader's word, may be old)",
            cluster.node
        );
    }
    let leader = cluster
        .leader
        .map_or_else(|| "no leader".to_owned(), |id| format!("leader node {id}"));
    let _ = write!(
        shown,
        "\nCluster: {}{leader}, term {}, revision {}\nIdentities: {}{}",
        nodes(cluster),
        cluster.term,
        cluster.revision,
        status.ips,
        match status.leaving {
            0 => String::new(),
            count => format!(", {count} leaving"),
        }
    );
    for reason in &status.reasons {
        let _ = write!(shown, "\n  - {reason}");
    }
    let _ = write!(shown, "\n\n{}", hosts::table(output, &status.hosts));
    shown
}

/// How many nodes there are; nothing for a tenant's key, which is not told of them.
fn nodes(cluster: &ClusterView) -> String {
    let count = |part: &dyn Fn(MemberRole) -> bool| {
        let nodes = cluster.nodes.iter();
        nodes.filter(|node| part(node.role)).count()
    };
    let members = count(&|role| role != MemberRole::Removed);
    if members == 0 {
        return String::new();
    }
    let voters = count(&|role| role == MemberRole::Voter);
    let silent = cluster.nodes.iter().filter(|node| {
        let contact = node.contact.as_ref().and_then(Observed::known);
        matches!(contact, Some(Contact::Unreachable { .. }))
    });
    let unreachable = match silent.count() {
        0 => String::new(),
        count => format!("{count} unreachable, "),
    };
    format!("{voters} voting of {members} nodes, {unreachable}")
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use email_engine_protocol::api::NodeView;
    use email_engine_protocol::id::{ClusterId, NodeId};
    use email_engine_protocol::time::Timestamp;

    use super::super::hosts::tests::host;
    use super::*;
    use crate::client::testbed::{Authority, problem};
    use crate::output::PLAIN;

    fn status(state: FleetState) -> StatusView {
        StatusView {
            state,
            stale: false,
            reasons: vec!["no leader".to_owned()],
            unplanned: false,
            cluster: ClusterView {
                cluster: ClusterId([1; 16]),
                epoch: 1,
                cluster_version: 1,
                node: NodeId(1),
                leader: None,
                term: 4,
                applied_index: 90,
                last_index: 91,
                revision: 12,
                state_time: Timestamp(0),
                nodes: vec![NodeView {
                    id: NodeId(1),
                    role: MemberRole::Voter,
                    leader: false,
                    raft_endpoint: "192.0.2.1:7444".to_owned(),
                    agent_endpoint: "192.0.2.1:7443".to_owned(),
                    api_endpoint: "192.0.2.1:7443".to_owned(),
                    matched_index: None,
                    contact: None,
                }],
            },
            hosts: vec![host("pmta1")],
            ips: 5,
            leaving: 1,
        }
    }

    #[test]
    fn states_have_their_exit_codes() {
        assert_eq!(verdict(&status(FleetState::Converged)) as u8, 0);
        assert_eq!(verdict(&status(FleetState::Converging)) as u8, 3);
        assert_eq!(verdict(&status(FleetState::Degraded)) as u8, 4);
    }

    #[tokio::test]
    async fn without_a_leader_a_nodes_own_state_is_shown_and_called_so() {
        let answer = serde_json::to_string(&status(FleetState::Degraded)).unwrap();
        let authority = Authority::new(1);
        let node = authority.node(move |target| {
            if target.ends_with("?consistency=stale") {
                answer.clone().into_response()
            } else {
                problem(503, "no-leader")
            }
        });
        let desk = authority.desk(&node);
        let leader = Patience::of(Duration::from_millis(50));
        let status = look(&desk, false, leader).await.unwrap();
        assert_eq!(
            render(&PLAIN, &status),
            "Fleet: degraded (as node 1 has it: no leader's word, may be old)\n\
             Cluster: 1 voting of 1 nodes, no leader, term 4, revision 12\n\
             Identities: 5, 1 leaving\n  - no leader\n\n \
             HOST   ROLE      TENANT  GENERATION  RESOURCES           NODE  STATE\n \
             pmta1  powermta  -       1.4         17/17, 3 simulated  2     converged"
        );
    }

    #[test]
    fn a_tenants_key_that_is_told_of_no_nodes_is_shown_no_count_of_them() {
        let mut status = status(FleetState::Converged);
        status.cluster.nodes.clear();
        let shown = render(&PLAIN, &status);
        assert!(
            shown.contains("\nCluster: no leader, term 4, revision 12\n"),
            "{shown}"
        );
    }

    #[test]
    fn json_has_the_overall_state_under_its_agreed_name() {
        let output = Output {
            format: crate::output::Format::Json,
            ..PLAIN
        };
        let text = output
            .render(&status(FleetState::Converging), |_| String::new())
            .unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["state"], "converging");
        assert_eq!(value["hosts"][0]["id"], "pmta1");
    }
}
