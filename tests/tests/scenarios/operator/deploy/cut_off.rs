//! A run that is cut off, wherever, is simply started again.

use std::fs;

use email_engine_tests::{Daemon, Operator, samples, wait_until};
use serde_json::Value;

use super::{Machines, deploy, ground};

/// What a run says of itself when it is ended, and how.
const CUTS: [(&str, bool); 6] = [
    ("step 1 of 10", false),
    ("step 2 of 10", false),
    ("copying email-engine-agent", false),
    ("waiting  to be let in", true),
    ("step 4 of 10", false),
    ("step 8 of 10", true),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cut_off_anywhere_goes_on_with_what_is_left() {
    let (fleet, operator, machines) = ground(1).await;
    let run = deploy(&[&Machines::VIA[..], &["--without", "mailwizz", "--yes"]].concat());
    for (words, gently) in CUTS {
        cut_off(&operator, &run, words, gently).await;
    }
    let ended = operator.run(&run);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    for host in samples::HOSTS {
        fleet.host_converged(host, "the last run went on").await;
        let bootstraps = machines.commands(host);
        let started = bootstraps.matches("email-engine-bootstrap agent").count();
        assert!(started >= 1, "{bootstraps}");
    }
    // Nobody else could come in by what the runs have left.
    let tokens: Value = operator.answer(&["token", "list"]);
    let redeemed = tokens.as_array().unwrap().iter();
    let redeemed = redeemed
        .filter(|token| token["state"] == "redeemed")
        .count();
    assert_eq!(redeemed, 3, "{tokens}");
    let mut states = tokens.as_array().unwrap().iter();
    assert!(!states.any(|token| token["state"] == "open"), "{tokens}");
    let left = fs::read_dir(operator.folder().join("log/tokens")).unwrap();
    assert_eq!(left.count(), 0, "token files");
    let said = operator.prints(0, &run);
    assert!(said.contains("Nothing was changed"), "{said}");
}

/// Ends a run as soon as its log has these words, unless it has ended well before.
async fn cut_off(operator: &Operator, run: &[&str], words: &str, gently: bool) {
    let log = operator.folder().join("log/run.log");
    let _ = fs::remove_file(&log);
    let mut daemon = Daemon::start(
        "deploy",
        operator.command(run),
        &operator.folder().join("said"),
    );
    let mut ended = false;
    wait_until(&format!("the run says {words}"), async || {
        ended = !daemon.is_running();
        ended || fs::read_to_string(&log).is_ok_and(|text| text.contains(words))
    })
    .await;
    if ended {
        // What these words are about was done by an earlier run.
        assert_eq!(
            daemon.wait_exit("it did").code(),
            Some(0),
            "{}",
            daemon.log_tail()
        );
    } else if gently {
        let code = daemon.interrupt().code();
        assert!(
            matches!(code, Some(0 | 130)),
            "{code:?}: {}",
            daemon.log_tail()
        );
    } else {
        daemon.kill();
    }
}
