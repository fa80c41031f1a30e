//! What it takes until a change is live.

/// How a changed directive comes into effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// With `pmta reload`.
    Reload,
    /// Only with a restart of PowerMTA.
    Restart,
    /// With a restart of PowerMTA while mail is in the queue, else with a reload.
    RestartWhenQueued,
    /// With a restart of the monitor's service, which carries no mail.
    RestartMonitor,
}

impl Effect {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Reload => "with a reload",
            Self::Restart => "only with a restart of PowerMTA",
            Self::RestartWhenQueued => "only with a restart of PowerMTA if its queue holds mail",
            Self::RestartMonitor => "only with a restart of the service pmtahttp",
        }
    }
}
