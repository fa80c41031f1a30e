//! Nodes come, go, fall and return.

mod backup;
mod catch_up;
mod fail_over;
mod full_disk;
mod low_disk;
mod majority;
mod members;
mod partition;
mod same_bytes;
mod wave;
