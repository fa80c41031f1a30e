//! The operator's command line against a real cluster: every command, its answer and its exit code.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use email_engine_tests::{Fleet, binary, samples, wait_for};
use serde_json::Value;

/// An operator at a terminal-less desk.
struct Operator {
    folder: PathBuf,
    context: PathBuf,
}

impl Operator {
    fn of(fleet: &Fleet) -> Self {
        let folder = fleet.dir().join("operator");
        std::fs::create_dir(&folder).unwrap();
        let context = folder.join("admin.toml");
        write_context(&context, fleet, fleet.admin_key());
        Self { folder, context }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("email-engine"));
        command
            .env("EMAIL_ENGINE_CONTEXT", &self.context)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .args(arguments);
        command.output().unwrap()
    }

    /// The text of a command that ends with this exit code.
    #[track_caller]
    fn says(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).unwrap()
    }

    /// The JSON of a command that ends well.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--output", "json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn file(&self, name: &str, document: &Value) -> String {
        let path = self.folder.join(name);
        std::fs::write(&path, toml::to_string(document).unwrap()).unwrap();
        path.display().to_string()
    }
}

fn write_context(path: &Path, fleet: &Fleet, key: &str) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    write!(
        file,
        "cluster = \"{}\"\napi_key = \"{key}\"\nca_pem = '''\n{}'''\n",
        "01".repeat(16),
        fleet.ca_pem()
    )
    .unwrap();
    for node in fleet.nodes.values() {
        write!(file, "[[endpoints]]\nurl = \"{}\"\n", node.url()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_file_is_planned_applied_and_looked_at() {
    let mut fleet = Fleet::single().await;
    let operator = Operator::of(&fleet);
    let file = operator.file("fleet.toml", &samples::fleet(2));

    let plan = operator.says(2, &["plan", "-f", &file]);
    assert!(plan.contains("Would change: 6 to create"), "{plan}");
    let dry = operator.says(0, &["apply", "-f", &file, "--dry-run"]);
    assert!(dry.contains("Would change: 6 to create"), "{dry}");
    let applied = operator.says(0, &["apply", "-f", &file, "--reason", "the first fleet"]);
    assert!(applied.contains("Applied: 6 created"), "{applied}");
    let again = operator.says(0, &["plan", "-f", &file]);
    assert!(again.contains("Nothing to change"), "{again}");

    fleet.start_agents(&samples::HOSTS).await;
    fleet.converged("the file's hosts are right").await;
    let status = operator.says(0, &["status"]);
    assert!(status.contains("Fleet: converged"), "{status}");
    let facts = wait_for(
        "the host's agent has told what its machine is",
        async || {
            let host = operator.json(&["hosts", "show", "pmta1"]);
            let known = host["facts"]["cpus"].as_u64().is_some_and(|cpus| cpus > 0);
            known
                .then(|| host["facts"].clone())
                .ok_or_else(|| host.to_string())
        },
    )
    .await;
    assert!(
        facts["kernel"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{facts}"
    );
    let shown = operator.says(0, &["hosts", "show", "pmta1"]);
    assert!(
        shown.contains("Machine ") && shown.contains(" CPUs"),
        "{shown}"
    );

    for (arguments, what) in [
        (&["hosts"][..], "mailwizz1"),
        (&["tenants"], "client-1"),
        (&["tenants", "show", "client-1"], "Client One"),
        (&["ips", "list"], "198.51.100.2"),
        (&["ips", "show", "198.51.100.1"], "mail1.example.net"),
        (&["domains"], "mail2.example.net"),
        (&["settings"], "management-port"),
        (&["audit"], "the first fleet"),
        (&["cluster", "status"], "voter"),
        (&["hosts", "--output", "yaml"], "id: pmta1"),
    ] {
        let shown = operator.says(0, arguments);
        assert!(shown.contains(what), "{arguments:?}: {shown}");
    }
    let rendered = operator.says(0, &["config", "render", "--host", "pmta1"]);
    assert!(rendered.contains("<virtual-mta "), "{rendered}");
    assert!(!rendered.contains("PRIVATE KEY"), "{rendered}");

    let added = [
        "--domain",
        "mail3.example.net",
        "--tenant",
        "client-1",
        "--host",
        "pmta1",
    ];
    let added = [&["ips", "add", "198.51.100.3"], &added[..]].concat();
    operator.says(0, &added);
    assert_eq!(operator.json(&["ips", "list"]).as_array().unwrap().len(), 3);
    let kept = operator.says(0, &["apply", "-f", &file]);
    assert!(kept.contains("Nothing to change"), "{kept}");
    let asked = operator.says(1, &["apply", "-f", &file, "--prune"]);
    assert!(asked.contains("will remove ip 198.51.100.3"), "{asked}");
    assert!(asked.contains("nothing was changed"), "{asked}");
    operator.says(0, &["apply", "-f", &file, "--prune", "--yes"]);
    assert_eq!(operator.json(&["ips", "list"]).as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_keys_and_backups_are_made_shown_and_revoked() {
    let fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(0)).await;
    let operator = Operator::of(&fleet);

    let token = operator.json(&["token", "create", "--host", "pmta1", "--ttl", "10m"]);
    let id = token["id"].as_str().unwrap();
    let listed = operator.says(0, &["token", "list"]);
    assert!(
        listed.contains("host pmta1 (powermta)"),
        "its role is the declared one: {listed}"
    );
    assert!(
        !listed.contains(token["token"].as_str().unwrap()),
        "{listed}"
    );
    operator.says(0, &["token", "revoke", id]);
    assert!(operator.says(0, &["token", "list"]).contains("revoked"));

    let key = operator.says(
        0,
        &["keys", "create", "second", "--role", "admin", "--quiet"],
    );
    let second = operator.folder.join("second.toml");
    write_context(&second, &fleet, key.trim());
    let second = second.display().to_string();
    operator.says(1, &["keys", "revoke", "second"]);
    assert!(
        operator
            .says(0, &["--context", &second, "keys", "list"])
            .contains("second")
    );
    operator.says(0, &["keys", "revoke", "second", "--yes"]);
    // More calls than an address has guesses: each says the same at once.
    for _ in 0..25 {
        let refused = operator.says(1, &["--context", &second, "tenants"]);
        let expected = format!("the key in {second} is not accepted (revoked?)");
        assert!(refused.contains(&expected), "{refused}");
    }
    operator.says(0, &["tenants"]);

    operator.says(0, &["cluster", "backup", "fleet.backup"]);
    let backup = std::fs::metadata(operator.folder.join("fleet.backup")).unwrap();
    assert!(backup.len() > 0);
    let refused = operator.says(1, &["cluster", "remove", "1", "--yes"]);
    assert!(refused.contains("error: "), "{refused}");
    let refused = operator.says(1, &["cluster", "promote", "9"]);
    assert!(refused.contains("error: "), "{refused}");
    operator.says(0, &["hosts", "retire", "api1", "--yes"]);
    assert!(operator.says(0, &["hosts"]).contains("retired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_on_a_host_is_said_by_name_and_reason() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    fleet.start_agents(&["pmta1"]).await;
    fleet
        .host_converged("pmta1", "it shall go wrong next")
        .await;
    let operator = Operator::of(&fleet);
    let path = "etc/pmta/config";
    let file = fleet.agents["pmta1"].file(path);
    // Somebody undoes every repair, until the agent makes the next one only later.
    let spoil = || std::fs::write(&file, "# not what was declared\n").unwrap();
    let named = format!("file:/{path}");
    wait_for("the host's trouble is in its view", async || {
        spoil();
        let host = operator.json(&["hosts", "show", "pmta1"]);
        let trouble = host["trouble"].to_string();
        trouble
            .contains(&named)
            .then_some(())
            .ok_or_else(|| host.to_string())
    })
    .await;
    let status = wait_for("status gives the reason", async || {
        spoil();
        let status = operator.run(&["status"]);
        let text = String::from_utf8(status.stdout).unwrap();
        text.contains(&format!("pmta1: {named} "))
            .then(|| text.clone())
            .ok_or(text)
    })
    .await;
    assert!(!status.contains(" 0 failed"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_prometheus_text() {
    let fleet = Fleet::single().await;
    let operator = fleet.api();
    let (kind, text) = operator.text("/metrics").await;
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    for name in ["email_engine_raft_term", "email_engine_api_latency_seconds"] {
        let has = |line: &str| line.starts_with(name);
        assert!(text.lines().any(has), "{name}: {text}");
        let kind = format!("# TYPE {name} ");
        assert!(text.contains(&kind), "{kind}: {text}");
    }
}
