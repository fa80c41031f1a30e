//! Parts of a role, in files of their own.
//!
//! ```toml
//! [[part]]
//! file = "mailwizz/application.toml"  # what may stand in a role file, but for firewall and parts
//! artifact = "mailwizz"               # for hosts on which something stands for this name
//! label = "mailwizz-setup"            # and whose label says
//! is = "silent"                       # or is_not: it says something else, or nothing
//! fleet = true                        # and whose Prometheus reads all of the fleet
//! otherwise = "why it is missing"     # told with the plan of a host without it; nothing when absent
//! ```
//!
//! A part is joined to its role as if it had stood there; its `values` go before those of the role, and
//! those of an `extra.toml` before both.

use std::collections::BTreeMap;

use super::error::BundleFault;
use super::role::RoleFile;
use crate::state::RolePart;

/// Most parts of one role.
const PARTS: usize = 32;

/// Joins the parts that a host has to its role. What is told of the others.
pub(super) fn join(
    role: &mut RoleFile,
    files: &BTreeMap<String, String>,
    has: &dyn Fn(&RolePart) -> bool,
) -> Result<Vec<String>, BundleFault> {
    let fault = |file: &str, reason: String| BundleFault {
        file: file.to_owned(),
        line: None,
        reason,
    };
    let parts = std::mem::take(&mut role.parts);
    if parts.len() > PARTS {
        let reason = format!("{} parts, at most {PARTS} are accepted", parts.len());
        return Err(fault(&role.path, reason));
    }
    let mut told = Vec::new();
    for part in parts {
        let words = usize::from(part.is.is_some()) + usize::from(part.is_not.is_some());
        if usize::from(part.label.is_some()) != words {
            let reason = format!(
                "part {}: label and is belong together, or label and is_not: both or neither are accepted",
                part.file
            );
            return Err(fault(&role.path, reason));
        }
        // Whether or not a host has it: a part that is broken is not found out by the first that does.
        let parsed = RoleFile::parse(files, &part.file)?;
        if parsed.firewall.is_some() || !parsed.parts.is_empty() {
            let reason = "a part has neither a firewall nor parts: they stand in role.toml";
            return Err(fault(&part.file, reason.to_owned()));
        }
        if has(&part) {
            role.append(parsed);
        } else {
            told.extend(part.otherwise);
        }
    }
    role.values.extend(role.own_values.clone());
    Ok(told)
}
