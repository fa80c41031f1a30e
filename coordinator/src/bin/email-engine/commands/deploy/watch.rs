//! Steps as they are taken: what is said to the cluster, to machines, and how long each host is waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use email_engine_protocol::api::{Consistency, HostSpec, RenderedConfig, StatusView};
use email_engine_protocol::id::HostId;
use futures::StreamExt as _;
use futures::future::join;
use futures::stream;

use super::args::Deploy;
use super::check::Checked;
use super::enter::{Entering, Unsaid, token};
use super::patience::{LOOK, patiently};
use super::plan::Entrance;
use super::steps::{self, Standing, Step};
use super::voice::Voice;
use crate::client::ClientError;
use crate::commands::Desk;
use crate::commands::artifact;
use crate::exit::{Exit, Failure};

/// From the word of a machine that it is let in to that of the cluster.
const WORD: Duration = Duration::from_secs(60);
/// Tries of a change that takes longer than a request may.
const TRIES: usize = 20;

/// Why a host did not get through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) why: String,
    /// It was on its way when the time was over.
    pub(super) is_late: bool,
    /// No machine had become it then.
    was_absent: bool,
}

/// A run.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) desk: &'a Desk,
    pub(super) arguments: &'a Deploy,
    pub(super) checked: &'a Checked,
    pub(super) voice: &'a Voice,
    pub(super) trouble: BTreeMap<HostId, Trouble>,
    /// Hosts that a machine became in this run.
    pub(super) entered: BTreeSet<HostId>,
}

