//! Waiting for others: the cluster that lets a host in, the host that gets to its first state.

use std::net::{Ipv4Addr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{members, systemd};
use crate::execute::StepError;
use crate::exit::Exit;
use crate::facts::{Bundle, Membership};
use crate::progress::Voice;
use crate::request::Part;

const LOOK: Duration = Duration::from_millis(200);
/// The API of a node.
const API: u16 = 7443;
/// From the start of a node to its first answer.
const SERVICE: Duration = Duration::from_secs(60);

/// What is waited for, by whom.
pub(super) struct Waiting<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) units: &'a [&'static str],
    pub(super) patience: Duration,
}

impl Waiting<'_> {
    /// Until the cluster has let the host in.
    pub(super) fn enrolment(&self, voice: &mut dyn Voice) -> Result<(), StepError> {
        let late = "the cluster has not let this host in; its agent goes on trying, and this run \
                    may be repeated";
        self.until(voice, Exit::NotEnrolled, late, |membership| {
            membership.is_in()
        })
    }

    /// Until the first state was right once.
    pub(super) fn convergence(&self, voice: &mut dyn Voice) -> Result<(), StepError> {
        let late = "the host has not converged; its agent goes on, and this run may be repeated";
        self.until(voice, Exit::NotConverged, late, |membership| {
            membership.converged
        })
    }

    fn until(
        &self,
        voice: &mut dyn Voice,
        exit: Exit,
        late: &str,
        is_there: impl Fn(&Membership) -> bool,
    ) -> Result<(), StepError> {
        let begun = Instant::now();
        loop {
            let trouble = match members::membership(Part::Agent, self.bundle) {
                Ok(membership) if is_there(&membership) => return Ok(()),
                Ok(membership) => self.ended()?.or(membership.trouble).unwrap_or_default(),
                // It may be being written just now.
                Err(reason) => reason,
            };
            if begun.elapsed() >= self.patience {
                let seconds = self.patience.as_secs();
                let problem = format!("after {seconds} s {late}: {trouble}");
                return Err(StepError { exit, problem });
            }
            if !trouble.is_empty() {
                voice.detail(&trouble);
            }
            sleep(LOOK);
        }
    }

    /// A unit whose process has ended for a reason that it will not get over by itself is an error;
    /// any other end is told.
    fn ended(&self) -> Result<Option<String>, StepError> {
        let mut told = None;
        for unit in self.units {
            let Ok(shown) = systemd::show(unit) else {
                continue;
            };
            let Some(code) = shown.last_exit.filter(|code| *code != 0) else {
                continue;
            };
            let said = systemd::last_words(unit);
            if let Some(exit) = Exit::of_program(code) {
                let problem = format!("{unit} ended with {code}: {said}");
                return Err(StepError { exit, problem });
            }
            told = Some(format!("{unit} is {} and ended with {code}", shown.words));
        }
        Ok(told)
    }

    /// Until a node answers by TCP.
    pub(super) fn service(&self, voice: &mut dyn Voice) -> Result<(), StepError> {
        let begun = Instant::now();
        loop {
            let Err(refused) = TcpStream::connect((Ipv4Addr::LOCALHOST, API)) else {
                return Ok(());
            };
            if begun.elapsed() >= SERVICE.min(self.patience) {
                let words = self.units.iter().map(|unit| systemd::last_words(unit));
                let problem = format!(
                    "port {API}/tcp does not answer: {refused}; the node's last words: {}",
                    words.collect::<Vec<_>>().join("\n")
                );
                return Err(StepError::new(problem));
            }
            voice.detail(&format!("port {API}/tcp: {refused}"));
            sleep(LOOK);
        }
    }
}
