//! Log lines on standard error: text for people, JSON for machines.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, LogConfig, LogFormat};

/// Starts logging.
///
/// # Errors
/// When the filter is not one.
pub fn start(config: &LogConfig) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&config.level).map_err(|error| ConfigError::Value {
        key: "log.level".to_owned(),
        value: config.level.clone(),
        accepted: format!("a filter such as info or info,openraft=warn ({error})"),
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    // A second start in one process keeps the first one's format.
    let _ = match config.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    Ok(())
}
