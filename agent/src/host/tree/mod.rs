//! A tree of files that no path leads out of, and what can be done in it.
//!
//! - [`rooted`]: looking, reading, making folders, opening the folder of a path.
//! - `links`: which symbolic links on the way are followed on a real machine.
//! - [`looked`]: looking and reading in one.
//! - [`own`]: what is the agent's own, whatever it is called here, is refused.
//! - [`replace`]: a file replaced whole; what stands in the way is moved aside.
//! - [`stretch`]: pieces of a file that others write to.
//! - `symlink`: symbolic links that are resources, and settings written where they stand.
//! - [`unpacked`]: a folder that is filled beside its place and swapped in whole.
//! - `wipe`: removing, with a secret's bytes overwritten first.
//! - `failpoint`: where a test may crash a write.

mod failpoint;
mod links;
pub(super) mod looked;
pub(super) mod own;
pub(super) mod replace;
pub(super) mod rooted;
pub(super) mod stretch;
mod symlink;
mod twin;
pub(super) mod unpacked;
mod wipe;
