//! `email-engine-bootstrap`: one run turns a fresh machine into a host or a coordinator node.
//!
//! A run looks before it touches. [`host`] measures the machine ([`facts`]); [`preflight`] judges
//! all of it at once, and while it finds a hindrance nothing is changed; [`plan`] compares what is
//! there with what belongs there ([`layout`]) and gives the steps that are missing, in order;
//! [`execute`] takes them one by one through [`host`], the only door to the machine, and writes each
//! into the [`journal`] before and after.
//!
//! So a run that was cut off is started again and continues, and a run over a finished machine has
//! no steps and says so. Layout, preflight and plan are pure: they know the facts and nothing else.

pub mod execute;
pub mod exit;
pub mod facts;
pub mod host;
pub mod journal;
pub mod layout;
pub mod plan;
pub mod preflight;
pub mod progress;
#[cfg(test)]
mod rehearsal;
pub mod request;
pub mod run;
pub mod token;
