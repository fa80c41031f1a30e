//! Random histories: whatever is proposed, the invariants hold, refusals change nothing, and the same
//! log gives the same bytes.
