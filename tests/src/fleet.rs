//! A whole cluster with its hosts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{AgentProcess, Api, DKIM_STOCK, NodeProcess, wait_for, wait_until};

/// A cluster of real nodes and the agents of its hosts, in a folder that goes with it.
#[derive(Debug)]
pub struct Fleet {
    /// Nodes by number.
    pub nodes: BTreeMap<u64, NodeProcess>,
    /// Agents by host.
    pub agents: BTreeMap<String, AgentProcess>,
    founded: u64,
    ca_pem: String,
    admin_key: String,
    recovery_key: String,
    settings: Vec<(String, String)>,
    // Last, because fields are dropped in order: processes that end show the end of their logs.
    dir: TempDir,
}

impl Fleet {
    /// A cluster of one node.
    pub async fn single() -> Self {
        Self::of(1).await
    }

    /// A cluster of three voters.
    pub async fn three() -> Self {
        Self::of(3).await
    }

    /// A cluster of `count` voters.
    pub async fn of(count: u64) -> Self {
        Self::configured(count, &[]).await
    }

    /// A cluster of `count` voters, all with these configuration values, such as `MIN_FREE_BYTES`.
    pub async fn configured(count: u64, settings: &[(&str, &str)]) -> Self {
        Self::found(count, settings, |_, _| {}).await
    }

    /// A cluster of `count` voters, each of which is prepared before its first start.
    pub async fn prepared(count: u64, prepare: impl FnMut(u64, &mut NodeProcess)) -> Self {
        Self::found(count, &[], prepare).await
    }

    async fn found(
        count: u64,
        settings: &[(&str, &str)],
        mut prepare: impl FnMut(u64, &mut NodeProcess),
    ) -> Self {
        let dir = TempDir::new().unwrap();
        let mut first = NodeProcess::new(&dir.path().join("nodes/1"));
        for (key, value) in settings {
            first.set(key, value);
        }
        prepare(1, &mut first);
        let mut init = first.command("init");
        init.args(["--output", "json"]);
        let founded: Value = serde_json::from_slice(&first.run(init)).unwrap();
        let text = |name: &str| founded[name].as_str().unwrap().to_owned();
        first.start().await;
        let mut fleet = Self {
            ca_pem: text("ca_pem"),
            admin_key: text("admin_key"),
            recovery_key: text("recovery_key"),
            settings: settings
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            dir,
            nodes: BTreeMap::from([(1, first)]),
            founded: 1,
            agents: BTreeMap::new(),
        };
        fleet.leader().await;
        for _ in 1..count {
            let number = fleet.join_node(&mut prepare).await;
            fleet.promote(number).await;
        }
        fleet
    }

    /// Adds a node as a learner and gives its number.
    pub async fn add_node(&mut self) -> u64 {
        self.join_node(|_, _| {}).await
    }

    async fn join_node(&mut self, prepare: impl FnOnce(u64, &mut NodeProcess)) -> u64 {
        self.founded += 1;
        let token = self.token(&json!("node"), false).await;
        let mut node = self.node_at(&format!("nodes/{}", self.founded));
        prepare(self.founded, &mut node);
        let mut join = node.command("join");
        join.env("EMAIL_ENGINE_JOIN_TOKEN", token);
        node.run(join);
        node.start().await;
        let endpoint = node.raft_endpoint().to_owned();
        let number = wait_for("the cluster knows the node that joined", async || {
            let cluster = self.api().try_get("/cluster").await?.body;
            let nodes = cluster["nodes"].as_array().cloned().unwrap_or_default();
            let own = nodes.iter().find(|view| view["raft_endpoint"] == *endpoint);
            own.and_then(|view| view["id"].as_u64())
                .ok_or_else(|| cluster.to_string())
        })
        .await;
        self.nodes.insert(number, node);
        number
    }

    /// A further node with the settings of the others; nothing is started.
    #[must_use]
    pub fn node_at(&self, folder: &str) -> NodeProcess {
        let mut node = NodeProcess::new(&self.dir.path().join(folder));
        for (key, value) in &self.settings {
            node.set(key, value);
        }
        node
    }

    /// Gives a learner its vote.
    pub async fn promote(&self, number: u64) {
        let path = format!("/cluster/nodes/{number}/promote");
        wait_for("a learner has caught up and is promoted", async || {
            let answer = self.api().post(&path, &json!({})).await;
            if answer.status < 300 {
                Ok(())
            } else {
                Err(answer)
            }
        })
        .await;
    }

