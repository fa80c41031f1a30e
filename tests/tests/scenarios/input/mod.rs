//! What is wrong is refused, clearly and wholly.

mod batches;
mod bodies;
mod documents;
