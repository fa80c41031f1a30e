//! The machine of the rehearsals: it is made up in memory, and can be cut off between and within steps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{ClusterId, HostId, Role};
use email_engine_protocol::join::Admission;
use email_engine_protocol::time::Timestamp;

use crate::execute::{Hands, StepError, Taken, execute};
use crate::facts::{Bundle, Found, FoundKind, Installed, Member, Membership, Program, UnitState};
use crate::journal::{self, Journal, Purpose};
use crate::layout::{self, Layout};
use crate::plan::{History, Step, install};
use crate::progress::{Founded, Voice};
use crate::request::{Entry, Part, Request, Ticket};

const CLUSTER: ClusterId = ClusterId([1; 16]);

struct Silent;

impl Voice for Silent {
    fn begun(&mut self, _: usize, _: &Step) {}
    fn detail(&mut self, _: &str) {}
    fn done(&mut self, _: &Step) {}
    fn founded(&mut self, _: &Founded) {}
}

pub(super) fn agent_request() -> Request {
    Request {
        part: Part::Agent,
        entry: Entry::Join(Box::new(Ticket {
            cluster: CLUSTER,
            endpoints: vec!["192.0.2.1:7443".to_owned()],
            admission: Admission::Host {
                host: HostId::new("api1").unwrap(),
                role: Role::Api,
            },
            expires_at: Timestamp(10),
        })),
        patience: Some(Duration::from_secs(1)),
        awaits_convergence: true,
        advertise: None,
        mail_probe: None,
    }
}

pub(super) fn init_request() -> Request {
    Request {
        part: Part::Coordinator,
        entry: Entry::Init,
        advertise: Some("192.0.2.1".to_owned()),
        mail_probe: None,
        ..agent_request()
    }
}

pub(super) fn bundle(bytes: u8) -> Bundle {
    let names = [layout::AGENT, layout::COORDINATOR, "email-engine"];
    let program = |name| Program {
        path: Path::new("/opt").join(name),
        hash: ContentHash([bytes; 32]),
    };
    names.map(|name| (name, Ok(program(name)))).into()
}

/// A machine in memory. What its units were started with is remembered, so that a start that is
/// missing is seen.
pub(super) struct Machine {
    pub(super) request: Request,
    pub(super) layout: Layout,
    pub(super) installed: Installed,
    /// Files as they were when each unit was started last.
    started_with: BTreeMap<String, BTreeMap<PathBuf, Found>>,
    pub(super) read_units: BTreeMap<PathBuf, Found>,
    /// Whether the executor was told whom the host may belong to.
    pub(super) expects: bool,
    journal: tempfile::TempDir,
    /// Half-steps until it is cut off.
    pub(super) fuse: usize,
}

impl Machine {
    pub(super) fn new(request: Request) -> Self {
        let layout = layout::layout(&request, &bundle(1));
        Self {
            request,
            layout,
            installed: Installed {
                users: ["root".to_owned()].into(),
                paths: BTreeMap::new(),
                units: BTreeMap::new(),
                membership: Ok(Membership::default()),
            },
            started_with: BTreeMap::new(),
            read_units: BTreeMap::new(),
            expects: false,
            journal: tempfile::tempdir().unwrap(),
            fuse: usize::MAX,
        }
    }

    pub(super) fn journal_path(&self) -> PathBuf {
        self.journal.path().join("journal")
    }

    pub(super) fn history(&self) -> History {
        journal::history(&journal::read(&self.journal_path()).unwrap())
    }

    pub(super) fn plan(&self) -> Vec<Step> {
        install(
            &self.request,
            &self.layout,
            &self.installed,
            &self.history(),
        )
    }

    /// A whole run; how many steps it took, or nothing when it was cut off.
    pub(super) fn run(&mut self, fuse: usize) -> Option<usize> {
        self.fuse = fuse;
        let steps = self.plan();
        self.take(Purpose::Install, &steps)
    }

    pub(super) fn take(&mut self, purpose: Purpose, steps: &[Step]) -> Option<usize> {
        if steps.is_empty() {
            return Some(0);
        }
        let mut journal = Journal::open(&self.journal_path()).unwrap();
        let now = || Timestamp(1);
        let done = execute(purpose, steps, &mut journal, self, &mut Silent, now);
        done.ok().map(|()| steps.len())
    }

    fn burn(&mut self) -> Result<(), StepError> {
        self.fuse = self
            .fuse
            .checked_sub(1)
            .ok_or_else(|| StepError::new("cut off"))?;
        Ok(())
    }

    fn unit(&mut self, unit: &str) -> &mut UnitState {
        self.installed.units.entry(unit.to_owned()).or_default()
    }

