//! Shows how each host gets to its desired state, and says when all are there.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use email_engine_protocol::api::{Consistency, HostView, StatusView};
use email_engine_protocol::id::HostId;
use email_engine_protocol::observed::Convergence;

use super::TrialError;
use crate::client::Client;
use crate::commands::hosts;
use crate::output::Output;

const LOOK: Duration = Duration::from_millis(300);

/// Waits until every host runs its target.
pub(super) async fn converge(
    client: &Client,
    ids: &[HostId],
    patience: Duration,
    output: Output,
) -> Result<StatusView, TrialError> {
    let deadline = Instant::now() + patience;
    let mut board = Board::new(ids, output);
    let mut reasons = vec!["no status was had yet".to_owned()];
    loop {
        match client.status(Consistency::Linearizable, None).await {
            Ok(status) => {
                board.show(&status.hosts);
                reasons = missing(&status, ids);
                if reasons.is_empty() {
                    board.finish();
                    return Ok(status);
                }
            }
            // A leader that is being elected; the keeper reports what died.
            Err(error) => reasons = vec![error.to_string()],
        }
        if Instant::now() >= deadline {
            board.finish();
            let reasons: String = reasons.iter().map(|line| format!("\n  - {line}")).collect();
            return Err(TrialError::Timeout {
                what: "the fleet has converged",
                seconds: patience.as_secs(),
                reasons,
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Why the fleet has not converged, one line per host. Judged by each host, not by the overall word:
/// a host without a target differs from nothing.
fn missing(status: &StatusView, ids: &[HostId]) -> Vec<String> {
    ids.iter()
        .filter_map(|id| {
            let host = status.hosts.iter().find(|host| host.spec.id == *id);
            let reason = match host {
                None => "is not listed".to_owned(),
                Some(host) => stuck(host)?,
            };
            // What the cluster says of it besides: a refusal, a line that failed.
            let told = format!("{id}: ");
            let why = status
                .reasons
                .iter()
                .find_map(|line| line.strip_prefix(&told));
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            Some(format!("{id} {reason}{why}"))
        })
        .collect()
}

fn stuck(host: &HostView) -> Option<String> {
    let behind = host.running != host.target;
    match host.target {
        _ if host.lifecycle == "declared" => Some("has not enrolled: see its log".to_owned()),
        None => Some("has no target yet".to_owned()),
        _ if host.connected.is_none() => Some("is not connected".to_owned()),
        Some(_) if behind || host.convergence != Convergence::Converged => Some(format!(
            "is {}, generation {}, resources {}",
            hosts::state(host).0,
            hosts::generation(host),
            hosts::resources(&host.counts)
        )),
        Some(_) => None,
    }
}

/// One line per host: moving on a terminal, a new one per change elsewhere.
struct Board {
    output: Output,
    bars: BTreeMap<HostId, ProgressBar>,
    said: BTreeMap<HostId, String>,
}

impl Board {
    fn new(ids: &[HostId], output: Output) -> Self {
        let mut bars = BTreeMap::new();
        if std::io::stderr().is_terminal() && !output.quiet {
            let all = MultiProgress::new();
            let style = ProgressStyle::with_template("{spinner} {prefix:16} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            for id in ids {
                let bar = all.add(ProgressBar::new_spinner().with_style(style.clone()));
                bar.set_prefix(id.to_string());
                bar.set_message("waiting for its agent");
                bar.enable_steady_tick(Duration::from_millis(120));
                bars.insert(id.clone(), bar);
            }
        }
        Self {
            output,
            bars,
            said: BTreeMap::new(),
        }
    }

    fn show(&mut self, hosts: &[HostView]) {
        for host in hosts {
            let id = &host.spec.id;
            let line = line(host);
            if let Some(bar) = self.bars.get(id) {
                bar.set_message(line);
            } else if self.said.get(id) != Some(&line) {
                self.output.note(&format!("host {id}: {line}"));
                self.said.insert(id.clone(), line);
            }
        }
    }

    /// Leaves the last lines standing.
    fn finish(&self) {
        for bar in self.bars.values() {
            bar.abandon();
        }
    }
}

fn line(host: &HostView) -> String {
    if host.lifecycle == "declared" {
        return "waiting for its agent".to_owned();
    }
    format!(
        "{}, generation {}, resources {}",
        hosts::state(host).0,
        hosts::generation(host),
        hosts::resources(&host.counts)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::hosts::tests::host;

    #[test]
    fn a_host_is_there_only_when_it_runs_a_target_and_is_connected() {
        assert_eq!(stuck(&host("pmta1")), None);
        let mut one = host("pmta1");
        one.target = None;
        one.running = None;
        assert_eq!(stuck(&one).unwrap(), "has no target yet");
        one.lifecycle = "declared".to_owned();
        assert!(stuck(&one).unwrap().contains("not enrolled"));
        let mut one = host("pmta1");
        one.connected = None;
        assert_eq!(stuck(&one).unwrap(), "is not connected");
        let mut one = host("pmta1");
        one.running = None;
        assert!(stuck(&one).unwrap().contains("generation - -> 1.4"));
    }
}
