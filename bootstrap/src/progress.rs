//! How a run shows what it does: a bar on a terminal, lines in a pipe, one JSON object per line for
//! programs.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::exit::Exit;
use crate::plan::{Left, Step};
use crate::preflight::{Finding, Severity};

const TICK: Duration = Duration::from_millis(120);

/// What the taking of steps says.
pub trait Voice {
    /// A step is about to be taken, the so-and-so-manieth from 0.
    fn begun(&mut self, at: usize, step: &Step);
    /// What a step waits for.
    fn detail(&mut self, text: &str);
    /// A step was taken.
    fn done(&mut self, step: &Step);
    /// A cluster was founded: these are shown now and never again.
    fn founded(&mut self, founded: &Founded);
}

/// What founding a cluster gives. Never printed by `Debug`.
#[derive(Deserialize)]
pub struct Founded {
    /// The cluster.
    pub cluster: String,
    /// Hash of its root's public key.
    pub ca_pin: String,
    /// Its root certificate.
    pub ca_pem: String,
    /// Opens the API.
    pub admin_key: Secret,
    /// To be kept offline.
    pub recovery_key: Secret,
}

impl std::fmt::Debug for Founded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Founded({}, redacted)", self.cluster)
    }
}

/// A text that is overwritten when it goes.
#[derive(Deserialize)]
#[serde(from = "String")]
pub struct Secret(Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// To whom a run speaks.
#[derive(Debug)]
pub enum Progress {
    /// A person at a terminal.
    Bar(ProgressBar),
    /// A program.
    Json,
    /// A file, or a person behind a pipe.
    Lines(String),
}

impl Progress {
    /// By what was asked for and what standard output is.
    #[must_use]
    pub fn new(json: bool) -> Self {
        if json {
            return Self::Json;
        }
        if !std::io::stdout().is_terminal() {
            return Self::Lines(String::new());
        }
        // Shown once there is something to be done.
        let bar = ProgressBar::hidden();
        if let Ok(style) = ProgressStyle::with_template("{spinner} [{pos}/{len}] {wide_msg}") {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    /// What a preflight found, all of it.
    pub fn findings(&self, findings: &[Finding]) {
        for finding in findings {
            let word = match finding.severity {
                Severity::Refusal => "REFUSED",
                Severity::Warning => "warning",
                Severity::Note => "note",
            };
            self.say(
                &format!("{word:8} {}: {}", finding.check.name(), finding.text),
                || json!({ "event": "finding", "finding": finding }),
            );
        }
    }

    /// What is going to be done.
    pub fn plan(&self, steps: &[Step], continues: bool) {
        let event = || json!({ "event": "plan", "steps": steps, "continues": continues });
        let title = match (steps.len(), continues) {
            (0, _) => "Nothing to do: everything is as it should be.".to_owned(),
            (count, false) => format!("{count} steps:"),
            (count, true) => format!("{count} steps; an earlier run was cut off:"),
        };
        self.say(&title, event);
        if matches!(self, Self::Json) {
            return;
        }
        for step in steps {
            self.text(&format!("  - {step}"));
        }
    }

    /// What a removal leaves.
    pub fn left(&self, left: &[Left]) {
        for one in left {
            let event = || json!({ "event": "left", "path": one.path, "reason": one.reason });
            self.say(
                &format!("left     {}: {}", one.path.display(), one.reason),
                event,
            );
        }
    }

    /// Steps are about to be taken.
    pub fn begin(&self, count: usize) {
        if let Self::Bar(bar) = self {
            bar.set_length(count as u64);
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.enable_steady_tick(TICK);
        }
    }

    /// How it ended.
    pub fn end(&self, exit: Exit, changed: usize, text: &str) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
        let event =
            || json!({ "event": "end", "exit": exit as u8, "changed": changed, "text": text });
        match (self, exit) {
            (Self::Json, _) | (_, Exit::Done) => self.say(text, event),
            _ => eprintln!("email-engine-bootstrap: {text}"),
        }
    }

    fn say(&self, text: &str, event: impl FnOnce() -> Value) {
        match self {
            Self::Json => self.text(&event().to_string()),
            Self::Bar(_) | Self::Lines(_) => self.text(text),
        }
    }

    /// Whoever closed the pipe does not want to know; the run goes on.
    fn text(&self, text: &str) {
        let print = || {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        };
        match self {
            Self::Bar(bar) => bar.suspend(print),
            Self::Json | Self::Lines(_) => print(),
        }
    }
}

impl Voice for Progress {
    fn begun(&mut self, at: usize, step: &Step) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(at as u64);
                bar.set_message(step.to_string());
            }
            Self::Json => self.say("", || json!({ "event": "begun", "step": step })),
            Self::Lines(last) => last.clear(),
        }
    }

    fn detail(&mut self, text: &str) {
        match self {
            Self::Bar(bar) => bar.set_message(text.to_owned()),
            Self::Json => {}
            Self::Lines(last) if last == text => {}
            Self::Lines(last) => {
                text.clone_into(last);
                self.text(&format!("waiting  {text}"));
            }
        }
    }

    fn done(&mut self, step: &Step) {
        self.say(
            &format!("done     {step}"),
            || json!({ "event": "done", "step": step }),
        );
    }

    fn founded(&mut self, founded: &Founded) {
        let Founded {
            cluster,
            ca_pin,
            ca_pem,
            admin_key: Secret(admin_key),
            recovery_key: Secret(recovery_key),
        } = founded;
        let text = Zeroizing::new(format!(
            "\nCluster {cluster} is founded.\n\n\
             Admin key (shown once; it opens the API):\n  {}\n\n\
             Recovery key (shown once; keep it offline, it alone opens backups and restores):\n  \
             {}\n\nCA pin: {ca_pin}\n{ca_pem}",
            **admin_key, **recovery_key
        ));
        self.say(&text, || {
            json!({
                "event": "founded", "cluster": cluster, "ca_pin": ca_pin, "ca_pem": ca_pem,
                "admin_key": **admin_key, "recovery_key": **recovery_key,
            })
        });
    }
}