    pub(super) fn put(&mut self, path: &Path, kind: FoundKind, mode: u32, owner: &str) {
        let owner = owner.to_owned();
        let found = Found { kind, mode, owner };
        self.installed.paths.insert(path.to_owned(), found);
    }

    fn files(&self) -> BTreeMap<PathBuf, Found> {
        let mut files = self.installed.paths.clone();
        files.retain(|path, found| {
            matches!(found.kind, FoundKind::File(_)) && Some(path) != self.layout.token.as_ref()
        });
        files
    }

    fn effect(&mut self, step: &Step) -> Taken {
        match step.clone() {
            Step::WriteFile { path } | Step::MendFile { path } => {
                let file = self.layout.file(&path).unwrap().clone();
                let hash = file.content.hash();
                self.put(&path, FoundKind::File(hash), file.mode, "root");
                return Taken { wrote: Some(hash) };
            }
            Step::WriteToken { path } => {
                let kind = FoundKind::File(ContentHash([9; 32]));
                self.put(&path, kind, 0o600, self.layout.user);
            }
            Step::MakeFolder { path } => {
                let mut folders = self.layout.folders.iter();
                let folder = folders.find(|folder| folder.path == path).unwrap().clone();
                let kind = FoundKind::Folder { is_empty: false };
                self.put(&path, kind, folder.mode, folder.owner);
            }
            Step::CreateUser { user } => {
                self.installed.users.insert(user);
            }
            Step::RemoveUser { user } => {
                self.installed.users.remove(&user);
            }
            Step::EnableUnit { unit } => self.unit(&unit).is_enabled = true,
            Step::StartUnit { unit } => {
                // A manager starts what it has read.
                assert_eq!(self.read_units, self.unit_files());
                let files = self.files();
                self.started_with.insert(unit.clone(), files);
                self.unit(&unit).is_active = true;
                let data = self.layout.data.clone();
                if !self.installed.paths.contains_key(&data) {
                    self.put(&data, FoundKind::Folder { is_empty: false }, 0o700, "root");
                }
            }
            Step::StopUnit { unit } => *self.unit(&unit) = UnitState::default(),
            Step::ReloadUnits => self.read_units = self.unit_files(),
            Step::AwaitEnrolment => {
                assert!(
                    self.expects,
                    "an executor lets nobody in that it was not told of"
                );
                self.enrol();
            }
            Step::Found | Step::Join => self.enrol(),
            Step::Expect => {
                let program = Layout::program(Part::Agent);
                assert!(
                    self.installed.paths.contains_key(&program),
                    "nobody there to be told"
                );
                self.expects = true;
            }
            Step::AwaitConvergence => {
                self.installed.membership.as_mut().unwrap().converged = true;
            }
            Step::RemoveFile { path } | Step::RemoveFolder { path } | Step::RemoveTree { path } => {
                self.installed.paths.remove(&path);
            }
            Step::AwaitService | Step::ForgetJournal => {}
        }
        Taken::default()
    }

    pub(super) fn enrol(&mut self) {
        let membership = self.installed.membership.as_mut().unwrap();
        membership.identity_lost = false;
        membership.enrolled = Some(Member {
            cluster: CLUSTER,
            name: "api1".to_owned(),
            role: None,
        });
    }

    fn unit_files(&self) -> BTreeMap<PathBuf, Found> {
        let mut files = self.files();
        files.retain(|path, _| path.starts_with(layout::UNITS));
        files
    }

    /// All that an installation promises.
    pub(super) fn assert_finished(&self, when: &str) {
        assert_eq!(self.plan(), [], "{when}");
        assert!(
            self.installed
                .membership
                .as_ref()
                .unwrap()
                .enrolled
                .is_some()
        );
        assert!(self.installed.users.contains(self.layout.user), "{when}");
        for file in &self.layout.files {
            assert!(
                self.installed.paths.contains_key(&file.path),
                "{when}: {file:?}"
            );
        }
        if let Some(token) = &self.layout.token {
            assert!(
                !self.installed.paths.contains_key(token),
                "{when}: the token is left"
            );
        }
        for unit in &self.layout.units {
            assert_eq!(
                self.started_with[*unit],
                self.files(),
                "{when}: {unit} runs what was"
            );
            let state = self.installed.units[*unit];
            assert!(state.is_enabled && state.is_active, "{when}");
        }
    }
}

impl Hands for Machine {
    fn take(&mut self, step: &Step, _: &mut dyn Voice) -> Result<Taken, StepError> {
        self.burn()?;
        let taken = self.effect(step);
        self.burn()?;
        Ok(taken)
    }
}
