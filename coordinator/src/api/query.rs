//! Query parameters: those that every route shares, and the refusal of unknown ones.

use std::collections::BTreeSet;
use std::net::IpAddr;

use axum::http::{Method, StatusCode};

use email_engine_protocol::api::{AlertKind, Severity};
use email_engine_protocol::id::TenantId;
use email_engine_protocol::mail::DomainName;

use super::problem::ApiError;
use super::request::Freshness;
use super::routes::Rule;

/// Parameters that every route shares.
pub(super) struct Query {
    pub(super) freshness: Freshness,
    pub(super) override_clock: bool,
}

impl Query {
    pub(super) fn read(rule: &Rule, text: Option<&str>) -> Result<Self, ApiError> {
        let reads = rule.method == Method::GET;
        // Scrapers ask a node for its own figures.
        let mut out = Self {
            freshness: if rule.here || rule.path == "/metrics" {
                Freshness::Stale
            } else {
                Freshness::Linearizable
            },
            override_clock: false,
        };
        let mut seen = BTreeSet::new();
        for pair in text
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !seen.insert(name) {
                return Err(ApiError::invalid(name, value, "each parameter once"));
            }
            match (name, value) {
                ("consistency", "stale") if reads => out.freshness = Freshness::Stale,
                ("consistency", "linearizable") => out.freshness = Freshness::Linearizable,
                ("consistency", _) => {
                    return Err(ApiError::invalid(
                        name,
                        value,
                        "stale (reads only) or linearizable",
                    ));
                }
                ("override_clock", "true") if !reads => out.override_clock = true,
                ("override_clock", _) if !reads => {
                    return Err(ApiError::invalid(name, value, "true"));
                }
                _ if rule.parameters.contains(&name) => fits(rule, name, value)?,
                _ => return Err(unknown_parameter(rule, name, reads)),
            }
        }
        Ok(out)
    }
}

/// Whether a parameter's value is of its kind; its bounds are its handler's business.
const MODES: [&str; 3] = ["least_used", "round_robin", "weighted_random"];
const PURPOSES: [&str; 5] = [
    "autoresponder",
    "marketing",
    "newsletter",
    "notification",
    "transactional",
];

fn fits(rule: &Rule, name: &str, value: &str) -> Result<(), ApiError> {
    match name {
        "before" | "grace_seconds" | "limit" | "target" | "volume"
            if value.parse::<u64>().is_err() =>
        {
            Err(ApiError::invalid(name, value, "a whole number from 0"))
        }
        "after" if rule.path == "/api/v1/domains" => match DomainName::new(value) {
            Err(error) => Err(ApiError::invalid(name, value, &error.to_string())),
            Ok(_) => Ok(()),
        },
        "after" if value.parse::<IpAddr>().is_err() => {
            Err(ApiError::invalid(name, value, "an IP address"))
        }
        "days" | "each" | "identities" if value.parse::<u32>().is_err() => Err(ApiError::invalid(
            name,
            value,
            "a whole number from 0 to 4294967295",
        )),
        "mode" if !MODES.contains(&value) => Err(ApiError::invalid(name, value, &MODES.join(", "))),
        "purpose" if !PURPOSES.contains(&value) => {
            Err(ApiError::invalid(name, value, &PURPOSES.join(", ")))
        }
        "tenant" => match value.parse::<TenantId>() {
            Err(error) => Err(ApiError::invalid(name, value, error.rule)),
            Ok(_) => Ok(()),
        },
        "all" | "dry_run" | "force" | "kept" | "last" | "now" | "open" | "prune" | "proposed"
        | "release"
            if value.parse::<bool>().is_err() =>
        {
            Err(ApiError::invalid(name, value, "true or false"))
        }
        "kind" => match value.parse::<AlertKind>() {
            Err(error) => Err(ApiError::invalid(name, value, &error.to_string())),
            Ok(_) => Ok(()),
        },
        "severity" => match value.parse::<Severity>() {
            Err(error) => Err(ApiError::invalid(name, value, &error.to_string())),
            Ok(_) => Ok(()),
        },
        "by" if !["day", "hour"].contains(&value) => {
            Err(ApiError::invalid(name, value, "day or hour"))
        }
        _ => Ok(()),
    }
}

fn unknown_parameter(rule: &Rule, name: &str, reads: bool) -> ApiError {
    let shared = if reads {
        "consistency"
    } else {
        "override_clock"
    };
    let known = [rule.parameters, &[shared]].concat().join(", ");
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "unknown-parameter",
        format!("parameter {name:?} is not known here; known are {known}"),
    )
    .about(name, "", &known)
}
