//! What a node keeps on its disk for Raft.
//!
//! RocksDB holds the log, its marks, the content bodies and the [`Series`] of counts; [`slots`] holds the vote and the
//! high-water mark in a file of its own, because RocksDB drops a damaged tail without a word. Every
//! write goes through one thread ([`writer`]) in the order in which it was asked for; all that waits
//! there shares one flush.

mod database;
#[cfg(test)]
mod fuzz;
mod log;
mod record;
mod series;
mod slots;
mod writer;

pub(crate) use database::{Bodies, Damage, LostBody, OpenError, Recovered};
pub(crate) use log::{Store, StoreOpenError};
pub(crate) use series::{Row, Rows, Series, SeriesWrite, Standing, is_row};
pub(crate) use slots::{Mark, SlotState, Slots, SlotsError};
pub(crate) use writer::{BodyWrite, WriterHandle};