    /// Folder of everything.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The recovery key that was printed when the cluster was founded.
    #[must_use]
    pub fn recovery_key(&self) -> &str {
        &self.recovery_key
    }

    /// The first admin key.
    #[must_use]
    pub fn admin_key(&self) -> &str {
        &self.admin_key
    }

    /// The CA that the API's certificates chain to.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A client of whichever node answers.
    #[must_use]
    pub fn api(&self) -> Api {
        let urls = self.nodes.values().map(NodeProcess::url).collect();
        Api::new(&self.ca_pem, urls, Some(&self.admin_key))
    }

    /// A client of one node.
    #[must_use]
    pub fn api_of(&self, node: u64) -> Api {
        Api::new(
            &self.ca_pem,
            vec![self.nodes[&node].url()],
            Some(&self.admin_key),
        )
    }

    /// Number of the leader, as the nodes that run say.
    pub async fn leader(&mut self) -> u64 {
        let running: Vec<u64> = self
            .nodes
            .iter_mut()
            .filter_map(|(number, node)| node.is_running().then_some(*number))
            .collect();
        wait_for(
            "the nodes that run agree on a leader among them",
            async || {
                for number in &running {
                    let answer = self
                        .api_of(*number)
                        .try_get("/cluster?consistency=stale")
                        .await?;
                    let leader = answer.body["leader"]
                        .as_u64()
                        .filter(|leader| running.contains(leader));
                    if let Some(leader) = leader {
                        return Ok(leader);
                    }
                }
                Err("no leader yet".to_owned())
            },
        )
        .await
    }

    /// Applies a fleet document and gives the answer's body.
    pub async fn apply(&self, document: &Value) -> Value {
        self.apply_at("/fleet", document).await
    }

    /// Applies a fleet document and removes what it does not name.
    pub async fn apply_pruning(&self, document: &Value) -> Value {
        self.apply_at("/fleet?prune=true", document).await
    }

    /// On a busy machine the keys of new identities may take longer than the API waits; it says to
    /// repeat the change then.
    async fn apply_at(&self, path: &str, document: &Value) -> Value {
        let answer = wait_for("the keys of new identities are made", async || {
            let answer = self.api().post(path, document).await;
            if answer.status == 504 {
                Err(answer)
            } else {
                Ok(answer)
            }
        })
        .await;
        answer.ok()
    }

    /// Ends all nodes and begins a new life of the cluster from a backup, at the address of node 1, as
    /// node 2. Gives what `restore` printed.
    pub async fn restore(&mut self, backup: &Path) -> String {
        let endpoints = self.nodes[&1].endpoints().clone();
        self.nodes.clear();
        let mut restored = self.node_at("nodes/restored");
        restored.take_over(endpoints);
        let key_file = self.dir().join("recovery-key");
        std::fs::write(&key_file, self.recovery_key()).unwrap();
        let mut restore = restored.command("restore");
        restore.arg("--from").arg(backup);
        restore.arg("--recovery-key-file").arg(&key_file);
        let said = String::from_utf8(restored.run(restore)).unwrap();
        restored.start().await;
        self.nodes.insert(2, restored);
        self.leader().await;
        said
    }

    /// Bytes of a download, such as a backup.
    pub async fn download(&self, path: &str) -> Vec<u8> {
        self.api().download(path).await
    }

    /// A new join token.
    pub async fn token(&self, admission: &Value, replace: bool) -> String {
        let request = json!({ "admission": admission, "ttl_seconds": 3600, "replace": replace });
        let created = self.api().post("/tokens", &request).await.ok();
        created["token"].as_str().unwrap().to_owned()
    }

    /// A new join token that ends after so many seconds.
    pub async fn short_token(&self, admission: &Value, seconds: u64) -> String {
        let request = json!({ "admission": admission, "ttl_seconds": seconds });
        let created = self.api().post("/tokens", &request).await.ok();
        created["token"].as_str().unwrap().to_owned()
    }

    /// A new join token for a host.
    pub async fn host_token(&self, host: &str, role: &str) -> String {
        self.token(&json!({ "host": { "host": host, "role": role } }), false)
            .await
    }

