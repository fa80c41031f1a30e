//! `token`: join tokens, each for one host or node, for one use.

mod cloud_init;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use email_engine_protocol::api::{TokenCreated, TokenRequest, TokenUseView, TokenView};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{HostId, Role, TokenId};
use email_engine_protocol::join::Admission;

use super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Format, Mood, Output, text};
use crate::private_file::Reserved;

/// Arguments of `token`.
#[derive(Args, Debug)]
#[command(after_help = "\
The token is shown once: on stdout and nowhere else, or in a file with mode 0600. Hand it to the
host in a file or by its standard input; on a command line every user of the machine could read it.

Examples:
  email-engine token create --host pmta1 --ttl 1h --out pmta1.token
  email-engine token create --node --ttl 30m | ssh root@198.51.100.7 'cat > /etc/email-engine/join.token'
  email-engine token create --host pmta1 --ttl 20m --out user-data --cloud-init \\
      --programs https://files.example.com/email-engine.tar.gz --programs-sha256 9f86d0...
  email-engine token list
  email-engine token revoke t-4f1c")]
pub(crate) struct Token {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Create a join token
    Create(Create),
    /// List tokens, without their secret
    List,
    /// Revoke a token that was not used
    Revoke {
        /// Its public id
        token: TokenId,
    },
}

#[derive(Args, Debug)]
struct Create {
    /// The host that its bearer becomes
    #[arg(long, required_unless_present = "node")]
    host: Option<HostId>,
    /// The host's role: api, mailwizz or powermta [default: as it was declared]
    #[arg(long, requires = "host")]
    role: Option<Role>,
    /// Let its bearer become a coordinator node instead
    #[arg(long, conflicts_with_all = ["host", "role", "replace"])]
    node: bool,
    /// How long it lives: 90s, 30m, 1h, 2d
    #[arg(long, default_value = "1h", value_parser = parse_ttl)]
    ttl: u64,
    /// The host has an agent already: replace its identity
    #[arg(long)]
    replace: bool,
    /// Write the token to this new file (mode 0600) instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Answer with a cloud-init file, by which a fresh machine makes itself the host. Who sees the
    /// machine's user data sees the token: let it live as long as the machine takes to start, no longer
    #[arg(long, requires_all = ["host", "programs", "programs_sha256"])]
    cloud_init: bool,
    /// With --cloud-init: where the machine gets email-engine-bootstrap and email-engine-agent, together
    /// in one .tar.gz
    #[arg(long, value_name = "URL", requires = "cloud_init")]
    programs: Option<cloud_init::Source>,
    /// With --cloud-init: its SHA-256, without which nothing of it is run
    #[arg(long, value_name = "SHA256", requires = "cloud_init")]
    programs_sha256: Option<ContentHash>,
}

impl Create {
    /// What is asked for; the role of a declared host is the cluster's to know.
    async fn request(&self, desk: &Desk) -> Result<TokenRequest, Failure> {
        let admission = match (&self.host, self.role) {
            (None, _) => Admission::Node,
            (Some(host), Some(role)) => Admission::Host {
                host: host.clone(),
                role,
            },
            (Some(host), None) => Admission::Host {
                host: host.clone(),
                role: desk.client.host(host).await?.spec.role,
            },
        };
        Ok(TokenRequest {
            admission,
            ttl_seconds: self.ttl,
            replace: self.replace,
        })
    }
}

pub(crate) async fn run(desk: &Desk, arguments: Token) -> Result<Exit, Failure> {
    match arguments.command {
        TokenCommand::Create(create) => {
            let request = create.request(desk).await?;
            let place = create.out.as_deref().map(Reserved::at).transpose()?;
            let mut created = desk.client.create_token(&request).await?;
            if let (Some(source), Some(sha256)) = (&create.programs, create.programs_sha256) {
                created.token = cloud_init::document(&created.token, source, sha256);
            }
            hand_over(&desk.output, &created, place)?;
        }
        TokenCommand::List => {
            let tokens = desk.client.tokens().await?;
            desk.output.show(&tokens, |output| table(output, &tokens))?;
        }
        TokenCommand::Revoke { token } => {
            let answer = desk.client.revoke_token(&token).await?;
            desk.output
                .show(&answer, |_| format!("Token {token} revoked."))?;
        }
    }
    Ok(Exit::Success)
}

fn hand_over(
    output: &Output,
    created: &TokenCreated,
    place: Option<Reserved>,
) -> Result<(), Failure> {
    let expiry = format!("token {} ends at {}", created.id, created.expires_at);
    if let Some(mut place) = place {
        place.fill(&created.token)?;
        output.note(&format!("{expiry}; written to {}", place.path().display()));
        return Ok(());
    }
    if output.format == Format::Table {
        output.note(&expiry);
    }
    // The token alone, so that it can be piped.
    output.show(created, |_| created.token.clone())?;
    Ok(())
}

fn table(output: &Output, tokens: &[TokenView]) -> String {
    let mut table = output.table(&[
        "TOKEN",
        "FOR",
        "STATE",
        "CREATED",
        "EXPIRES",
        "USED BY",
        "REFUSED TO",
    ]);
    for token in tokens {
        let mood = match token.state.as_str() {
            "open" => Mood::Underway,
            "redeemed" => Mood::Good,
            _ => Mood::Plain,
        };
        table.add_row(vec![
            output.mood(&token.id, Mood::Plain),
            output.mood(&admission(&token.admission), Mood::Plain),
            output.mood(&token.state, mood),
            output.mood(&token.created_at, Mood::Plain),
            output.mood(&token.expires_at, Mood::Plain),
            output.mood(&machines(token.used_by.iter()), Mood::Plain),
            output.mood(&machines(token.refused.iter()), Mood::Bad),
        ]);
    }
    text(&table)
}

/// Who showed a token: a second machine may have stolen it.
fn machines<'a>(shown: impl Iterator<Item = &'a TokenUseView>) -> String {
    let lines = shown.map(|used| format!("{} ({})", used.machine, used.from));
    lines.collect::<Vec<_>>().join("\n")
}

fn admission(admission: &Admission) -> String {
    match admission {
        Admission::Host { host, role } => format!("host {host} ({role})"),
        Admission::Node => "a new node".to_owned(),
    }
}

/// `90s`, `30m`, `1h` or `2d` in seconds.
pub(crate) fn parse_ttl(text: &str) -> Result<u64, String> {
    let accepted = "a number and s, m, h or d, such as 30m; at least 5s and at most 7d";
    let (number, unit) = match text.char_indices().last() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => (&text[..at], unit),
        _ => (text, ' '),
    };
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(accepted.to_owned()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .filter(|seconds| (5..=7 * 86_400).contains(seconds))
        .ok_or_else(|| accepted.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_live_have_a_unit_and_a_bound() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("1h", 3600), ("2d", 172_800)] {
            assert_eq!(parse_ttl(text), Ok(seconds), "{text}");
        }
        for text in [
            "",
            "h",
            "1",
            "0s",
            "31d",
            "-1h",
            "1w",
            "99999999999999999999d",
            "1é",
        ] {
            assert!(
                parse_ttl(text).unwrap_err().contains("such as 30m"),
                "{text}"
            );
        }
    }
}
