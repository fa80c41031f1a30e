//! Whole runs on a machine made up in memory, which can be cut off anywhere.

mod lost_identity;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use email_engine_protocol::bytes::{CaPin, ContentHash};
use email_engine_protocol::id::{ClusterId, HostId, Role};
use email_engine_protocol::join::Admission;
use email_engine_protocol::time::Timestamp;

use crate::execute::{Hands, StepError, Taken, execute};
use crate::facts::{Bundle, Found, FoundKind, Installed, Member, Membership, Program, UnitState};
use crate::journal::{self, Journal, Purpose};
use crate::layout::{self, Layout};
use crate::plan::{History, Step, install, remove};
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

fn agent_request() -> Request {
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

fn init_request() -> Request {
    Request {
        part: Part::Coordinator,
        entry: Entry::Init,
        advertise: Some("192.0.2.1".to_owned()),
        mail_probe: None,
        ..agent_request()
    }
}

fn bundle(bytes: u8) -> Bundle {
    let names = [layout::AGENT, layout::COORDINATOR, "email-engine"];
    let program = |name| Program {
        path: Path::new("/opt").join(name),
        hash: ContentHash([bytes; 32]),
    };
    names.map(|name| (name, Ok(program(name)))).into()
}

/// A machine in memory. What its units were started with is remembered, so that a start that is
/// missing is seen.
struct Machine {
    request: Request,
    layout: Layout,
    installed: Installed,
    /// Files as they were when each unit was started last.
    started_with: BTreeMap<String, BTreeMap<PathBuf, Found>>,
    read_units: BTreeMap<PathBuf, Found>,
    /// Whether the executor was told whom the host may belong to.
    expects: bool,
    journal: tempfile::TempDir,
    /// Half-steps until it is cut off.
    fuse: usize,
}

impl Machine {
    fn new(request: Request) -> Self {
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

    fn journal_path(&self) -> PathBuf {
        self.journal.path().join("journal")
    }

    fn history(&self) -> History {
        journal::history(&journal::read(&self.journal_path()).unwrap())
    }

    fn plan(&self) -> Vec<Step> {
        install(
            &self.request,
            &self.layout,
            &self.installed,
            &self.history(),
        )
    }

    /// A whole run; how many steps it took, or nothing when it was cut off.
    fn run(&mut self, fuse: usize) -> Option<usize> {
        self.fuse = fuse;
        let steps = self.plan();
        self.take(Purpose::Install, &steps)
    }

    fn take(&mut self, purpose: Purpose, steps: &[Step]) -> Option<usize> {
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

    fn put(&mut self, path: &Path, kind: FoundKind, mode: u32, owner: &str) {
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

    fn enrol(&mut self) {
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
    fn assert_finished(&self, when: &str) {
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

#[test]
fn a_second_run_changes_nothing() {
    for request in [agent_request(), init_request()] {
        let mut machine = Machine::new(request);
        assert!(machine.run(usize::MAX).unwrap() > 8);
        machine.assert_finished("after one run");
        assert_eq!(machine.run(0), Some(0));
    }
}

#[test]
fn a_run_that_is_cut_off_anywhere_is_continued() {
    for request in [agent_request(), init_request()] {
        for fuse in 0.. {
            let mut machine = Machine::new(request.clone());
            if machine.run(fuse).is_some() {
                assert!(fuse > 20, "every half-step was tried");
                break;
            }
            machine.run(usize::MAX).unwrap();
            machine.assert_finished(&format!("cut off after {fuse} half-steps"));
        }
    }
}

#[test]
fn an_upgrade_that_is_cut_off_anywhere_ends_with_units_that_run_it() {
    for fuse in 0.. {
        let mut machine = Machine::new(agent_request());
        machine.run(usize::MAX).unwrap();
        machine.layout = layout::layout(&machine.request, &bundle(2));
        let program = Layout::program(Part::Agent);
        assert!(machine.plan().contains(&Step::WriteFile { path: program }));
        let whole = machine.run(fuse).is_some();
        machine.run(usize::MAX).unwrap();
        machine.assert_finished(&format!("upgrade cut off after {fuse} half-steps"));
        if whole {
            break;
        }
    }
}

#[test]
fn keys_that_were_never_shown_are_made_anew() {
    let mut machine = Machine::new(init_request());
    let at = machine
        .plan()
        .iter()
        .position(|step| *step == Step::Found)
        .unwrap();
    // Founded, and cut off before it was written down.
    assert_eq!(machine.run(2 * at + 1), None);
    assert!(
        machine
            .installed
            .membership
            .as_ref()
            .unwrap()
            .enrolled
            .is_some()
    );
    assert_eq!(machine.plan().first(), Some(&Step::Found));
}

#[test]
fn what_somebody_wrote_is_left_and_what_a_run_wrote_is_renewed() {
    let mut machine = Machine::new(agent_request());
    let etc = Path::new(layout::ETC);
    let (config, list) = (etc.join("agent.toml"), etc.join("allow.toml"));
    let theirs = FoundKind::File(ContentHash([5; 32]));
    machine.put(&config, theirs.clone(), 0o600, "root");
    machine.put(&list, theirs.clone(), 0o600, "root");
    machine.run(usize::MAX).unwrap();
    assert_eq!(machine.installed.paths[&config].kind, theirs);
    assert_eq!(machine.installed.paths[&list].kind, theirs);

    let mut machine = Machine::new(agent_request());
    machine.run(usize::MAX).unwrap();
    // As if this version wrote another text than the one before.
    let mut files = machine.layout.files.iter_mut();
    let file = files.find(|file| file.path == config).unwrap();
    file.content = layout::Content::Text("# another\n".to_owned());
    let write = Step::WriteFile {
        path: config.clone(),
    };
    assert!(machine.plan().contains(&write));
    machine.put(&config, theirs, 0o644, "root");
    assert!(!machine.plan().contains(&write));
}

#[test]
fn who_waits_for_enrolment_alone_leaves_no_token_and_goes() {
    let mut machine = Machine::new(Request {
        awaits_convergence: false,
        ..agent_request()
    });
    let steps = machine.plan();
    assert!(steps.contains(&Step::AwaitEnrolment), "{steps:?}");
    assert!(!steps.contains(&Step::AwaitConvergence), "{steps:?}");
    machine.run(usize::MAX).unwrap();
    let token = machine.layout.token.clone().unwrap();
    assert!(!machine.installed.paths.contains_key(&token));
    assert_eq!(machine.plan(), Vec::new(), "a second run has nothing to do");
}

#[test]
fn who_does_not_wait_leaves_the_token_for_the_agent() {
    let mut machine = Machine::new(Request {
        patience: None,
        ..agent_request()
    });
    let steps = machine.plan();
    assert!(!steps.iter().any(Step::is_wait), "{steps:?}");
    machine.run(usize::MAX).unwrap();
    let token = machine.layout.token.clone().unwrap();
    assert!(machine.installed.paths.contains_key(&token));
    machine.enrol();
    machine.request = agent_request();
    machine.run(usize::MAX).unwrap();
    machine.assert_finished("after a run that waits");
}

#[test]
fn a_new_token_is_given_to_an_agent_that_could_not_enrol() {
    let mut machine = Machine::new(agent_request());
    let at = machine
        .plan()
        .iter()
        .position(|step| *step == Step::AwaitEnrolment);
    assert_eq!(machine.run(2 * at.unwrap()), None);
    let steps = machine.plan();
    let unit = machine.layout.units[0].to_owned();
    // The executor first: the other half takes a token up as soon as it lies there.
    assert_eq!(steps[0], Step::Expect, "{steps:?}");
    assert!(matches!(steps[1], Step::WriteToken { .. }), "{steps:?}");
    assert!(steps.contains(&Step::StartUnit { unit }), "{steps:?}");
}

#[test]
fn a_removal_takes_what_is_ours_and_leaves_the_rest() {
    for fuse in 0.. {
        let mut machine = Machine::new(agent_request());
        let list = Path::new(layout::ETC).join("allow.toml");
        let theirs = FoundKind::File(ContentHash([5; 32]));
        machine.put(&list, theirs, 0o644, "root");
        machine.run(usize::MAX).unwrap();
        let plan = |machine: &Machine| {
            let (layout, installed) = (&machine.layout, &machine.installed);
            remove(Part::Agent, layout, installed, &machine.history(), false)
        };
        let removal = plan(&machine);
        machine.fuse = fuse;
        let whole = machine.take(Purpose::Remove, &removal.steps).is_some();
        machine.fuse = usize::MAX;
        let rest = plan(&machine);
        machine.take(Purpose::Remove, &rest.steps).unwrap();
        // The manager has forgotten the units too.
        assert_eq!(machine.read_units, BTreeMap::new(), "{fuse}");
        assert_eq!(rest.left[0].path, list);
        assert_eq!(
            machine.installed.paths.keys().collect::<Vec<_>>(),
            [&list],
            "{fuse}"
        );
        assert_eq!(machine.installed.users, ["root".to_owned()].into());
        if whole {
            break;
        }
    }
}

#[test]
fn a_program_goes_also_when_none_is_beside_the_bootstrap() {
    let mut machine = Machine::new(agent_request());
    machine.run(usize::MAX).unwrap();
    machine.layout = layout::layout(&machine.request, &Bundle::new());
    let (layout, installed) = (&machine.layout, &machine.installed);
    let removal = remove(Part::Agent, layout, installed, &machine.history(), false);
    let path = Layout::program(Part::Agent);
    assert!(removal.steps.contains(&Step::RemoveFile { path }));
}

#[test]
fn a_nodes_data_goes_only_when_that_is_said() {
    let mut machine = Machine::new(init_request());
    machine.run(usize::MAX).unwrap();
    let (layout, installed, history) = (&machine.layout, &machine.installed, machine.history());
    let kept = remove(Part::Coordinator, layout, installed, &history, false);
    let data = layout.data.clone();
    let takes = Step::RemoveTree { path: data.clone() };
    let user = layout.user.to_owned();
    let removes_user = Step::RemoveUser { user };
    assert!(!kept.steps.contains(&takes) && !kept.steps.contains(&removes_user));
    assert!(kept.left.iter().any(|left| left.path == data));
    let all = remove(Part::Coordinator, layout, installed, &history, true);
    assert!(all.steps.contains(&takes) && all.steps.contains(&removes_user));
}

#[test]
fn steps_in_the_journal_hold_no_secret() {
    let mut machine = Machine::new(agent_request());
    machine.run(usize::MAX).unwrap();
    let text = std::fs::read_to_string(machine.journal_path()).unwrap();
    assert!(!text.contains("eejoin2"), "{text}");
    assert!(!text.contains(&CaPin([9; 32]).to_string()), "{text}");
}
