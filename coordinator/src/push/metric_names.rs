//! Names of this room's and the tasks' metrics.

/// Gauge: live agent sessions of this node.
pub const SESSIONS: &str = "email_engine_agent_sessions";
/// Counter by `reason`: connections that were not let in.
pub const DENIED: &str = "email_engine_agent_denied_total";
/// Counter: handshakes that were refused or deferred because too many were under way.
pub const HANDSHAKES_SHED: &str = "email_engine_agent_handshakes_shed_total";
/// Counter by `outcome`: requests on the enrol ALPN.
pub const ENROLLMENTS: &str = "email_engine_enrollments_total";
/// Counter: reports that were not believed.
pub const REPORTS_REFUSED: &str = "email_engine_reports_refused_total";
/// Counter: outcomes that were written to the log.
pub const OUTCOMES_RECORDED: &str = "email_engine_outcomes_recorded_total";
/// Counter: entries with statistics of hosts that this node brought into the log.
pub const STATISTICS_RECORDED: &str = "email_engine_statistics_recorded_total";
/// Counter: targets that were offered.
pub const OFFERS: &str = "email_engine_offers_total";
/// Gauge: hosts that are ahead of the replicated state ("state from the future").
pub const FROZEN_HOSTS: &str = "email_engine_frozen_hosts";
/// Gauge: hosts whose desired state cannot be planned.
pub const PLAN_ERRORS: &str = "email_engine_plan_errors";
/// Gauge: DKIM keys made ahead of need.
pub const PREPARED_KEYS: &str = "email_engine_prepared_keys";
/// Counter: drifts that agents connected to this node repaired.
pub const DRIFT_REPAIRS: &str = "email_engine_drift_repairs_total";
/// Counter by `stage`: targets that a host could not bring into force.
pub const TARGETS_FAILED: &str = "email_engine_targets_failed_total";