impl Run<'_> {
    /// Uploads, the fleet file, and a token file for each machine that a person lets in.
    pub(super) async fn prepare(&mut self) -> Result<String, Failure> {
        let mut done = Vec::new();
        let plan = &self.checked.plan;
        for upload in plan.uploads.iter().filter(|upload| !upload.is_done()) {
            let source = &self.checked.sources[&upload.name];
            let sent = artifact::send(self.desk, source).await?;
            let sha256 = Some(sent.sha256);
            let client = &self.desk.client;
            client.name_artifact(&upload.name, sha256, true).await?;
            done.push(format!("artifact {}", upload.name));
        }
        if !plan.fleet.changes.is_empty() {
            let revision = self.apply().await?;
            done.push(format!("fleet file (revision {revision})"));
        }
        for host in &self.checked.hosts {
            if !plan.let_in.iter().any(|one| one.host == host.id) {
                // A person took it there while nobody looked.
                token::withdraw(&self.desk.client, host, self.voice).await?;
            }
        }
        for entrance in plan.let_in.iter().filter(|one| one.via.is_none()) {
            self.hand_out(entrance, true).await?;
            done.push(format!("token of {}", entrance.host));
        }
        Ok(done.join(", "))
    }

    /// A token file for a machine that a person lets in. The person is told when it is a new one, or `always`.
    async fn hand_out(&self, entrance: &Entrance, always: bool) -> Result<(), Failure> {
        let host = self.spec(entrance);
        let patience = self.arguments.wait_hosts();
        let made = token::file(&self.desk.client, host, patience, self.voice).await;
        let (path, is_new) = match made {
            Ok(made) => made,
            Err(failure) => match self.status().await {
                // For a host that has come in since it was looked at no token is made.
                Ok(status) if steps::is_let_in(&status, &host.id) => return Ok(()),
                _ => return Err(failure),
            },
        };
        if is_new || always {
            self.voice.insist(&format!(
                "{} ({}) waits for its machine: bring email-engine-bootstrap and email-engine-agent there, \
                 both in one folder of root's PATH, then\n    {}",
                host.id,
                host.role,
                token::by_hand(host, &path)
            ));
        }
        Ok(())
    }

    fn spec(&self, entrance: &Entrance) -> &HostSpec {
        let found = self.spec_of(&entrance.host);
        found.expect("an entrance is that of a host of the file")
    }

    fn spec_of(&self, id: &HostId) -> Option<&HostSpec> {
        self.checked.hosts.iter().find(|host| host.id == *id)
    }

    /// A large change may take longer than a request: the same again goes on. For its keys the client waits.
    async fn apply(&self) -> Result<u64, Failure> {
        let mut tries = 0;
        loop {
            let document = &self.arguments.document().document;
            match self.desk.client.apply(document, false, false).await {
                Ok(answer) => {
                    for warning in &answer.warnings {
                        self.voice.say(&format!("warning: {warning}"));
                    }
                    return Ok(answer.revision);
                }
                // The cluster asks for the same again then, with its own words.
                Err(ClientError::Unavailable { problem, .. })
                    if problem.status == 504 && tries < TRIES =>
                {
                    tries += 1;
                    self.voice.record(&problem.detail);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Hosts of a step that nothing was wrong with before.
    pub(super) fn hosts(&self, step: Step) -> Vec<HostId> {
        let hosts = self.checked.hosts.iter();
        let hosts = hosts.filter(|host| step.is_for(host.role));
        self.sound(hosts.map(|host| host.id.clone()))
    }

    /// All hosts that nothing was wrong with.
    pub(super) fn all_hosts(&self) -> Vec<HostId> {
        self.sound(self.checked.hosts.iter().map(|host| host.id.clone()))
    }

    fn sound(&self, hosts: impl Iterator<Item = HostId>) -> Vec<HostId> {
        hosts.filter(|id| !self.trouble.contains_key(id)).collect()
    }

    /// Lets the machines of a step in; gives those that came in.
    pub(super) async fn let_in(&mut self, step: Step) -> Result<Vec<HostId>, Failure> {
        let due = self.checked.plan.let_in.iter();
        let due: Vec<&Entrance> = due.filter(|one| step.is_for(one.role)).collect();
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let status = self.status().await?;
        let all: Vec<HostId> = due.iter().map(|one| one.host.clone()).collect();
        // Who took a token there may have been faster than the steps before.
        let due = due.into_iter();
        let due = due.filter(|one| !steps::is_let_in(&status, &one.host));
        let (reached, by_hand): (Vec<_>, Vec<_>) = due.partition(|one| one.via.is_some());
        let hands: Vec<HostId> = by_hand.iter().map(|one| one.host.clone()).collect();
        for entrance in &by_hand {
            // The steps before may have taken most of its time.
            self.hand_out(entrance, false).await?;
        }
        let patience = self.arguments.wait_hosts();
        let begun = Instant::now();
        let (reached, waited) = join(self.reach(&reached), self.enrolled(&hands, patience)).await;
        let mut trouble = waited?;
        let (mut said, mut lost) = (Vec::new(), BTreeMap::new());
        for (host, came) in reached {
            match came {
                Ok(()) => said.push(host),
                Err(Unsaid { why, may_come }) if may_come => {
                    self.voice.host(&host, &why);
                    lost.insert(host, why);
                }
                Err(Unsaid { why, .. }) => {
                    trouble.insert(host, (why, false));
                }
            }
        }
        trouble.extend(self.enrolled(&said, WORD).await?);
        // A bootstrap goes on when the way to its machine is lost.
        let awaited: Vec<HostId> = lost.keys().cloned().collect();
        let left = patience.saturating_sub(begun.elapsed()).max(WORD);
        for host in self.enrolled(&awaited, left).await?.into_keys() {
            let why = lost.remove(&host).unwrap_or_default();
            trouble.insert(host, (why, false));
        }
        self.voice.settle();
        for (host, (why, is_late)) in trouble {
            let why = format!("not let in: {why}");
            self.voice.host(&host, &why);
            let was_absent = true;
            let trouble = Trouble {
                why,
                is_late,
                was_absent,
            };
            self.trouble.insert(host, trouble);
        }
        let came: Vec<HostId> = self.sound(all.into_iter());
        for host in &came {
            self.came(host).await?;
        }
        Ok(came)
    }

    /// A machine became the host: nobody else shall by its token.
    async fn came(&mut self, id: &HostId) -> Result<(), Failure> {
        self.entered.insert(id.clone());
        match self.spec_of(id) {
            Some(host) => token::withdraw(&self.desk.client, host, self.voice).await,
            None => Ok(()),
        }
    }

    /// Looks at hosts in trouble once more: those that are right by now have none. While there is a step to
    /// come, one that came in meanwhile, or gets on again, is taken along by it.
    pub(super) async fn look_again(&mut self, a_step_is_to_come: bool) -> Result<(), Failure> {
        if self.trouble.is_empty() {
            return Ok(());
        }
        let status = self.status().await?;
        let mut well = Vec::new();
        for (host, trouble) in &self.trouble {
            let is_well = match steps::standing(&status, host) {
                Standing::Right => true,
                Standing::Underway(_) => {
                    a_step_is_to_come && (trouble.was_absent || !trouble.is_late)
                }
                Standing::Absent | Standing::Wrong(_) => false,
            };
            if is_well {
                well.push((host.clone(), trouble.was_absent));
            }
        }
        for (host, was_absent) in well {
            self.trouble.remove(&host);
            self.voice.host(&host, "is in trouble no more");
            if was_absent {
                self.came(&host).await?;
            }
        }
        self.voice.settle();
        Ok(())
    }

    /// Goes to several machines at once; none stops the others.
    async fn reach(&self, entrances: &[&Entrance]) -> Vec<(HostId, Result<(), Unsaid>)> {
        let come = entrances.iter().map(|entrance| async {
            let host = self.spec(entrance);
            let (Some(programs), Some(via)) = (&self.checked.programs, &entrance.via) else {
                unreachable!("who is reached by a command is brought programs")
            };
            self.voice.host(&host.id, "is being reached");
            let entering = Entering {
                client: &self.desk.client,
                programs,
                host,
                via,
                patience: self.arguments.wait_hosts(),
                voice: self.voice,
            };
            (host.id.clone(), entering.run().await)
        });
        stream::iter(come)
            .buffer_unordered(self.arguments.parallel())
            .collect()
            .await
    }

    /// Waits until the cluster says that these are let in; gives those that are not.
    async fn enrolled(
        &self,
        hosts: &[HostId],
        patience: Duration,
    ) -> Result<BTreeMap<HostId, (String, bool)>, Failure> {
        let deadline = Instant::now() + patience;
        let mut awaited: Vec<&HostId> = hosts.iter().collect();
        while !awaited.is_empty() {
            let status = self.status().await?;
            awaited.retain(|host| {
                let came = steps::is_let_in(&status, host);
                self.voice.host(
                    host,
                    if came {
                        "is let in"
                    } else {
                        "waits for its machine"
                    },
                );
                !came
            });
            if Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        let late = |host: &HostId| {
            let why = format!("no machine has come within {} s", patience.as_secs());
            (host.clone(), (why, true))
        };
        Ok(awaited.into_iter().map(late).collect())
    }

    /// Waits until these are what they shall be; gives those that are.
    pub(super) async fn converge(&mut self, hosts: Vec<HostId>) -> Result<Vec<HostId>, Failure> {
        let deadline = Instant::now() + self.arguments.wait_roles();
        let mut awaited = hosts.clone();
        let mut wrong: BTreeMap<HostId, Instant> = BTreeMap::new();
        while !awaited.is_empty() {
            let status = self.status().await?;
            let is_over = Instant::now() >= deadline;
            awaited.retain(|host| {
                let (line, ended) = self.judge(&status, host, &mut wrong, is_over);
                self.voice.host(host, &line);
                match ended {
                    Some(Ok(())) => false,
                    Some(Err(is_late)) => {
                        let trouble = Trouble {
                            why: line,
                            is_late,
                            was_absent: false,
                        };
                        self.trouble.insert(host.clone(), trouble);
                        false
                    }
                    None => true,
                }
            });
            if !awaited.is_empty() {
                tokio::time::sleep(LOOK).await;
            }
        }
        self.voice.settle();
        Ok(self.sound(hosts.into_iter()))
    }

    /// A line about a host, and how its wait has ended when it has: well, or in trouble and whether late.
    fn judge(
        &self,
        status: &StatusView,
        host: &HostId,
        wrong: &mut BTreeMap<HostId, Instant>,
        is_over: bool,
    ) -> (String, Option<Result<(), bool>>) {
        let late = is_over.then_some(Err(true));
        match steps::standing(status, host) {
            Standing::Right => ("is what it shall be".to_owned(), Some(Ok(()))),
            Standing::Absent => ("waits for its machine".to_owned(), late),
            Standing::Underway(line) => {
                wrong.remove(host);
                (line, late)
            }
            Standing::Wrong(line) => {
                let since = wrong.entry(host.clone()).or_insert_with(Instant::now);
                let given_up = since.elapsed() >= self.arguments.give_up() || is_over;
                (line, given_up.then_some(Err(false)))
            }
        }
    }

    /// How the fleet stands.
    pub(super) async fn status(&self) -> Result<StatusView, Failure> {
        let client = &self.desk.client;
        let ask = async || client.status(Consistency::Linearizable, None).await;
        Ok(patiently(self.voice, ask).await?)
    }

    /// What a host has been given.
    pub(super) async fn config(&self, host: &HostId) -> Result<RenderedConfig, Failure> {
        let ask = async || self.desk.client.config(host, false).await;
        Ok(patiently(self.voice, ask).await?)
    }

    /// How it ends: with trouble that is only late, or with any other.
    pub(super) fn exit(&self) -> Exit {
        let mut trouble = self.trouble.values();
        if self.trouble.is_empty() {
            Exit::Success
        } else if trouble.all(|one| one.is_late) {
            Exit::Converging
        } else {
            Exit::Degraded
        }
    }
}
