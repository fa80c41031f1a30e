//! What is published, and what the servers of zones really say.

mod published;
mod seen;
