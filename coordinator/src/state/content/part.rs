//! Parts of a role that not every host of it has.

use serde::Deserialize;

use email_engine_protocol::api::HostSpec;
use email_engine_protocol::id::ArtifactName;

use crate::state::secret::watches_fleet;
use crate::state::{FleetState, Host};

/// An entry `[[part]]` of a role file: another role file, for the hosts that all of its conditions fit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolePart {
    /// Its path in the bundle.
    pub file: String,
    /// Something stands for this name on the host.
    pub artifact: Option<ArtifactName>,
    /// The host has this label, and it says what `is` does.
    pub label: Option<String>,
    /// What the label says.
    pub is: Option<String>,
    /// What the label does not say.
    pub is_not: Option<String>,
    /// The host reads the figures of the whole fleet.
    #[serde(default)]
    pub fleet: bool,
    /// What an operator is told of a host without it.
    pub otherwise: Option<String>,
}

impl RolePart {
    /// Whether a host has it.
    #[must_use]
    pub fn is_for(&self, state: &FleetState, host: &Host) -> bool {
        let artifact = self.artifact.as_ref();
        let has_artifact = artifact.is_none_or(|name| state.artifact_of(host, name).is_some());
        has_artifact && self.suits(&host.spec, state.tenants.len())
    }

    /// Whether a host has it where something stands for its artifact, in a fleet of so many tenants.
    #[must_use]
    pub fn suits(&self, host: &HostSpec, tenants: usize) -> bool {
        let label = self.label.as_ref();
        let says = |label: &String| {
            let said = host.labels.get(label);
            match &self.is_not {
                Some(other) => said != Some(other),
                None => said == self.is.as_ref(),
            }
        };
        let watches = !self.fleet || watches_fleet(host, tenants);
        watches && label.is_none_or(says)
    }
}
