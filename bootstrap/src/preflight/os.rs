//! Which operating systems carry which part.

use email_engine_protocol::id::Role;

use super::finding::{Check, Finding};
use crate::facts::{Measured, Os};
use crate::request::Part;

const DEBIAN: &[(&str, &[&str])] = &[("debian", &["12"])];
const UBUNTU: &[(&str, &[&str])] = &[("ubuntu", &["22.04", "24.04"])];
const RHEL: &[(&str, &[&str])] = &[
    ("almalinux", &["8", "9"]),
    ("rhel", &["8", "9"]),
    ("rocky", &["8", "9"]),
];

type Systems = &'static [(&'static str, &'static [&'static str])];

/// Systems that carry a part, and how people call them.
const fn carriers(part: Part, role: Option<Role>) -> (&'static [Systems], &'static str) {
    match (part, role) {
        (Part::Agent, Some(Role::Api | Role::Mailwizz)) => {
            (&[DEBIAN, UBUNTU], "Debian 12, Ubuntu 22.04 or 24.04")
        }
        (Part::Agent, Some(Role::Powermta)) => (
            &[DEBIAN, RHEL],
            "Debian 12, AlmaLinux, Rocky Linux or RHEL 8 or 9",
        ),
        (Part::Agent, Some(Role::Own(_)) | None) | (Part::Coordinator, _) => (
            &[DEBIAN, UBUNTU, RHEL],
            "Debian 12, Ubuntu 22.04 or 24.04, AlmaLinux, Rocky Linux or RHEL 8 or 9",
        ),
    }
}

pub(super) fn judge(
    part: Part,
    role: Option<Role>,
    os: &Measured<Os>,
    findings: &mut Vec<Finding>,
) {
    let os = match os {
        Ok(os) => os,
        Err(reason) => {
            let text = format!("which operating system this is cannot be told: {reason}");
            findings.push(Finding::refusal(Check::OperatingSystem, text));
            return;
        }
    };
    let (systems, named) = carriers(part, role);
    let carries = systems.iter().copied().flatten().any(|(id, versions)| {
        *id == os.id
            && versions
                .iter()
                .any(|wanted| is_version(wanted, &os.version))
    });
    if carries {
        return;
    }
    let what = match (part, role) {
        (Part::Coordinator, _) => "a coordinator node".to_owned(),
        (Part::Agent, Some(role)) => format!("a host of role {}", role.as_str()),
        (Part::Agent, None) => "a host".to_owned(),
    };
    let past = os.id == "centos" && is_version("7", &os.version);
    let past = if past {
        " CentOS 7 is past its end."
    } else {
        ""
    };
    findings.push(Finding::refusal(
        Check::OperatingSystem,
        format!(
            "{} does not carry {what}.{past} Supported: {named}",
            os.name
        ),
    ));
}

/// `9.4` is a 9, and `22.04` is no 22.
fn is_version(wanted: &str, found: &str) -> bool {
    found == wanted
        || (!wanted.contains('.')
            && found
                .strip_prefix(wanted)
                .is_some_and(|rest| rest.starts_with('.')))
}
