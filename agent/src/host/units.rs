//! The service manager, asked without a program.
//!
//! systemd answers at the system bus, in the words of D-Bus: what `systemctl show` says, without forking it
//! for every unit of every pass. Where nobody answers there (no bus, another service manager, one that is
//! busy with itself), the caller asks the program, which has ways of its own. (The manager's private socket
//! needs no bus; but its answers come from a name that the specification does not allow for a sender.)

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Runtime;
use zbus::{OwnedObjectPath, OwnedVariant};

/// The bus (D-Bus specification, "Well-known Message Bus Instances").
const SOCKET: &str = "/run/dbus/system_bus_socket";
const NAME: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// A manager that takes longer is not asked this way.
const ANSWER: Duration = Duration::from_secs(5);

/// What it says of a unit, in its own words (org.freedesktop.systemd1(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnitWords {
    /// `LoadState`.
    pub load: String,
    /// `ActiveState`.
    pub active: String,
    /// `UnitFileState`; empty when there is no file.
    pub file: String,
}

/// One row of `ListUnitsByNames`: name, description, load, active and sub state, what it follows, its
/// object, and a job's number, type and object.
type Row = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

/// Why there is no answer; the program is asked then.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnitsError {
    /// The connection cannot be made or used, or the answer is no good.
    #[error(transparent)]
    Bus(#[from] zbus::Error),
    /// No thread of execution can be had.
    #[error("nothing can wait for an answer: {0}")]
    Runtime(#[from] std::io::Error),
    /// It did not connect in time.
    #[error("it did not take the connection within {} s", ANSWER.as_secs())]
    Late,
    /// It names no unit.
    #[error("it says nothing about {0}")]
    Silent(String),
}

/// The bus, and the connection to it once there is one.
pub(super) struct Units {
    socket: PathBuf,
    line: Option<Line>,
    /// Answers to what was going to be asked; each is good for one question.
    foreseen: BTreeMap<String, UnitWords>,
}

struct Line {
    /// Its tasks run while somebody waits for an answer.
    runtime: Runtime,
    connection: zbus::Connection,
}

impl std::fmt::Debug for Units {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Units")
            .field("socket", &self.socket)
            .field("is_connected", &self.line.is_some())
            .finish()
    }
}

impl Units {
    /// The manager of this machine.
    pub(super) fn of_machine() -> Self {
        Self::at(Path::new(SOCKET))
    }

    fn at(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            line: None,
            foreseen: BTreeMap::new(),
        }
    }

    /// How a unit is, and whether it is started at boot. A connection from before that is good no more is
    /// made anew, once.
    pub(super) fn look(&mut self, unit: &str) -> Result<UnitWords, UnitsError> {
        if let Some(words) = self.foreseen.remove(unit) {
            return Ok(words);
        }
        let mut seen = self.ask(&[unit])?;
        seen.remove(unit)
            .ok_or_else(|| UnitsError::Silent(unit.to_owned()))
    }

    /// Asks at once what is about to be asked one by one: a question waits for two other processes to be
    /// woken, however little it is about. What is not answered is asked again in its turn.
    pub(super) fn foresee(&mut self, units: &[&str]) {
        self.foreseen.clear();
        if units.len() < 2 {
            return;
        }
        match self.ask(units) {
            Ok(seen) => self.foreseen = seen,
            Err(error) => tracing::debug!(%error, "units are asked about one by one"),
        }
    }

    fn ask(&mut self, units: &[&str]) -> Result<BTreeMap<String, UnitWords>, UnitsError> {
        let was_open = self.line.is_some();
        match self.ask_once(units) {
            Err(UnitsError::Bus(_)) if was_open => self.ask_once(units),
            answer => answer,
        }
    }

    fn ask_once(&mut self, units: &[&str]) -> Result<BTreeMap<String, UnitWords>, UnitsError> {
        let line = match self.line.take() {
            Some(line) => line,
            None => Line::open(&self.socket)?,
        };
        let words = line.runtime.block_on(words(&line.connection, units));
        if !matches!(words, Err(UnitsError::Bus(_))) {
            self.line = Some(line);
        }
        words
    }
}

impl Line {
    fn open(socket: &Path) -> Result<Self, UnitsError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let address = format!("unix:path={}", socket.display());
        let opened = async {
            let connection = zbus::connection::Builder::address(address.as_str())
                .method_timeout(ANSWER)
                .build();
            let late = tokio::time::timeout(ANSWER, connection).await;
            late.map_err(|_| UnitsError::Late)?.map_err(UnitsError::Bus)
        };
        let connection = runtime.block_on(opened)?;
        Ok(Self {
            runtime,
            connection,
        })
    }
}

/// One call for what is in its memory, and one for each unit's file, which it looks at once and remembers
/// until it is told to look again. Rows are in the order of what was asked for, and name a unit by its first
/// name, whichever it was asked by. What is no name of a unit has none, and then nobody can tell whose the others
/// are.
async fn words(
    connection: &zbus::Connection,
    units: &[&str],
) -> Result<BTreeMap<String, UnitWords>, UnitsError> {
    let manager = Some(NAME);
    let names = &units.to_vec();
    let call = connection.call_method(manager, OBJECT, Some(MANAGER), "ListUnitsByNames", names);
    let rows: Vec<Row> = call.await?.body().deserialize()?;
    if rows.len() != units.len() {
        return Err(UnitsError::Silent(units.join(" or ")));
    }
    let file = async |object: &OwnedObjectPath| {
        let asked = &(UNIT, "UnitFileState");
        let call = connection.call_method(manager, object.as_str(), Some(PROPERTIES), "Get", asked);
        let value: OwnedVariant = call.await?.body().deserialize()?;
        Ok::<_, UnitsError>(String::try_from(value)?)
    };
    let files = rows.iter().map(|row| file(&row.6));
    let files = futures::future::try_join_all(files).await?;
    let words = rows
        .into_iter()
        .map(|(_, _, load, active, ..)| (load, active))
        .zip(files)
        .map(|((load, active), file)| UnitWords { load, active, file });
    Ok(units
        .iter()
        .map(|unit| (*unit).to_owned())
        .zip(words)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nobody_answers_the_program_is_to_be_asked_and_soon() {
        let dir = tempfile::tempdir().unwrap();
        let mut units = Units::at(&dir.path().join("nobody"));
        assert!(matches!(units.look("a.service"), Err(UnitsError::Bus(_))));
        // One that hangs up is no better, and is called anew.
        let socket = dir.path().join("rude");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let rude = std::thread::spawn(move || {
            for _ in 0..2 {
                drop(listener.accept().unwrap());
            }
        });
        let mut units = Units::at(&socket);
        for _ in 0..2 {
            assert!(matches!(units.look("a.service"), Err(UnitsError::Bus(_))));
        }
        rude.join().unwrap();
    }
}
