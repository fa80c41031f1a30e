//! Nodes come, go, fall and return.

mod backup;
mod catch_up;
mod fail_over;
mod low_disk;
mod majority;
mod members;
mod same_bytes;
mod wave;
