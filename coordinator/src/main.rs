//! The coordinator node's program: found, enter or restore a cluster, then run in it.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use zeroize::Zeroizing;

use email_engine_coordinator::config::{self, NodeConfig};
use email_engine_coordinator::run::place::Place;
use email_engine_coordinator::run::{self, founding, join, logging, restore};
use email_engine_protocol::time::Timestamp;

const DEFAULT_CONFIG: &str = "/etc/email-engine/coordinator.toml";
const TOKEN_VARIABLE: &str = "EMAIL_ENGINE_JOIN_TOKEN";
/// No command takes a token as an argument: arguments are for every user of the machine to read.
const LONGEST_TOKEN: u64 = 8192;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or stopped by SIGTERM or SIGINT
  1  anything that is not named here
  2  bad usage, or a join token that is none, is for a host, or has ended
  3  the cluster refuses the join token
  4  whoever answers is not the cluster of the join token (CA pin, cluster)";

/// A coordinator node of Email-Engine.
#[derive(Debug, Parser)]
#[command(name = "email-engine-coordinator", version, about, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Founds a cluster in an empty data folder; shows admin key and recovery key, once.
    Init {
        #[command(flatten)]
        settings: Settings,
        /// How the keys are shown.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Enters a cluster; the token comes from a file, EMAIL_ENGINE_JOIN_TOKEN or standard input.
    Join {
        #[command(flatten)]
        settings: Settings,
        /// File with the join token.
        #[arg(long)]
        token_file: Option<PathBuf>,
    },
    /// Runs the node until a signal ends it.
    Run {
        #[command(flatten)]
        settings: Settings,
    },
    /// Begins a new life of a cluster from a backup, in an empty data folder.
    ///
    /// The fleet is as it was when the backup was made. API keys, join tokens and certificates that
    /// were revoked since are valid again; those that came since are unknown. Revoke them anew before
    /// others can reach the node: `email-engine keys list`, `keys revoke`, `token list`, `token
    /// revoke`, and for a host `hosts retire` or a new join token with `--replace`. Certificates of
    /// the old coordinator nodes stay out in any case.
    Restore {
        #[command(flatten)]
        settings: Settings,
        /// The backup.
        #[arg(long)]
        from: PathBuf,
        /// File with the recovery key.
        #[arg(long)]
        recovery_key_file: PathBuf,
        /// The new epoch, when agents have seen a later one than the backup's.
        #[arg(long)]
        epoch: Option<u64>,
    },
    /// Prints the default configuration with every key explained.
    ShowConfig,
    /// Prints, as JSON, which node of which cluster the data folder holds; changes nothing.
    Status {
        #[command(flatten)]
        settings: Settings,
    },
    /// Prints the version.
    Version,
}

/// Where the configuration comes from: file, then environment, then these.
#[derive(Args, Debug)]
struct Settings {
    /// Configuration file [default: /etc/email-engine/coordinator.toml, when it exists].
    #[arg(long, env = "EMAIL_ENGINE_COORDINATOR_CONFIG")]
    config: Option<PathBuf>,
    /// Where the node keeps everything.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Any other key, as `--set raft_listen=192.0.2.1:7444`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    // What a node writes is nobody else's, whatever the shell that started it says.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    match start(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("email-engine-coordinator: {}", with_causes(&*error));
            ExitCode::from(code(&*error))
        }
    }
}

