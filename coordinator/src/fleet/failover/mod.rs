//! What becomes of a listed identity, and who takes its place: the rules, each a function of what it is given.
//!
//! Taking a listed identity out is automatic, putting another in its place has a budget: one standby after the
//! other is how a pool is burnt, and looks like snowshoe spam. So four things stand between a listing and a
//! promotion, in this order:
//!
//! 1. the **mass brake** ([`brake`]): a list that names many addresses at once is broken, or something larger is
//!    wrong; nothing is done because of it, and a person is called;
//! 2. the tenant's **breaker** ([`breaker`]): where too much of what a tenant has is out, or too many complain,
//!    its bulk mail is paused until a person says why it may go on;
//! 3. the **budget** ([`budget`]): so many promotions of a tenant in a day and in a week, and of the fleet in an
//!    hour;
//! 4. the **candidate** ([`candidate`]): who is free, sends the same, and is known to be on no list.
//!
//! There is no way to turn one of them off; figures move within the bounds of
//! [`FailoverSettings`](email_engine_protocol::api::FailoverSettings).

pub mod brake;
pub mod breaker;
pub mod budget;
pub mod candidate;
mod facts;
mod law;
mod obstacle;
mod preview;

pub use brake::Brakes;
pub use facts::{
    Complaints, SEARCH_MILLIS, obstacle, opens, pauses_now, restraint_of, runners, settings_of,
    taken_out_by, took_it_back,
};
pub use law::failover_follows;
pub use obstacle::Obstacle;
pub use preview::preview;
