//! What a run is asked for, without its secret.

use std::time::Duration;

use email_engine_protocol::id::{ClusterId, Role};
use email_engine_protocol::join::{Admission, Endpoint, JoinToken};
use email_engine_protocol::time::Timestamp;
use serde::Serialize;

/// What the machine becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// A host with an agent.
    Agent,
    /// A coordinator node.
    Coordinator,
}

impl Part {
    /// As it is written on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Coordinator => "coordinator",
        }
    }
}

/// How it gets into a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It is in already, or else there is nothing to do it by.
    Already,
    /// It founds one.
    Init,
    /// It joins one.
    Join(Box<Ticket>),
}

/// What a join token says, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The cluster.
    pub cluster: ClusterId,
    /// Where to call.
    pub endpoints: Vec<Endpoint>,
    /// What it lets its bearer become.
    pub admission: Admission,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl From<&JoinToken> for Ticket {
    fn from(token: &JoinToken) -> Self {
        Self {
            cluster: token.cluster,
            endpoints: token.endpoints.clone(),
            admission: token.admission.clone(),
            expires_at: token.expires_at,
        }
    }
}

/// What a run is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What the machine becomes.
    pub part: Part,
    /// How it gets in.
    pub entry: Entry,
    /// How long to wait for each of enrolment and convergence; nothing: not at all.
    pub patience: Option<Duration>,
    /// Whether to wait for a host's convergence too: who brings many hosts in sees that elsewhere.
    pub awaits_convergence: bool,
    /// Under which name or address others reach a coordinator.
    pub advertise: Option<String>,
    /// A mail server of the world that a host which is to send calls; none where nobody shall be called.
    pub mail_probe: Option<Endpoint>,
}

impl Request {
    /// The mail server that is called before the machine becomes a host that sends.
    #[must_use]
    pub fn mail_server(&self) -> Option<&Endpoint> {
        let Entry::Join(ticket) = &self.entry else {
            return None;
        };
        let sends = matches!(
            ticket.admission,
            Admission::Host {
                role: Role::Powermta,
                ..
            }
        );
        self.mail_probe.as_ref().filter(|_| sends)
    }
}
