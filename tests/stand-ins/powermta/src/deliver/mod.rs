//! From queues to receivers: routes, connections from a virtual MTA's own address, signatures, and
//! what a receiver's answer means.

mod client;
mod decide;
mod dkim;
mod local;
mod resolver;
mod route;
mod seat;
mod tls;
mod transfer;
mod worker;

pub(crate) use decide::{Verdict, Via, bounce};
pub(crate) use resolver::{Resolver, ResolverError};
pub(crate) use seat::Seats;
pub(crate) use worker::run;
