//! The tasks in front of a state in memory.
