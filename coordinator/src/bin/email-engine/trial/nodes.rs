//! Brings the cluster up: the first node founds it, the others join by tokens and are given votes.

use std::time::{Duration, Instant};

use email_engine_protocol::api::{ClusterView, Consistency, MemberRole, NodeView, TokenRequest};
use email_engine_protocol::id::{ClusterId, NodeId};
use email_engine_protocol::join::Admission;

use super::TrialError;
use super::keeper::Keeper;
use super::place::Place;
use super::programs::{Founded, Listeners, Programs};
use crate::client::{Client, ClientError, Patience};
use crate::context::{Context, ContextEndpoint};
use crate::output::Output;
use crate::private_file;

/// Making the CA and the first keys.
const INIT: Duration = Duration::from_secs(60);
/// A node is there, or has joined, or leads.
const STEP: Duration = Duration::from_secs(45);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(150);
pub(super) const PATIENCE: Patience = Patience {
    request: Duration::from_secs(30),
    unavailable: Duration::from_secs(20),
    keys: Duration::from_mins(5),
};

/// Nodes of a first start that names no number.
const NODES: u64 = 3;

/// A running cluster with as many nodes as `wanted` says, and a client of it.
pub(super) async fn bring_up(
    place: &Place,
    keeper: &mut Keeper,
    wanted: Option<u64>,
    output: Output,
) -> Result<Client, TrialError> {
    let (known, wanted) = if place.admin().exists() {
        let known = joined(place);
        // A first start that was cut off goes on to the number that is not written down anywhere.
        let wanted = wanted.unwrap_or_else(|| known.max(NODES));
        if wanted < known {
            return Err(TrialError::Nodes {
                dir: place.root().to_owned(),
                known,
                wanted,
            });
        }
        restart(place, keeper, known, output).await?;
        (known, wanted)
    } else {
        found(place, keeper, output).await?;
        (1, wanted.unwrap_or(NODES))
    };
    let mut context = read_context(place)?;
    let mut client = connect(place, &context)?;
    await_leader(&client, place).await?;
    for n in known + 1..=wanted {
        output.note(&format!("node {n}: joining"));
        join(place, keeper, &client, n).await?;
        context.endpoints = endpoints(place, n)?;
        context.write(&place.admin())?;
        client = connect(place, &context)?;
    }
    // A first start that was cut off between joining and voting goes on here.
    promote_learners(&client).await?;
    let (cluster, count) = (&context.cluster, known.max(wanted));
    let nodes = if count == 1 { "node" } else { "nodes" };
    output.note(&format!("cluster {cluster}: {count} {nodes}"));
    Ok(client)
}

/// Founds a cluster of one node.
async fn found(place: &Place, keeper: &mut Keeper, output: Output) -> Result<(), TrialError> {
    place.clear()?;
    output.note("node 1: founding the cluster");
    let recipe = keeper.programs.init(place, 1)?;
    let answer = zeroize::Zeroizing::new(recipe.run(INIT).await?);
    let founded: Founded = serde_json::from_slice(&answer).map_err(|error| TrialError::Answer {
        name: "email-engine-coordinator init",
        // Not the answer itself: it holds the keys.
        reason: format!("line {}, column {}", error.line(), error.column()),
    })?;
    let recovery = format!("{}\n", founded.recovery_key);
    private_file::write(&place.recovery_key(), recovery.as_bytes())?;
    output.note(&format!(
        "node {}: recovery key in {}; a real cluster keeps it offline, it alone can restore",
        founded.node,
        place.recovery_key().display()
    ));
    keeper.keep(keeper.programs.run(place, 1)?);
    mark_joined(place, 1, founded.node)?;
    await_listeners(place, keeper, 1).await?;
    let context = Context {
        cluster: founded.cluster,
        api_key: founded.admin_key,
        ca_file: None,
        ca_pem: Some(founded.ca_pem),
        endpoints: endpoints(place, 1)?,
    };
    context.write(&place.admin())?;
    Ok(())
}

/// How many nodes of the folder belong to the cluster.
fn joined(place: &Place) -> u64 {
    let mut known = 0;
    while place.node_joined(known + 1).exists() {
        known += 1;
    }
    known
}

/// Starts all nodes that belong to the cluster.
async fn restart(
    place: &Place,
    keeper: &mut Keeper,
    known: u64,
    output: Output,
) -> Result<(), TrialError> {
    for n in 1..=known {
        keeper.keep(keeper.programs.run(place, n)?);
    }
    output.note(&format!("starting {known} nodes again"));
    for n in 1..=known {
        await_listeners(place, keeper, n).await?;
    }
    let mut context = read_context(place)?;
    context.endpoints = endpoints(place, known)?;
    context.write(&place.admin())?;
    Ok(())
}

