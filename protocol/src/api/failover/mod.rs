//! Figures of failover that may be tightened, and loosened within bounds. There is no off switch.

mod view;

use serde::{Deserialize, Serialize};

pub use view::{
    BrakeView, BreakerView, CandidateView, FailoverPlan, FailoverView, FrozenView,
    HeldCampaignView, ListedBy, ListingEventView, SearchView, Why,
};

/// How much is done by itself when identities are listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FailoverSettings {
    /// Promotions of one tenant in 24 hours, 1 to 5.
    pub promotions_a_day: u32,
    /// Promotions of one tenant in 7 days, 1 to 5.
    pub promotions_a_week: u32,
    /// Promotions of the whole fleet in an hour, 1 to 5.
    pub fleet_promotions_an_hour: u32,
    /// More than this part of a tenant's identities in quarantine open its breaker, in percent, 1 to 20.
    pub quarantined_percent: u32,
    /// Complaints above this over 24 hours open it, in ten-thousandths, 1 to 30.
    pub complaints: u32,
}

impl Default for FailoverSettings {
    fn default() -> Self {
        Self {
            promotions_a_day: 1,
            promotions_a_week: 2,
            fleet_promotions_an_hour: 2,
            quarantined_percent: 20,
            complaints: 30,
        }
    }
}

/// A figure that is out of its bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {value} is not accepted: 1 to {most}")]
pub struct FailoverBound {
    /// Which.
    pub field: &'static str,
    /// The refused value.
    pub value: u32,
    /// The most that would be accepted.
    pub most: u32,
}

impl FailoverSettings {
    /// Whether these are within their bounds.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), FailoverBound> {
        for (field, value, most) in [
            ("promotions_a_day", self.promotions_a_day, 5),
            ("promotions_a_week", self.promotions_a_week, 5),
            ("fleet_promotions_an_hour", self.fleet_promotions_an_hour, 5),
            ("quarantined_percent", self.quarantined_percent, 20),
            ("complaints", self.complaints, 30),
        ] {
            if !(1..=most).contains(&value) {
                return Err(FailoverBound { field, value, most });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_kept_within_bounds_and_none_turns_anything_off() {
        assert_eq!(FailoverSettings::default().check(), Ok(()));
        for (field, bad) in [
            ("promotions_a_day", 0),
            ("promotions_a_week", 6),
            ("fleet_promotions_an_hour", 6),
            ("quarantined_percent", 21),
            ("complaints", 31),
        ] {
            let text = format!(r#"{{"{field}":{bad}}}"#);
            let settings: FailoverSettings = serde_json::from_str(&text).unwrap();
            let refused = settings.check().unwrap_err();
            assert_eq!((refused.field, refused.value), (field, bad));
        }
        assert!(serde_json::from_str::<FailoverSettings>(r#"{"enabled":false}"#).is_err());
    }
}
