//! What a tenant's own application does for the fleet, as far as it is asked through this API.

mod campaign;

pub use campaign::{CampaignRequest, CampaignState, CampaignStatus, CampaignView};