    /// Lets the agents of these hosts in and starts them.
    pub async fn start_agents(&mut self, hosts: &[&str]) {
        self.start_prepared_agents(hosts, |_, _| {}).await;
    }

    /// As [`start_agents`](Self::start_agents), with each agent prepared before its first start.
    pub async fn start_prepared_agents(
        &mut self,
        hosts: &[&str],
        mut prepare: impl FnMut(&str, &mut AgentProcess),
    ) {
        for host in hosts {
            let role = self.api().get(&format!("/hosts/{host}")).await.ok()["role"].clone();
            let token = self.host_token(host, role.as_str().unwrap()).await;
            let mut agent = AgentProcess::new(host, &self.host_dir(host));
            prepare(host, &mut agent);
            agent.start(Some(&token));
            self.agents.insert((*host).to_owned(), agent);
        }
    }

    /// Folder of a host.
    #[must_use]
    pub fn host_dir(&self, host: &str) -> PathBuf {
        self.dir.path().join("hosts").join(host)
    }

    /// One host as the cluster sees it.
    pub async fn host(&self, host: &str) -> Value {
        self.api().get(&format!("/hosts/{host}")).await.ok()
    }

    /// Applies a document that changes what a host shall be, and waits until it is planned: until then
    /// the host would count as converged.
    pub async fn apply_for(&self, host: &str, document: &Value, prune: bool) {
        let before = self.host(host).await["target"].clone();
        if prune {
            self.apply_pruning(document).await;
        } else {
            self.apply(document).await;
        }
        wait_for("the host has another target", async || {
            let target = self.host(host).await["target"].clone();
            if target == before {
                Err(target)
            } else {
                Ok(())
            }
        })
        .await;
    }

    /// Waits until every host that has an agent runs its newest target.
    pub async fn converged(&self, why: &str) {
        for host in self.agents.keys() {
            self.host_converged(host, why).await;
        }
        // Certificates of hosts that take mail come when those who submit trust who issues them.
        let awaited: Vec<_> = self
            .agents
            .iter()
            .filter(|(_, agent)| takes_mail(agent))
            .collect();
        if awaited.is_empty() {
            return;
        }
        for (host, agent) in awaited {
            let what = format!("{host} has a certificate, because {why}");
            wait_until(&what, async || has_certificate(agent)).await;
        }
        for host in self.agents.keys() {
            self.host_converged(host, why).await;
        }
    }

    /// Waits until as many DKIM keys are made ahead as its nodes keep.
    pub async fn stock_is_full(&self) {
        wait_for("the stock of DKIM keys is full", async || {
            let held = self.api().metric("email_engine_prepared_keys").await;
            (held >= DKIM_STOCK as f64).then_some(()).ok_or(held)
        })
        .await;
    }

    /// Waits until those who submit are to trust the authority for submission: the last that the cluster
    /// does by itself for a fleet without agents.
    pub async fn vouched_for(&self, submitters: &[&str]) {
        for host in submitters {
            let path = format!("/hosts/{host}/config");
            wait_until(&format!("{host} shall trust the authority"), async || {
                let config = self.api().get(&path).await.body.to_string();
                config.contains("ca-certificates/email-engine-submission.crt")
            })
            .await;
        }
    }

    /// A small fleet that has converged: one tenant, three hosts, `identities` identities.
    pub async fn converged_with(nodes: u64, identities: usize) -> Self {
        let mut fleet = Self::of(nodes).await;
        fleet.apply(&crate::samples::fleet(identities)).await;
        fleet.start_agents(&crate::samples::HOSTS).await;
        fleet.converged("its first document was applied").await;
        fleet
    }
}

fn configuration(agent: &AgentProcess) -> String {
    let text = std::fs::read_to_string(agent.file("/etc/pmta/config"));
    text.unwrap_or_default()
}

fn takes_mail(agent: &AgentProcess) -> bool {
    configuration(agent).contains(":2525")
}

fn has_certificate(agent: &AgentProcess) -> bool {
    configuration(agent).contains("tls-certificate ")
}

/// Whether a host, as the cluster sees it, runs its newest target. What the facts are is known only
/// once the agent that is connected has reported.
#[must_use]
pub fn has_converged(view: &Value) -> bool {
    let at_target = !view["target"].is_null() && view["target"] == view["running"];
    at_target && view["convergence"] == "converged" && view["facts"].is_object()
}