/// Makes a learner of a new node, then lets it vote.
async fn join(
    place: &Place,
    keeper: &mut Keeper,
    client: &Client,
    n: u64,
) -> Result<(), TrialError> {
    // What an attempt that was cut off left behind: a node never comes back under its number.
    let leftover = place.node(n);
    if leftover.exists() {
        std::fs::remove_dir_all(&leftover)
            .map_err(TrialError::io(format!("remove {}", leftover.display())))?;
    }
    let request = TokenRequest {
        admission: Admission::Node,
        ttl_seconds: 600,
        replace: false,
    };
    let token = client
        .create_token(&request)
        .await
        .map_err(TrialError::api("creating a node's token"))?;
    keeper
        .programs
        .join(place, n, &token.token)?
        .run(STEP)
        .await?;
    keeper.keep(keeper.programs.run(place, n)?);
    await_listeners(place, keeper, n).await?;
    let deadline = Instant::now() + STEP;
    let number = loop {
        if let Some(number) = number_of(&view(client).await?, place, n)? {
            break number;
        }
        if Instant::now() >= deadline {
            return Err(keeper
                .programs
                .run(place, n)?
                .failed("runs, but the cluster does not list it"));
        }
        tokio::time::sleep(LOOK).await;
    };
    mark_joined(place, n, number)?;
    promote_learners(client).await
}

/// Gives every learner a vote, one at a time.
async fn promote_learners(client: &Client) -> Result<(), TrialError> {
    let deadline = Instant::now() + STEP;
    loop {
        let view = view(client).await?;
        let Some(learner) = learners(&view).next() else {
            return Ok(());
        };
        match client.promote(learner).await {
            Ok(_) => {}
            // Not caught up yet, or another change of membership is under way.
            Err(_) if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
            Err(error) => {
                return Err(TrialError::api(format!("giving node {learner} a vote"))(
                    error,
                ));
            }
        }
    }
}

fn learners(view: &ClusterView) -> impl Iterator<Item = NodeId> {
    let is_learner = |node: &&NodeView| node.role == MemberRole::Learner;
    view.nodes.iter().filter(is_learner).map(|node| node.id)
}

/// The number under which the cluster has the n-th node: the one that listens where it does.
fn number_of(view: &ClusterView, place: &Place, n: u64) -> Result<Option<NodeId>, TrialError> {
    let listeners = Listeners::read(&place.node_endpoints(n))?;
    Ok(listeners.and_then(|listeners| {
        let address = listeners.raft.to_string();
        let mut nodes = view.nodes.iter();
        nodes
            .find(|node| node.raft_endpoint == address && node.role != MemberRole::Removed)
            .map(|node| node.id)
    }))
}

async fn view(client: &Client) -> Result<ClusterView, TrialError> {
    client
        .cluster(Consistency::Linearizable, None)
        .await
        .map_err(TrialError::api("asking the cluster for its nodes"))
}

/// How often in a row the key is refused before it counts as wrong.
const KEY_REFUSALS: u32 = 4;
const KEY_PAUSE: Duration = Duration::from_secs(1);

/// Waits until some node leads and answers.
async fn await_leader(client: &Client, place: &Place) -> Result<(), TrialError> {
    let deadline = Instant::now() + STEP;
    let mut refused = 0;
    loop {
        match client.cluster(Consistency::Linearizable, None).await {
            Ok(_) => return Ok(()),
            // A node that has just begun may not know the key yet. Slowly, for a node that is shown
            // wrong keys soon listens to none.
            Err(ClientError::Key { .. }) => {
                refused += 1;
                if refused == KEY_REFUSALS {
                    return Err(TrialError::Key {
                        path: place.admin(),
                    });
                }
                tokio::time::sleep(KEY_PAUSE).await;
            }
            Err(_) if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
            Err(error) => return Err(TrialError::api("waiting for a leader")(error)),
        }
    }
}

/// Waits until a node says where it listens, and does; from then on it keeps its ports.
async fn await_listeners(place: &Place, keeper: &Keeper, n: u64) -> Result<(), TrialError> {
    let deadline = Instant::now() + STEP;
    loop {
        if let Some(listeners) = Listeners::read(&place.node_endpoints(n))?
            && tokio::net::TcpStream::connect(listeners.api).await.is_ok()
        {
            return Programs::configure(place, n);
        }
        if Instant::now() >= deadline {
            let what = format!("does not listen after {} s", STEP.as_secs());
            return Err(keeper.programs.run(place, n)?.failed(what));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn endpoints(place: &Place, nodes: u64) -> Result<Vec<ContextEndpoint>, TrialError> {
    let mut endpoints = Vec::new();
    for n in 1..=nodes {
        if let Some(listeners) = Listeners::read(&place.node_endpoints(n))? {
            endpoints.push(ContextEndpoint {
                url: format!("https://{}", listeners.api),
                address: None,
            });
        }
    }
    Ok(endpoints)
}

fn mark_joined(place: &Place, n: u64, number: NodeId) -> Result<(), TrialError> {
    let number = number.to_string();
    Ok(private_file::write(
        &place.node_joined(n),
        number.as_bytes(),
    )?)
}

fn read_context(place: &Place) -> Result<Context, TrialError> {
    Context::read(&place.admin()).map_err(|error| TrialError::Answer {
        name: "admin.toml",
        reason: error.to_string(),
    })
}

fn connect(place: &Place, context: &Context) -> Result<Client, TrialError> {
    let cluster: ClusterId = context.cluster;
    let client = Client::new(context, PATIENCE);
    client
        .map(|client| client.with_key_file(place.admin()))
        .map_err(TrialError::api(format!("reaching cluster {cluster}")))
}

/// A client by what stands in the trial's context now.
pub(super) fn reconnect(place: &Place) -> Result<Client, TrialError> {
    connect(place, &read_context(place)?)
}
