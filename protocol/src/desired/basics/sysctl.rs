//! A setting of the kernel.

use serde::{Deserialize, Serialize};

use super::super::names;
use super::super::{ConfigError, Resource};

const KEY: &str = "a kernel setting by its dotted name, such as net.ipv4.tcp_rmem: letters, digits, '_' and \
     '-' between the dots, at most 128 characters";
const VALUE: &str = "a kernel setting's value: words of printable ASCII characters with one blank between \
     them, not beginning with '#', ';' or '-', at most 256 characters";

/// A setting below `/proc/sys`, in force now and after a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SysctlSpec {
    /// Its dotted name.
    pub key: String,
    /// What it shall be, words with one blank between them.
    pub value: String,
}

pub(super) fn check(resource: &Resource, setting: &SysctlSpec) -> Result<(), ConfigError> {
    let (key, value) = (&setting.key, &setting.value);
    names::check(resource, "key", key, is_key(key), KEY)?;
    names::check(resource, "value", value, is_value(value), VALUE)
}

fn is_key(key: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(allowed);
    key.len() <= 128 && key.contains('.') && key.split('.').all(is_part)
}

fn is_value(value: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic());
    value.len() <= 256 && !value.starts_with(['#', ';', '-']) && value.split(' ').all(is_word)
}
