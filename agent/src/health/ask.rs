//! One asking of one probe.

use std::time::Duration;

use email_engine_protocol::desired::{CommandCheck, HttpQuestion, Probe};
use email_engine_protocol::id::ResourceId;

use crate::host::{Activity, System, SystemError};
use crate::resources::{self, CheckError};
use crate::transaction::shape;
use crate::visit::Page;

/// Why an answer is not right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unwell {
    /// There was an answer, and it is wrong.
    #[error("{0}")]
    Said(String),
    /// Nobody answered, or could be asked.
    #[error(transparent)]
    Asked(SystemError),
    /// The service manager does not say how a service is.
    #[error(transparent)]
    Manager(SystemError),
}

/// Asks once. A log is not asked: it tells only what was written since a swap.
///
/// # Errors
/// Why the answer is not right.
pub(crate) fn once(
    system: &mut dyn System,
    id: &ResourceId,
    probe: &Probe,
    left: Duration,
) -> Result<(), Unwell> {
    let simulated = system.is_simulated();
    match probe {
        Probe::Answer {
            command, expect, ..
        } => {
            let answer = system.ask(id, command, left).map_err(Unwell::Asked)?;
            if simulated {
                return Ok(());
            }
            shape::judge(&answer, expect).map_err(|reason| {
                let mut words = vec![command.program.to_string()];
                words.extend(command.arguments.iter().cloned());
                Unwell::Said(format!("answer of {}: {reason}", words.join(" ")))
            })
        }
        Probe::Greeting {
            address, begins, ..
        } => {
            let line = system.greeting(id, *address, left);
            let line = line.map_err(Unwell::Asked)?;
            if simulated || line.starts_with(begins.as_str()) {
                return Ok(());
            }
            let reason =
                format!("{address} greets with {line:?}, which does not begin with {begins:?}");
            Err(Unwell::Said(reason))
        }
        Probe::Connect { address, .. } => {
            let connected = system.connect(id, *address, left);
            connected.map_err(Unwell::Asked)
        }
        Probe::Http { question, .. } => {
            let page = system.visit(id, question, left).map_err(Unwell::Asked)?;
            judge(question, page).map_err(Unwell::Said)
        }
        Probe::Command { check } => {
            let seconds = u32::try_from(left.as_secs().max(1)).unwrap_or(u32::MAX);
            let check = CommandCheck {
                seconds,
                ..check.clone()
            };
            resources::check(system, id, &check).map_err(|error| match error {
                CheckError::System(error) => Unwell::Asked(error),
                said @ (CheckError::Refused { .. } | CheckError::Silent { .. }) => {
                    Unwell::Said(said.to_string())
                }
            })
        }
        Probe::Quiet { .. } => Ok(()),
        Probe::Running { unit, .. } => {
            let seen = system.service(id, unit).map_err(Unwell::Manager)?;
            match seen.activity {
                Activity::Running => Ok(()),
                Activity::Failed | Activity::Stopped => {
                    Err(Unwell::Said(format!("{unit} does not run")))
                }
                Activity::Between(word) => Err(Unwell::Said(format!("{unit} is {word}"))),
            }
        }
    }
}

/// Judges a page by what was asked for.
fn judge(question: &HttpQuestion, page: Page) -> Result<(), String> {
    let HttpQuestion {
        address,
        path,
        least_status: least,
        most_status: most,
        ..
    } = question;
    let status = page.status;
    if !(*least..=*most).contains(&status) {
        return Err(format!(
            "{address} answers GET {path} with status {status}, accepted is {least} to {most}"
        ));
    }
    match &question.contains {
        Some(text) if !page.contains => Err(format!(
            "{address} answers GET {path} with a page that has no {text:?} in it"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use email_engine_protocol::desired::{CommandLine, HostPath};

    use super::*;
    use crate::host::Machine;

    const LONG: Duration = Duration::from_secs(20);

    fn question() -> HttpQuestion {
        HttpQuestion {
            address: "127.0.0.1:80".parse().unwrap(),
            tls: false,
            host: None,
            path: "/x".to_owned(),
            least_status: 200,
            most_status: 299,
            contains: Some("fine".to_owned()),
        }
    }

    #[test]
    fn a_page_is_right_by_its_status_and_what_it_has_in_it() {
        for (status, contains, expected) in [
            (200, true, None),
            (299, true, None),
            (300, true, Some("with status 300, accepted is 200 to 299")),
            (199, true, Some("status 199")),
            (200, false, Some("no \"fine\" in it")),
        ] {
            let judged = judge(&question(), Page { status, contains });
            match expected {
                None => assert_eq!(judged, Ok(())),
                Some(text) => assert!(judged.unwrap_err().contains(text), "{status}"),
            }
        }
    }

    #[test]
    fn a_real_machine_is_asked_in_each_way() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::with_programs(dir.path());
        let system = machine.system.as_mut();
        let id = ResourceId::new("health_check:x").unwrap();
        let mut asked = |probe: Probe| once(system, &id, &probe, LONG);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            drop(listener.accept().unwrap());
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"421 not now\r\n").unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = [0; 16];
            let _ = stream.read(&mut heard).unwrap();
            let page = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlost";
            stream.write_all(page).unwrap();
        });
        let connect = Probe::Connect {
            address,
            seconds: 0,
        };
        assert_eq!(asked(connect.clone()), Ok(()));
        let greeting = asked(Probe::Greeting {
            address,
            begins: "220".to_owned(),
            seconds: 0,
        });
        assert!(greeting.unwrap_err().to_string().contains("421 not now"));
        let page = asked(Probe::Http {
            question: HttpQuestion {
                address,
                ..question()
            },
            seconds: 0,
            steady_seconds: 0,
        });
        assert!(page.unwrap_err().to_string().contains("no \"fine\""));
        server.join().unwrap();
        let gone = asked(connect).unwrap_err();
        assert!(
            matches!(&gone, Unwell::Asked(SystemError::Silent { .. })),
            "{gone:?}"
        );
        let command = |script: &str| Probe::Command {
            check: CommandCheck {
                command: CommandLine {
                    program: HostPath::new("/bin/sh").unwrap(),
                    arguments: vec!["-c".to_owned(), script.to_owned()],
                },
                seconds: 20,
                refused_by: Vec::new(),
                must_say: vec!["alive".to_owned()],
            },
        };
        assert_eq!(asked(command("echo it is alive")), Ok(()));
        let silent = asked(command("true")).unwrap_err().to_string();
        assert!(silent.contains("did not say \"alive\""), "{silent}");
        let failed = asked(command("echo alive; exit 3")).unwrap_err();
        assert!(failed.to_string().contains("code 3"), "{failed}");
        // A limit of its own that is longer does not count.
        let begin = std::time::Instant::now();
        let short = Duration::from_secs(1);
        let late = once(system, &id, &command("echo alive; sleep 600"), short).unwrap_err();
        assert!(late.to_string().contains("was ended after 1 s"), "{late}");
        assert!(begin.elapsed() < LONG);
    }
}
