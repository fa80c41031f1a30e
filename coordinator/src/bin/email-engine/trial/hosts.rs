//! Declares the fleet and starts one agent per host.

use std::time::{Duration, Instant};

use email_engine_protocol::api::{ApplyAnswer, FleetDocument, HostView, TokenRequest};
use email_engine_protocol::id::HostId;
use email_engine_protocol::join::Admission;

use super::TrialError;
use super::keeper::Keeper;
use super::nodes;
use super::place::Place;
use super::programs::Programs;
use crate::client::{Client, ClientError};
use crate::output::Output;
use crate::private_file;

/// Between two looks at the hosts of a running trial.
const LOOK: Duration = Duration::from_secs(2);
/// For a cluster that cannot take the fleet file yet; keys that are made for it have their own time.
const APPLY: Duration = Duration::from_secs(90);
/// The same, while the trial's key is not accepted.
const KEY_LOOK: Duration = Duration::from_secs(10);

/// Applies the fleet file when it was asked for, or when there is no fleet yet: what was changed by
/// hand since stays. Answers the hosts that shall have an agent.
pub(super) async fn declare(
    client: &Client,
    document: &FleetDocument,
    asked_for: bool,
    output: Output,
) -> Result<Vec<HostView>, TrialError> {
    let mut hosts = list(client).await?;
    if asked_for || hosts.is_empty() {
        let answer = apply(client, document).await?;
        for warning in &answer.warnings {
            output.note(&format!("warning: {warning}"));
        }
        let changes = answer.changes.len();
        output.note(&format!("fleet file applied: {changes} changes"));
        hosts = list(client).await?;
    }
    hosts.retain(|host| host.lifecycle != "retired");
    Ok(hosts)
}

/// Applies the fleet file. The keys of its identities take long on a busy machine, and applying it
/// again changes nothing more.
async fn apply(client: &Client, document: &FleetDocument) -> Result<ApplyAnswer, TrialError> {
    let deadline = Instant::now() + APPLY;
    loop {
        match client.apply(document, false, false).await {
            Ok(answer) => return Ok(answer),
            Err(ClientError::Unavailable { .. } | ClientError::Unreachable { .. })
                if Instant::now() < deadline =>
            {
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => return Err(TrialError::api("applying the fleet file")(error)),
        }
    }
}

async fn list(client: &Client) -> Result<Vec<HostView>, TrialError> {
    client
        .hosts()
        .await
        .map_err(TrialError::api("listing the hosts"))
}

/// Starts an agent per host; one that has no identity yet gets a join token.
pub(super) async fn start_agents(
    client: &Client,
    place: &Place,
    keeper: &mut Keeper,
    hosts: &[HostView],
) -> Result<(), TrialError> {
    for host in hosts {
        let id = &host.spec.id;
        let has_identity = place.agent_identity(id).exists();
        for folder in [place.host(id), place.host_root(id), place.agent(id)] {
            private_file::folder(&folder)?;
        }
        let enrolled = host.lifecycle != "declared";
        if !enrolled || !has_identity {
            // Its folder was emptied: a new agent takes its place, as on a reinstalled machine.
            hand_token(client, place, host, enrolled).await?;
        }
        keeper.keep(keeper.programs.agent(place, id)?);
    }
    Ok(())
}

/// Gives an agent to hosts that came since, and a token to agents whose folder was emptied; for as
/// long as the trial runs. While its key is not accepted it says so, and takes up a new one.
pub(super) async fn tend(
    mut client: Client,
    place: &Place,
    keeper: &mut Keeper,
    output: Output,
) -> Result<std::convert::Infallible, TrialError> {
    let mut told = String::new();
    let mut pause = LOOK;
    loop {
        tokio::time::sleep(pause).await;
        let tended = tend_once(&client, place, keeper, output).await;
        let refused = matches!(
            tended,
            Err(TrialError::Api {
                source: ClientError::Key { .. },
                ..
            })
        );
        // Whoever shows wrong keys too often is listened to no more.
        pause = if refused { KEY_LOOK } else { LOOK };
        let trouble = match tended {
            Err(_) if refused => {
                if let Ok(renewed) = nodes::reconnect(place) {
                    client = renewed;
                }
                let path = place.admin();
                Some(TrialError::Key { path }.to_string())
            }
            Err(error) => Some(error.to_string()),
            Ok(()) => None,
        };
        // A cluster that somebody takes apart to see what happens says so once.
        if let Some(trouble) = trouble
            && trouble != told
        {
            output.note(&format!("{trouble}; trying again"));
            told = trouble;
        }
    }
}

async fn tend_once(
    client: &Client,
    place: &Place,
    keeper: &mut Keeper,
    output: Output,
) -> Result<(), TrialError> {
    for host in list(client).await? {
        let id = &host.spec.id;
        let kept = keeper.keeps(&Programs::agent_name(id));
        let has_identity = place.agent_identity(id).exists();
        if kept && has_identity {
            forget_tokens(place, std::slice::from_ref(id));
        }
        let served = kept && (has_identity || place.host_token(id).exists());
        if served || matches!(host.lifecycle.as_str(), "retiring" | "retired") {
            continue;
        }
        if kept {
            output.note(&format!(
                "agent {id}: its folder was emptied; it gets a new join token"
            ));
            hand_token(client, place, &host, host.lifecycle != "declared").await?;
        } else {
            output.note(&format!("agent {id}: starting, its host is new"));
            start_agents(client, place, keeper, std::slice::from_ref(&host)).await?;
        }
    }
    Ok(())
}

async fn hand_token(
    client: &Client,
    place: &Place,
    host: &HostView,
    replace: bool,
) -> Result<(), TrialError> {
    let id = &host.spec.id;
    let request = TokenRequest {
        admission: Admission::Host {
            host: id.clone(),
            role: host.spec.role,
        },
        ttl_seconds: 3600,
        replace,
    };
    let created = client
        .create_token(&request)
        .await
        .map_err(TrialError::api(format!("creating the token of {id}")))?;
    private_file::write(&place.host_token(id), created.token.as_bytes())?;
    Ok(())
}

/// Removes tokens that were used.
pub(super) fn forget_tokens(place: &Place, hosts: &[HostId]) {
    for host in hosts {
        // Most are there once only; a leftover is used up or expires within the hour.
        let _ = std::fs::remove_file(place.host_token(host));
    }
}
