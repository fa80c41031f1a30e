//! What belongs on a machine, by part: users, folders, files, units. Pure data.

use std::path::{Path, PathBuf};

use email_engine_protocol::bytes::ContentHash;

use crate::facts::{Bundle, Port};
use crate::request::{Part, Request};

/// Where programs go: before the distribution's own, and never its package manager's.
pub const PROGRAMS: &str = "/usr/local/bin";
/// Where units of the machine's owner go.
pub const UNITS: &str = "/etc/systemd/system";
/// Configuration of every part.
pub const ETC: &str = "/etc/email-engine";
/// Where the bootstrap keeps its journals.
pub const OWN: &str = "/var/lib/email-engine-bootstrap";
/// The coordinator's data, and the folder above it.
pub const NODE_DATA: &str = "/var/lib/email-engine/coordinator";
const NODE_DATA_PARENT: &str = "/var/lib/email-engine";
const HOST_DATA: &str = "/var/lib/email-engine-agent";

/// The user of the agent's network half.
pub const HOST_USER: &str = "email-engine";
/// The user of a coordinator node.
pub const NODE_USER: &str = "email-engine-coordinator";
/// The program of a host.
pub const AGENT: &str = "email-engine-agent";
/// The program of a node.
pub const COORDINATOR: &str = "email-engine-coordinator";

const HOST_RUNTIME: &str = "/run/email-engine";
const NODE_PROGRAMS: [&str; 2] = [COORDINATOR, "email-engine"];

const AGENT_UNITS: [(&str, &str); 2] = [
    (
        "email-engine-executor.service",
        include_str!("../../deploy/systemd/email-engine-executor.service"),
    ),
    (
        "email-engine-agent.service",
        include_str!("../../deploy/systemd/email-engine-agent.service"),
    ),
];
const COORDINATOR_UNITS: [(&str, &str); 1] = [(
    "email-engine-coordinator.service",
    include_str!("../../deploy/systemd/email-engine-coordinator.service"),
)];
const ALLOW_LIST: &str = include_str!("../../agent/src/allow/default.toml");

/// Everything that belongs on the machine.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The user that the part needs.
    pub user: &'static str,
    /// Folders, those above first.
    pub folders: Vec<Folder>,
    /// Files.
    pub files: Vec<File>,
    /// Where programs of the part are, whether they are beside the bootstrap or not.
    pub programs: Vec<PathBuf>,
    /// What the part makes for as long as the machine is on.
    pub runtime: Option<PathBuf>,
    /// Units, in the order in which they are started.
    pub units: Vec<&'static str>,
    /// Where the join token lies, as the user's, until it is redeemed. A coordinator node enters
    /// its cluster before it runs, and is handed the token by the run itself.
    pub token: Option<PathBuf>,
    /// What the part itself keeps; goes with it.
    pub data: PathBuf,
    /// What a run did here, for the next one.
    pub journal: PathBuf,
    /// Ports that it listens on.
    pub ports: Vec<Port>,
}

/// A folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Whose.
    pub owner: &'static str,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where.
    pub path: PathBuf,
    /// Permission bits; all files are root's.
    pub mode: u32,
    /// Its bytes.
    pub content: Content,
    /// What becomes of one that is there.
    pub keep: Keep,
}

/// The bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Those of a program beside the bootstrap.
    Program {
        /// Where it lies.
        source: PathBuf,
        /// Hash of its bytes.
        hash: ContentHash,
    },
    /// These.
    Text(String),
}

impl Content {
    /// Hash of the bytes.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        match self {
            Self::Program { hash, .. } => *hash,
            Self::Text(text) => ContentHash::of(text.as_bytes()),
        }
    }
}

/// What becomes of a file that is there with other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is somebody's word: left alone.
    Always,
    /// It is replaced, unless somebody changed it since a run wrote it.
    IfChanged,
    /// It is ours: replaced.
    Never,
}

/// What belongs on a machine of this part. Programs that are not beside the bootstrap are left out:
/// the preflight refuses such a run.
#[must_use]
pub fn layout(request: &Request, bundle: &Bundle) -> Layout {
    match request.part {
        Part::Agent => agent(bundle),
        Part::Coordinator => coordinator(request, bundle),
    }
}

fn agent(bundle: &Bundle) -> Layout {
    let token = Path::new(ETC).join("join-token");
    let config = format!(
        "# Written by email-engine-bootstrap, which leaves it alone once it was changed by hand.\n\
         # Every setting: email-engine-agent show-config\n\
         join_token_file = \"{}\"\n",
        token.display()
    );
    let mut files = programs(bundle, &[AGENT]);
    files.push(text("agent.toml", config, Keep::IfChanged));
    files.push(text("allow.toml", ALLOW_LIST.to_owned(), Keep::Always));
    files.extend(AGENT_UNITS.map(unit));
    Layout {
        user: HOST_USER,
        folders: vec![folder(ETC, 0o755, "root")],
        files,
        programs: places(&[AGENT]),
        runtime: Some(HOST_RUNTIME.into()),
        units: AGENT_UNITS.map(|(name, _)| name).to_vec(),
        token: Some(token),
        data: HOST_DATA.into(),
        journal: journal(Part::Agent),
        ports: Vec::new(),
    }
}

