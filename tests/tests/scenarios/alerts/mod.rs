//! People are told what they have to know, whatever happens to the nodes.

mod leaders;
mod majority;
mod receiver;
