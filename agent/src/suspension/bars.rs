//! What the kernel refuses what stands still: set before any command is run, in one step for all of them.
//!
//! The kernel keeps it until the machine starts anew; the newest accepted state is all that has to be
//! remembered. Where nothing is real it is written down instead.

use std::collections::BTreeSet;

use email_engine_protocol::desired::HostConfig;
use email_engine_protocol::id::ResourceId;

use super::named;
use crate::host::{Bar, Machine};

/// The name of what is written down.
const KEY: &str = "barred";

/// What is refused, as far as this life knows.
#[derive(Debug, Default)]
pub(super) struct Bars {
    /// Nothing is known in the beginning: an earlier life may have set some.
    known: Option<BTreeSet<Bar>>,
}

impl Bars {
    /// Whether some are set.
    pub(super) fn is_any(&self) -> bool {
        self.known.as_ref().is_some_and(|known| !known.is_empty())
    }

    /// Refuses whatever a state names, beside what is refused already, and says how many came.
    ///
    /// # Errors
    /// With the reason, when it is not surely refused.
    pub(super) fn set(
        &mut self,
        machine: &mut Machine,
        config: &HostConfig,
    ) -> Result<usize, String> {
        let wanted = wanted(config);
        if wanted.is_empty() && self.known.as_ref().is_some_and(BTreeSet::is_empty) {
            return Ok(0);
        }
        let found = self.look(machine)?;
        let all: BTreeSet<Bar> = found.union(&wanted).copied().collect();
        let came = all.len() - found.len();
        if came > 0 {
            self.put(machine, config, all)?;
            tracing::info!(came, "new connections to mail servers are refused");
        }
        Ok(came)
    }

    /// Refuses only what a state names.
    ///
    /// # Errors
    /// With the reason, when more is refused still.
    pub(super) fn release(
        &mut self,
        machine: &mut Machine,
        config: &HostConfig,
    ) -> Result<(), String> {
        let wanted = wanted(config);
        if self.known.as_ref().is_none_or(|known| *known == wanted) {
            return Ok(());
        }
        self.put(machine, config, wanted)?;
        tracing::info!("what is refused no more may connect again");
        Ok(())
    }

    fn look(&mut self, machine: &mut Machine) -> Result<BTreeSet<Bar>, String> {
        let found = match machine.system.stand_in() {
            Some(stand_in) => {
                let recorded = stand_in.recorded(KEY);
                recorded
                    .and_then(|text| serde_json::from_str(text).ok())
                    .unwrap_or_default()
            }
            None => machine
                .filter
                .refused()
                .map_err(|error| error.to_string())?,
        };
        self.known = Some(found.clone());
        Ok(found)
    }

    fn put(
        &mut self,
        machine: &mut Machine,
        config: &HostConfig,
        bars: BTreeSet<Bar>,
    ) -> Result<(), String> {
        match machine.system.stand_in() {
            Some(stand_in) => {
                // Who asks is of interest to tests alone.
                let id = named(config).next().map(|(id, _)| id.clone());
                let id = id.or_else(|| ResourceId::new("suspension").ok());
                let text = serde_json::to_string(&bars).map_err(|error| error.to_string())?;
                let text = (!bars.is_empty()).then_some(text);
                id.map_or(Ok(()), |id| stand_in.record(&id, KEY, text))
                    .map_err(|error| error.to_string())?;
            }
            None => machine
                .filter
                .refuse(&bars)
                .map_err(|error| error.to_string())?,
        }
        self.known = Some(bars);
        Ok(())
    }
}

fn wanted(config: &HostConfig) -> BTreeSet<Bar> {
    let bars = named(config).flat_map(|(_, spec)| &spec.bars);
    bars.flat_map(|bar| bar.ports.iter().map(|port| (bar.address, *port)))
        .collect()
}
