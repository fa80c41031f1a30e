//! Mail flows from a configuration that the cluster planned, and only where it should. Each scenario
//! is alone in a network of its own, where the example's addresses are.

mod growth;
mod headers;
mod inbound;
mod leaving;
mod machine;
mod strangers;
mod submission;
mod two_tenants;
mod unknown_sender;
mod versions;
