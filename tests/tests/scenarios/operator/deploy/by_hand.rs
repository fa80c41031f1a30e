//! Without a command that reaches machines, people take the tokens there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use email_engine_tests::{AgentProcess, Daemon, samples, wait_until};

use super::{deploy, ground};

/// The token of a host, once it is there as a whole.
async fn token(folder: &Path, host: &str) -> (PathBuf, String) {
    let path = folder.join(format!("log/tokens/{host}.token"));
    let is_whole = async || fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'));
    wait_until(&format!("the token of {host} is there"), is_whole).await;
    let text = fs::read_to_string(&path).unwrap();
    (path, text.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_wait_in_private_files_for_people_and_outlive_an_interruption() {
    let (mut fleet, operator, _machines) = ground(1).await;
    // However quiet it is: without the commands nobody could go on.
    let run = deploy(&["--without", "mailwizz", "--yes", "--quiet"]);
    let result = operator.folder().join("log/result.json");
    fs::create_dir_all(operator.folder().join("log")).unwrap();
    fs::write(&result, "that of an earlier run").unwrap();
    let said = operator.folder().join("said");
    let start = || Daemon::start("deploy", operator.command(&run), &said);
    let mut daemon = start();
    let (path, first) = token(operator.folder(), "mailwizz1").await;
    assert!(first.starts_with("eejoin2."));
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let command = "ssh root@192.0.2.10 email-engine-bootstrap agent --join-file - < log/tokens/mailwizz1.token";
    wait_until("the command is shown", async || {
        fs::read_to_string(&said).unwrap().contains(command)
    })
    .await;
    wait_until("it waits", async || {
        let text = fs::read_to_string(operator.folder().join("log/run.log")).unwrap();
        text.contains("host mailwizz1: waits for its machine")
    })
    .await;
    assert_eq!(daemon.interrupt().code(), Some(130));
    assert!(!result.exists(), "an interrupted run has no result");

    // One is spoilt meanwhile; the other is as good as before.
    fs::write(operator.folder().join("log/tokens/pmta1.token"), "spoilt\n").unwrap();
    let mut daemon = start();
    wait_until("it waits again", async || {
        let text = fs::read_to_string(&said).unwrap();
        text.matches(command).count() == 2
    })
    .await;
    assert_eq!(token(operator.folder(), "mailwizz1").await.1, first);
    assert!(
        token(operator.folder(), "pmta1")
            .await
            .1
            .starts_with("eejoin2.")
    );
    for host in samples::HOSTS {
        let (_, token) = token(operator.folder(), host).await;
        let mut agent = AgentProcess::new(host, &fleet.host_dir(host));
        agent.start(Some(&token));
        fleet.agents.insert(host.to_owned(), agent);
    }
    let ended = daemon.wait_exit("its machines came");
    assert_eq!(ended.code(), Some(0), "{}", daemon.log_tail());
    assert!(result.exists());
    let left = fs::read_dir(operator.folder().join("log/tokens")).unwrap();
    assert_eq!(left.count(), 0, "they were redeemed");
    fleet.converged("people took the tokens there").await;
}
