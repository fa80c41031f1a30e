//! Starts the rooms in order.
