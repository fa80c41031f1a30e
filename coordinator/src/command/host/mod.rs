//! Verbs about machines.

mod add;
mod allow_removal;
mod change;
mod check;
mod cut_off;
mod readmit;
mod record_outcome;
mod retire;
