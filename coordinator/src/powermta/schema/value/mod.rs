//! What a directive takes: kinds of words, and whether a text is one.
//!
//! A fault says what would be accepted. Kinds that are secrets never show what was given.

mod age;
mod kind;
mod names;
mod net;
mod quantity;
mod routing;

pub use kind::{Kind, Taken, take};
pub use names::RESERVED_NAMES;
pub use net::{Cidr, Listener};
pub use quantity::{Rate, RateUnit, parse_rate, parse_size, parse_time};
pub use routing::{
    Actions, PatternResult, is_record_type, parse_actions, parse_dkim_key, parse_result,
};
