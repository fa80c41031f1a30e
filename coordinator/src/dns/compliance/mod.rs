//! What the largest receivers ask of who sends much, held against what is known of an identity. Pure: the rules
//! are a file with a date, the evidence is what was seen in DNS, what is planned for the host, and what was
//! counted.

mod judge;
mod rules;
#[cfg(test)]
mod tests;

pub use judge::compliance;
pub use rules::{Receiver, RestsOn, Rule, Rules, rules};
