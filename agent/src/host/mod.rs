//! Written by its room.

/// What the executor takes for the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// The machine itself.
    Real,
    /// A folder that stands for one: files are real, nothing is spawned.
    Sandbox(std::path::PathBuf),
}
