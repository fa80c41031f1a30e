//! A token lets a node in: it gets a number that was never used.

use email_engine_protocol::api::MemberRole;
use email_engine_protocol::id::NodeId;
use email_engine_protocol::limits;

use crate::command::RejectionCode::{Version, WrongState};
use crate::command::refuse::{at_most, endpoint, refuse};
use crate::command::verb::{Change, Turn};
use crate::command::{Bearer, Effect, RedeemToken, Rejection};
use crate::state::{FleetState, Node, Token, TokenState};

pub(super) fn redeem(
    state: &mut FleetState,
    redeem: &RedeemToken,
    token: &Token,
    turn: &Turn<'_>,
) -> Result<Change, Rejection> {
    if let TokenState::Redeemed {
        node: Some(number), ..
    } = token.state
    {
        return repeat(state, number);
    }
    let node = joining(state, redeem, turn)?;
    at_most("nodes", state.members().count() + 1, limits::ENDPOINTS)?;
    let id = node.id;
    state.next_node = id.0 + 1;
    state.nodes.insert(id, node);
    if let Some(token) = state.tokens.get_mut(&redeem.id) {
        token.used_by = Some(redeem.shown());
        token.state = TokenState::Redeemed {
            spki: redeem.spki,
            node: Some(id),
        };
    }
    Ok(Change::Made(Effect::Node(id)))
}

fn repeat(state: &FleetState, number: NodeId) -> Result<Change, Rejection> {
    if state.members().any(|node| node.id == number) {
        return Ok(Change::Kept(Effect::Node(number)));
    }
    let accepted = "a new token: the node that this one let in was removed";
    Err(refuse(WrongState, "node", &number, accepted))
}

fn joining(state: &FleetState, redeem: &RedeemToken, turn: &Turn<'_>) -> Result<Node, Rejection> {
    let Bearer::Node {
        raft_endpoint,
        agent_endpoint,
        api_endpoint,
        supports_version,
    } = &redeem.bearer
    else {
        unreachable!("the caller matched a node")
    };
    endpoint("raft_endpoint", raft_endpoint)?;
    endpoint("agent_endpoint", agent_endpoint)?;
    endpoint("api_endpoint", api_endpoint)?;
    let needed = state.cluster.as_ref().map_or(0, |cluster| cluster.version);
    if *supports_version < needed {
        let accepted = format!("software that supports cluster version {needed}");
        return Err(refuse(
            Version,
            "supports_version",
            supports_version,
            accepted,
        ));
    }
    Ok(Node {
        id: NodeId(state.next_node),
        raft_endpoint: raft_endpoint.clone(),
        agent_endpoint: agent_endpoint.clone(),
        api_endpoint: api_endpoint.clone(),
        role: MemberRole::Learner,
        joined_at: turn.now(),
        supports_version: *supports_version,
    })
}
