//! Warm-up: its schedule and lines, where an identity stands in it, and how a pool will grow.

mod plan;
mod selection;
mod settings;
mod simulation;
mod verdict;

pub use plan::{WarmupPlan, WarmupStop};
pub use selection::{CoverView, PartView, SelectRequest, SelectionView};
pub use settings::{TenantWarmup, WarmupBound, WarmupSettings};
pub use simulation::{SimulatedDay, Simulation, SimulationTarget};
pub use verdict::{Rate, WarmupRates, WarmupReason, WarmupStep, WarmupVerdict};

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{IpStatus, Purpose};
use crate::id::TenantId;

/// Most days that the warm-up can be paused for at once.
pub const PAUSE_DAYS: u32 = 90;

/// Where one identity stands. Answer of `GET /api/v1/warmup`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmupView {
    /// The identity.
    pub address: IpAddr,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it sends.
    pub purpose: Purpose,
    /// Where it stands in its life.
    pub status: IpStatus,
    /// Mails a day that it may send now; nothing unless it takes mail.
    pub daily_quota: u32,
    /// Attempts a day that the virtual MTA lets out, retries included.
    pub attempts_cap: u32,
    /// Share of new mail, 0 to 100.
    pub weight: u8,
    /// Why it was judged as it was, and what holds it back beside that, in words.
    pub reasons: Vec<String>,
    /// The plan.
    pub plan: WarmupPlan,
}

/// Body of `POST /api/v1/warmup/{address}/pause`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// For how many days, at most [`PAUSE_DAYS`]; as many as after a broken line when absent.
    #[serde(default)]
    pub days: Option<u32>,
}

/// Body of `POST /api/v1/warmup/{address}/resume`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeRequest {
    /// Why it may go on: what was wrong and is mended.
    pub reason: String,
}
