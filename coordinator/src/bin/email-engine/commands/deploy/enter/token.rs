//! Join tokens: one for a machine that is reached, or a file for a person who takes it there.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use email_engine_protocol::api::{HostSpec, TokenCreated, TokenRequest};
use email_engine_protocol::id::TokenId;
use email_engine_protocol::join::{Admission, JoinToken};
use zeroize::Zeroizing;

use super::BOOTSTRAP;
use crate::client::Client;
use crate::commands::deploy::patience::patiently;
use crate::commands::deploy::voice::{self, Voice};
use crate::exit::{Exit, Failure};
use crate::private_file::{self, Reserved};

/// Tokens live twice as long as their machines are waited for, but at least so long, and at most as the
/// cluster accepts.
const SECONDS: (u64, u64) = (3600, 7 * 86_400);

/// A new one.
async fn create(
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
        ttl_seconds: patience.as_secs().saturating_mul(2).clamp(least, most),
        replace: false,
    };
    Ok(client.create_token(&request).await?)
}

/// A token file, and whether it is new: that of an earlier run, or step, while it can be used for as long as
/// its machine is waited for.
pub(in crate::commands::deploy) async fn file(
    client: &Client,
    host: &HostSpec,
    patience: Duration,
    voice: &Voice,
) -> Result<(PathBuf, bool), Failure> {
    let path = voice.token(&host.id);
    if path.exists() {
        let known = known(&path, host);
        if let Some(token) = known {
            let open = is_open(client, &token.id, voice).await?;
            let left = Duration::from_millis(token.expires_at.since(voice::now()));
            if open && left >= patience.min(Duration::from_secs(SECONDS.1 / 2)) {
                return Ok((path, false));
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
    Ok((path, true))
}

/// Takes a token away that is of no use any more, so that nobody else comes in by it. What cannot be done
/// now is left to the next run, which finds the file.
pub(in crate::commands::deploy) async fn withdraw(
    client: &Client,
    host: &HostSpec,
    voice: &Voice,
) -> Result<(), Failure> {
    let path = voice.token(&host.id);
    if let Some(token) = known(&path, host) {
        let gone = match is_open(client, &token.id, voice).await {
            Ok(true) => client
                .revoke_token(&token.id)
                .await
                .err()
                .map(Failure::from),
            Ok(false) => None,
            Err(failure) => Some(failure),
        };
        if let Some(failure) = gone {
            voice.host(
                &host.id,
                &format!("its join token is not revoked: {failure}"),
            );
            return Ok(());
        }
    }
    remove(&path)
}

fn remove(path: &Path) -> Result<(), Failure> {
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

async fn is_open(client: &Client, id: &TokenId, voice: &Voice) -> Result<bool, Failure> {
    let tokens = patiently(voice, async || client.tokens().await).await?;
    let mut tokens = tokens.iter();
    Ok(tokens.any(|token| token.id == *id && token.state == "open"))
}

/// What a person types for a machine that is let in by hand.
pub(in crate::commands::deploy) fn by_hand(host: &HostSpec, token: &Path) -> String {
    let address = host.addresses.first().map(ToString::to_string);
    let token = token.display().to_string();
    // A path has no zero byte, which alone cannot be quoted.
    let quoted = shlex::try_quote(&token).unwrap_or(Cow::Borrowed(&token));
    format!(
        "ssh root@{} {BOOTSTRAP} agent --join-file - < {quoted}",
        address.unwrap_or_else(|| host.id.to_string()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_types_is_one_command_whatever_the_folder_is_called() {
        let host = HostSpec {
            id: "pmta1".parse().unwrap(),
            role: "powermta".parse().unwrap(),
            tenant: None,
            addresses: vec!["192.0.2.20".parse().unwrap()],
            labels: std::collections::BTreeMap::new(),
        };
        for (path, words) in [("log/a.token", 8), ("my logs/$(x); rm a.token", 8)] {
            let command = by_hand(&host, Path::new(path));
            let parted = shlex::split(&command).unwrap();
            assert_eq!(
                (parted.len(), parted[words - 1].as_str()),
                (words, path),
                "{command}"
            );
        }
    }
}
