//! Join tokens: one for a machine that is reached, or a file for a person who takes it there.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use email_engine_protocol::api::{HostSpec, TokenCreated, TokenRequest};
use email_engine_protocol::id::TokenId;
use email_engine_protocol::join::{Admission, JoinToken};
use zeroize::Zeroizing;

use super::BOOTSTRAP;
use crate::client::Client;
use crate::commands::deploy::voice::{self, Voice};
use crate::exit::{Exit, Failure};
use crate::private_file::{self, Reserved};

/// Tokens live at least so long, and at most as the cluster accepts.
const SECONDS: (u64, u64) = (3600, 7 * 86_400);

/// A new one.
pub(super) async fn create(
    client: &Client,
    host: &HostSpec,
    patience: Duration,
) -> Result<TokenCreated, Failure> {
    let (least, most) = SECONDS;
    let request = TokenRequest {
        admission: Admission::Host {
            host: host.id.clone(),
            role: host.role,
        },
        ttl_seconds: patience.as_secs().clamp(least, most),
        replace: false,
    };
    Ok(client.create_token(&request).await?)
}

/// A token file for whoever takes it to the machine: that of an earlier run while it can still be used, else
/// a new one.
pub(in crate::commands::deploy) async fn file(
    client: &Client,
    host: &HostSpec,
    patience: Duration,
    voice: &Voice,
) -> Result<PathBuf, Failure> {
    let path = voice.token(&host.id);
    if path.exists() {
        let known = known(&path, host);
        if let Some(token) = known {
            let open = is_open(client, &token.id).await?;
            let left = token.expires_at.since(voice::now());
            if open && left >= u64::try_from(patience.as_millis()).unwrap_or(u64::MAX) / 2 {
                return Ok(path);
            }
            if open {
                client.revoke_token(&token.id).await?;
            }
        }
        remove(&path)?;
    }
    let mut place = Reserved::at(&path)?;
    let created = create(client, host, patience).await?;
    let secret = Zeroizing::new(created.token);
    place.fill(&secret)?;
    Ok(path)
}

/// Takes a token file away that is of no use any more.
pub(in crate::commands::deploy) fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let text = format!("cannot remove {}: {error}", path.display());
            Err(Failure::new(Exit::Failure, text))
        }
        _ => Ok(()),
    }
}

/// What an earlier run has left, if it is a token of this host. Half of one is none.
fn known(path: &Path, host: &HostSpec) -> Option<JoinToken> {
    let text = private_file::read(path).ok()?;
    let token: JoinToken = text.parse().ok()?;
    let wanted = Admission::Host {
        host: host.id.clone(),
        role: host.role,
    };
    (token.admission == wanted).then_some(token)
}

pub(super) async fn is_open(client: &Client, id: &TokenId) -> Result<bool, Failure> {
    let tokens = client.tokens().await?;
    let mut tokens = tokens.iter();
    Ok(tokens.any(|token| token.id == *id && token.state == "open"))
}

/// What a person types for a machine that is let in by hand.
pub(in crate::commands::deploy) fn by_hand(host: &HostSpec, token: &Path) -> String {
    let address = host.addresses.first().map(ToString::to_string);
    format!(
        "ssh root@{} {BOOTSTRAP} agent --join-file - < {}",
        address.unwrap_or_else(|| host.id.to_string()),
        token.display()
    )
}