fn coordinator(request: &Request, bundle: &Bundle) -> Layout {
    let mut config = "\
# Written by email-engine-bootstrap, which leaves it alone once it was changed by hand.
# Every setting: email-engine-coordinator show-config
[advertise]
"
    .to_owned();
    if let Some(host) = &request.advertise {
        for (key, port) in [("agent", 7443), ("raft", 7444), ("api", 7443)] {
            config.push_str(&format!("{key} = \"{}:{port}\"\n", bracketed(host)));
        }
    }
    let mut files = programs(bundle, &NODE_PROGRAMS);
    files.push(text("coordinator.toml", config, Keep::IfChanged));
    files.extend(COORDINATOR_UNITS.map(unit));
    Layout {
        user: NODE_USER,
        folders: vec![
            folder(ETC, 0o755, "root"),
            folder(NODE_DATA_PARENT, 0o755, "root"),
            folder(NODE_DATA, 0o700, NODE_USER),
        ],
        files,
        programs: places(&NODE_PROGRAMS),
        runtime: None,
        units: COORDINATOR_UNITS.map(|(name, _)| name).to_vec(),
        token: None,
        data: NODE_DATA.into(),
        journal: journal(Part::Coordinator),
        ports: vec![Port::Tcp(7443), Port::Udp(7443), Port::Udp(7444)],
    }
}

fn journal(part: Part) -> PathBuf {
    Path::new(OWN).join("journal").join(part.name())
}

/// An address of version 6 stands in brackets before a port.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        return format!("[{host}]");
    }
    host.to_owned()
}

fn programs(bundle: &Bundle, names: &[&'static str]) -> Vec<File> {
    let found = names.iter().filter_map(|name| {
        let program = bundle.get(name)?.as_ref().ok()?;
        Some(File {
            path: Path::new(PROGRAMS).join(name),
            mode: 0o755,
            content: Content::Program {
                source: program.path.clone(),
                hash: program.hash,
            },
            keep: Keep::Never,
        })
    });
    found.collect()
}

fn places(names: &[&str]) -> Vec<PathBuf> {
    let names = names.iter();
    names.map(|name| Path::new(PROGRAMS).join(name)).collect()
}

fn text(name: &str, text: String, keep: Keep) -> File {
    File {
        path: Path::new(ETC).join(name),
        mode: 0o644,
        content: Content::Text(text),
        keep,
    }
}

fn unit((name, text): (&str, &str)) -> File {
    File {
        path: Path::new(UNITS).join(name),
        mode: 0o644,
        content: Content::Text(text.to_owned()),
        keep: Keep::Never,
    }
}

fn folder(path: &str, mode: u32, owner: &'static str) -> Folder {
    Folder {
        path: path.into(),
        mode,
        owner,
    }
}

impl Layout {
    /// The file at this path.
    #[must_use]
    pub fn file(&self, path: &Path) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Where the program of the part is, once it is installed.
    #[must_use]
    pub fn program(part: Part) -> PathBuf {
        Path::new(PROGRAMS).join(match part {
            Part::Agent => AGENT,
            Part::Coordinator => COORDINATOR,
        })
    }

    /// Every path that a run looks at.
    #[must_use]
    pub fn paths(&self) -> Vec<&Path> {
        let folders = self.folders.iter().map(|folder| folder.path.as_path());
        let files = self.files.iter().map(|file| file.path.as_path());
        let rest = [self.data.as_path(), self.journal.as_path()];
        folders
            .chain(files)
            .chain(self.programs.iter().map(PathBuf::as_path))
            .chain(self.token.as_deref())
            .chain(self.runtime.as_deref())
            .chain(rest)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Entry;

    #[test]
    fn an_address_of_version_6_is_advertised_in_brackets() {
        let request = Request {
            part: Part::Coordinator,
            entry: Entry::Init,
            patience: None,
            awaits_convergence: true,
            advertise: Some("2001:db8::1".to_owned()),
            mail_probe: None,
        };
        let layout = layout(&request, &Bundle::new());
        let config = layout.file(&Path::new(ETC).join("coordinator.toml"));
        let Content::Text(text) = &config.unwrap().content else {
            panic!("the configuration is no program")
        };
        assert!(text.contains("raft = \"[2001:db8::1]:7444\"\n"), "{text}");
    }

    #[test]
    fn units_run_the_programs_where_they_are_installed() {
        for (name, text) in AGENT_UNITS.into_iter().chain(COORDINATOR_UNITS) {
            let start = text
                .lines()
                .find_map(|line| line.strip_prefix("ExecStart="));
            let program = start.unwrap().split(' ').next().unwrap();
            let known = [Part::Agent, Part::Coordinator].map(Layout::program);
            assert!(known.contains(&program.into()), "{name}: {program}");
        }
    }
}
