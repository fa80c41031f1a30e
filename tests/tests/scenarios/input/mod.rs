//! What is wrong is refused, clearly and wholly.

mod batches;
mod command_line;
mod documents;