fn code(error: &(dyn std::error::Error + 'static)) -> u8 {
    use email_engine_coordinator::push::join::JoinError as CallError;
    use join::JoinError;
    match error.downcast_ref::<JoinError>() {
        Some(JoinError::Token(_) | JoinError::NotForNodes(_) | JoinError::Expired(_)) => 2,
        Some(JoinError::Call(CallError::Refused { .. })) => 3,
        Some(JoinError::Call(CallError::Server { .. } | CallError::Mismatch(_))) => 4,
        _ => 1,
    }
}

/// An error with its causes, each once: some print theirs themselves.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}

fn start(arguments: Arguments) -> Result<(), Failure> {
    match arguments.verb {
        Verb::Init { settings, output } => init(&settings.read()?, output),
        Verb::Join {
            settings,
            token_file,
        } => enter(&settings.read()?, token_file.as_deref()),
        Verb::Run { settings } => {
            let config = settings.read()?;
            logging::start(&config.log)?;
            runtime()?.block_on(run::run(&config))?;
            Ok(())
        }
        Verb::Restore {
            settings,
            from,
            recovery_key_file,
            epoch,
        } => bring_back(&settings.read()?, &from, &recovery_key_file, epoch),
        Verb::ShowConfig => {
            print!("{}", config::documented());
            Ok(())
        }
        Verb::Status { settings } => {
            let identity = Place::open(&settings.read()?.data_dir).ok();
            let identity = identity.map(|place| place.identity().load()).transpose()?;
            let node =
                identity.map(|own| serde_json::json!({ "cluster": own.cluster, "node": own.node }));
            println!("{}", serde_json::json!({ "node": node }));
            Ok(())
        }
        Verb::Version => {
            println!("email-engine-coordinator {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    }
}

impl Settings {
    fn read(&self) -> Result<NodeConfig, Failure> {
        let path = self.config.as_deref();
        let mut config = NodeConfig::read(
            path.unwrap_or_else(|| Path::new(DEFAULT_CONFIG)),
            path.is_some(),
        )?;
        config.override_by(std::env::vars())?;
        if let Some(data_dir) = &self.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        for pair in &self.set {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            config.set(&format!("--set {key}"), key, value)?;
        }
        config.check()?;
        Ok(config)
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    // One provider for the whole process; those who can name it themselves do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

fn init(config: &NodeConfig, output: Output) -> Result<(), Failure> {
    let founded = founding::found(config, now())?;
    if output == Output::Json {
        let shown = serde_json::json!({
            "cluster": founded.cluster,
            "node": founded.node,
            "ca_pin": founded.ca_pin,
            "ca_pem": founded.ca_pem,
            "admin_key": *founded.admin_key,
            "recovery_key": *founded.recovery_key,
        });
        println!("{shown}");
        return Ok(());
    }
    println!(
        "Cluster {} is founded; this is node {}.",
        founded.cluster, founded.node
    );
    println!();
    println!("Admin key (shown once; it opens the API):");
    println!("  {}", *founded.admin_key);
    println!();
    println!("Recovery key (shown once; keep it offline, it alone opens backups and restores):");
    println!("  {}", *founded.recovery_key);
    println!();
    println!("CA pin: {}", founded.ca_pin);
    print!("{}", founded.ca_pem);
    println!();
    println!("Next: email-engine-coordinator run");
    Ok(())
}

fn enter(config: &NodeConfig, token_file: Option<&Path>) -> Result<(), Failure> {
    logging::start(&config.log)?;
    let token = read_token(token_file)?;
    let joined = runtime()?.block_on(join::join(config, &token, now()))?;
    println!(
        "This is node {} of cluster {}.",
        joined.node, joined.cluster
    );
    println!("Next: email-engine-coordinator run");
    println!(
        "It follows then; `email-engine cluster promote {}` gives it a vote.",
        joined.node
    );
    Ok(())
}

fn read_token(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        return Ok(Zeroizing::new(text));
    }
    if let Ok(text) = std::env::var(TOKEN_VARIABLE) {
        return Ok(Zeroizing::new(text));
    }
    if std::io::stdin().is_terminal() {
        return Err(format!(
            "a join token is needed: --token-file, {TOKEN_VARIABLE} or standard input"
        )
        .into());
    }
    let mut text = Zeroizing::new(String::new());
    std::io::stdin()
        .take(LONGEST_TOKEN)
        .read_to_string(&mut text)?;
    Ok(text)
}

fn bring_back(
    config: &NodeConfig,
    from: &Path,
    recovery_key: &Path,
    epoch: Option<u64>,
) -> Result<(), Failure> {
    let restored = restore::restore(config, from, recovery_key, epoch, now())?;
    println!(
        "Cluster {} is restored at revision {}: {} hosts, {} identities.",
        restored.cluster, restored.revision, restored.hosts, restored.identities
    );
    println!(
        "This is node {}, alone, in epoch {}.",
        restored.node, restored.epoch
    );
    println!();
    println!(
        "The fleet is as of {}. What was revoked after that is valid again:",
        restored.as_of
    );
    println!("  API keys: {}", listed(&restored.api_keys));
    println!("  open join tokens: {}", listed(&restored.tokens));
    println!("  certificates of hosts: {} in all", restored.certificates);
    println!(
        "Revoke anew what must not be (`email-engine keys revoke`, `token revoke`, `hosts retire`)."
    );
    println!();
    println!("Hosts that need a new join token, if an agent enrolled for them after that:");
    println!("  {}", listed(&restored.without_agent));
    println!("  and every host that was declared after that, once it is declared again.");
    println!(
        "On such a host: stop the agent, delete `identity` in its data folder, start it with the token"
    );
    println!("of `email-engine token create --host HOST`. What it runs stays as it is meanwhile.");
    println!();
    println!("Next:");
    println!("  1. Make sure that no node of the old cluster runs any more.");
    println!("  2. email-engine-coordinator run");
    println!("  3. Agents that know this node's address follow; others need it as a coordinator.");
    println!("  4. `email-engine cluster add` for further nodes, each in an empty folder.");
    Ok(())
}

fn listed<T: std::fmt::Display>(names: &[T]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

fn now() -> Timestamp {
    email_engine_coordinator::push::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the node does not start")]
    struct Top(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("store: {0}")]
    struct Middle(#[source] std::io::Error);

    #[test]
    fn every_cause_is_printed_once() {
        let full = std::io::Error::other("no space left");
        let said = with_causes(&Top(Middle(full)));
        assert_eq!(said, "the node does not start: store: no space left");
    }
}
