//! The machine itself: dpkg and apt, systemd, programs.

use std::time::Duration;

use email_engine_protocol::desired::{CommandLine, OnNotify, PackageSpec, ServiceSpec};
use email_engine_protocol::id::ResourceId;

use super::spawn;
use super::system::{Ended, PackageSeen, ServiceSeen, System, SystemError};

const QUICK: Duration = Duration::from_secs(30);
const SERVICE: Duration = Duration::from_secs(120);
const INSTALL: Duration = Duration::from_secs(1800);

const DPKG_QUERY: &str = "/usr/bin/dpkg-query";
const APT_GET: &str = "/usr/bin/apt-get";
const APT_MARK: &str = "/usr/bin/apt-mark";
const SYSTEMCTL: &str = "/usr/bin/systemctl";

/// Debian's package tools and systemd.
#[derive(Debug)]
pub(super) struct Real;

fn must(program: &str, arguments: &[&str], timeout: Duration) -> Result<Ended, SystemError> {
    let ended = spawn::run(program, arguments, timeout)?;
    if ended.code == 0 {
        Ok(ended)
    } else {
        Err(SystemError::Failed {
            program: format!("{program} {}", arguments.first().unwrap_or(&"")),
            code: ended.code.to_string(),
            output: ended.output,
        })
    }
}

/// Reads `${db:Status-Want} ${db:Status-Status} ${Version}`.
fn parse_package(line: &str) -> PackageSeen {
    let mut fields = line.split_whitespace();
    let want = fields.next();
    let status = fields.next();
    let version = fields.next();
    PackageSeen {
        version: (status == Some("installed"))
            .then(|| version.map(str::to_owned))
            .flatten(),
        held: want == Some("hold"),
    }
}

impl System for Real {
    fn is_simulated(&self) -> bool {
        false
    }

    fn package(&mut self, _id: &ResourceId, name: &str) -> Result<PackageSeen, SystemError> {
        let format = "-f=${db:Status-Want} ${db:Status-Status} ${Version}\\n";
        let ended = spawn::run(DPKG_QUERY, &["-W", format, "--", name], QUICK)?;
        match ended.code {
            0 => Ok(parse_package(ended.output.lines().next().unwrap_or(""))),
            // dpkg-query(1): 1 = it knows no such package.
            1 => Ok(PackageSeen::default()),
            code => Err(SystemError::Failed {
                program: DPKG_QUERY.to_owned(),
                code: code.to_string(),
                output: ended.output,
            }),
        }
    }

    fn install(&mut self, id: &ResourceId, spec: &PackageSpec) -> Result<(), SystemError> {
        let seen = self.package(id, &spec.name)?;
        let wrong_version = spec.version.is_some() && seen.version != spec.version;
        if seen.version.is_none() || wrong_version {
            let wanted = spec.version.as_ref().map_or_else(
                || spec.name.clone(),
                |version| format!("{}={version}", spec.name),
            );
            let keep = "Dpkg::Options::=--force-confold";
            let mut arguments = vec!["install", "-y", "--no-install-recommends", "-o", keep];
            arguments.extend(["--allow-downgrades", "--allow-change-held-packages", "--"]);
            arguments.push(&wanted);
            must(APT_GET, &arguments, INSTALL)?;
        }
        let hold = if spec.hold { "hold" } else { "unhold" };
        must(APT_MARK, &[hold, "--", &spec.name], QUICK).map(|_| ())
    }

    fn uninstall(&mut self, id: &ResourceId, name: &str) -> Result<(), SystemError> {
        // apt fails for a name that it does not know, and the removal would never end.
        if self.package(id, name)?.version.is_none() {
            return Ok(());
        }
        let arguments = ["remove", "-y", "--allow-change-held-packages", "--", name];
        must(APT_GET, &arguments, INSTALL).map(|_| ())
    }

    fn service(&mut self, _id: &ResourceId, unit: &str) -> Result<ServiceSeen, SystemError> {
        // Both print their answer and use the exit code for it too.
        let enabled = spawn::run(SYSTEMCTL, &["is-enabled", "--", unit], QUICK)?;
        let active = spawn::run(SYSTEMCTL, &["is-active", "--", unit], QUICK)?;
        Ok(ServiceSeen {
            enabled: enabled.code == 0,
            running: active.code == 0,
        })
    }

    fn set_service(&mut self, id: &ResourceId, spec: &ServiceSpec) -> Result<(), SystemError> {
        let seen = self.service(id, &spec.unit)?;
        if seen.enabled != spec.enabled {
            let verb = if spec.enabled { "enable" } else { "disable" };
            must(SYSTEMCTL, &[verb, "--", &spec.unit], SERVICE)?;
        }
        if seen.running != spec.running {
            let verb = if spec.running { "start" } else { "stop" };
            must(SYSTEMCTL, &[verb, "--", &spec.unit], SERVICE)?;
        }
        Ok(())
    }

    fn notify_service(
        &mut self,
        _id: &ResourceId,
        unit: &str,
        how: OnNotify,
    ) -> Result<(), SystemError> {
        let verb = match how {
            OnNotify::Reload => "reload",
            OnNotify::Restart => "restart",
        };
        must(SYSTEMCTL, &[verb, "--", unit], SERVICE).map(|_| ())
    }

    fn run(
        &mut self,
        _id: &ResourceId,
        command: &CommandLine,
        timeout: Duration,
    ) -> Result<Ended, SystemError> {
        let arguments: Vec<&str> = command.arguments.iter().map(String::as_str).collect();
        spawn::run(command.program.as_str(), &arguments, timeout)
    }

    fn has_run(&self, _id: &ResourceId) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_is_gone_already_is_gone() {
        let id = ResourceId::new("package:gone").unwrap();
        Real.uninstall(&id, "email-engine-no-such-package").unwrap();
    }

    #[test]
    fn the_package_tools_states_are_told_apart() {
        let seen = parse_package("hold installed 5.0r8");
        assert_eq!(seen.version.as_deref(), Some("5.0r8"));
        assert!(seen.held);
        let removed = parse_package("deinstall config-files 1.22.1-9");
        assert_eq!(removed, PackageSeen::default());
        assert_eq!(parse_package(""), PackageSeen::default());
    }
}
