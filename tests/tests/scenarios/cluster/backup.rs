//! An older backup is restored, under a new epoch, and agents follow it.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use email_engine_tests::{Fleet, NodeProcess, samples, wait_for, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn an_older_backup_restored_under_a_new_epoch_and_agents_follow_it() {
    let mut fleet = Fleet::converged_with(1, 2).await;
    let backup = fleet.dir().join("backup");
    let bytes = fleet.download("/cluster/backup").await;
    fs::write(&backup, &bytes).unwrap();
    for needle in ["mail1.example.net", "PRIVATE KEY", "client-1"] {
        assert!(
            !contains(&bytes, needle.as_bytes()),
            "the backup shows {needle}"
        );
    }

    // What comes after the backup is lost with the cluster.
    fleet.api().post("/ips", &samples::identity(3)).await.ok();
    fleet.converged("a third identity came").await;
    let config = fleet.agents["pmta1"].file("/etc/pmta/config");
    assert!(
        fs::read_to_string(&config)
            .unwrap()
            .contains("mail3.example.net")
    );
    fleet.restore(&backup).await;
    assert_eq!(
        fleet.leader().await,
        2,
        "a restored node has a number of its own"
    );
    assert_eq!(fleet.api().get("/cluster").await.ok()["epoch"], 2);

    wait_until(
        "agents follow the older state under the new epoch",
        async || fs::read_to_string(&config).is_ok_and(|text| !text.contains("mail3.example.net")),
    )
    .await;
    let view = fleet
        .host_converged("pmta1", "the cluster was restored")
        .await;
    assert_eq!(view["running"]["epoch"], 2);
    assert!(
        fs::read_to_string(&config)
            .unwrap()
            .contains("mail2.example.net")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_made_while_writes_go_on_is_of_one_moment() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    fleet.start_agents(&["pmta1"]).await;
    fleet.converged("its first document was applied").await;

    let (written, over) = (Cell::new(0), Cell::new(false));
    let api = fleet.api();
    let writing = async {
        while !over.get() {
            let next = written.get() + 1;
            let tenant = samples::further_tenant(next);
            api.post("/tenants", &tenant).await.ok();
            if next.is_multiple_of(EACH) && identities(next) > identities(next - 1) {
                let identity = samples::identity(identities(next));
                wait_for("its key is made", async || {
                    let answer = api.post("/ips", &identity).await;
                    if answer.status == 504 {
                        Err(answer)
                    } else {
                        Ok(answer.ok())
                    }
                })
                .await;
            }
            written.set(next);
        }
    };
    let backing_up = async {
        let made = wait_for("one was made while something was written", async || {
            let before = written.get();
            let bytes = fleet.download("/cluster/backup").await;
            let after = written.get();
            if before >= EACH && after > before {
                Ok((before, bytes, after))
            } else {
                Err((before, after))
            }
        })
        .await;
        over.set(true);
        made
    };
    let ((), (before, bytes, after)) = tokio::join!(writing, backing_up);
    let last = written.get();
    let backup = fleet.dir().join("backup");
    fs::write(&backup, &bytes).unwrap();
    fleet.restore(&backup).await;

    // What is there is a beginning of what was written, with nothing left out.
    let api = fleet.api();
    let mut there = 0;
    for number in 1..=last {
        let path = format!("/tenants/further-{number}");
        if api.get(&path).await.status == 200 {
            there += 1;
            assert_eq!(there, number, "one that was written before it is missing");
        }
    }
    assert!(
        (before..=after + 1).contains(&there),
        "{there}, of at least {before} and at most {after} and one more"
    );
    // The last one's identity may have come a moment later.
    let view = fleet
        .host_converged("pmta1", "the cluster was restored")
        .await;
    let config = fs::read_to_string(fleet.agents["pmta1"].file("/etc/pmta/config")).unwrap();
    let has = |number: usize| config.contains(&format!("mail{number}.example.net"));
    assert_eq!(view["running"]["epoch"], 2);
    assert!(has(identities(there - 1)), "{there}");
    assert!(!has(identities(there) + 1), "{there}");
}

/// After so many tenants comes an identity, a few times.
const EACH: usize = 5;

/// How many identities there are when so many tenants and what belongs to them were written.
fn identities(tenants: usize) -> usize {
    1 + (tenants / EACH).min(3)
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_need_a_new_token_are_named_by_restore_and_come_back_with_one() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    fleet.start_agents(&["pmta1"]).await;
    fleet.converged("it is in the backup").await;
    let backup = fleet.dir().join("backup");
    fs::write(&backup, fleet.download("/cluster/backup").await).unwrap();
    // The second agent is let in after the backup; nobody comes for the third host.
    fleet.start_agents(&["api1"]).await;
    fleet.converged("both are let in").await;

    let said = fleet.restore(&backup).await;
    let heading = "Hosts that need a new join token, if an agent enrolled for them after that:";
    let mut lines = said.lines().skip_while(|line| *line != heading).skip(1);
    assert_eq!(lines.next(), Some("  api1, mailwizz1"), "{said}");
    assert!(
        said.contains("delete `identity` in its data folder"),
        "{said}"
    );
    let log = fleet.agents["api1"].log();
    wait_until("the unknown agent is told what it needs", async || {
        let said = "declare the host and give it a new join token";
        fs::read_to_string(&log).is_ok_and(|log| log.contains(said))
    })
    .await;
    assert_eq!(fleet.host("api1").await["lifecycle"], "declared");

    let token = fleet.host_token("api1", "api").await;
    let agent = fleet.agents.get_mut("api1").unwrap();
    agent.kill();
    fs::remove_dir_all(agent.data_dir().join("identity")).unwrap();
    agent.start(Some(&token));
    fleet
        .converged("one followed, and the other has a new token")
        .await;
    let view = fleet.host("api1").await;
    assert_eq!(view["running"]["epoch"], 2, "{view}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_with_a_changed_byte_or_another_key_is_refused() {
    let fleet = Fleet::single().await;
    let good = fleet.download("/cluster/backup").await;
    let mut changed = good.clone();
    let at = changed.len() / 2;
    changed[at] ^= 1;
    let folder = fleet.dir().join("restoring");
    fs::create_dir(&folder).unwrap();
    let key = fleet.recovery_key().to_owned();
    let other = Fleet::single().await;
    let other = other.recovery_key().to_owned();

    let target = NodeProcess::new(&fleet.dir().join("nodes/restored"));
    let before = tree(&target.data_dir());
    let run = |bytes: &[u8], key: &str| {
        let (backup, key_file) = (folder.join("backup"), folder.join("key"));
        fs::write(&backup, bytes).unwrap();
        fs::write(&key_file, key).unwrap();
        let mut restore = target.command("restore");
        restore.arg("--from").arg(&backup);
        restore.arg("--recovery-key-file").arg(&key_file);
        let ended = restore.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        (ended.status.success(), said)
    };
    let half = &good[..good.len() / 2];
    for (bytes, key, why) in [
        (&good[..], &other, "another recovery key, or it was changed"),
        (
            &changed[..],
            &key,
            "another recovery key, or it was changed",
        ),
        (half, &key, "ends in the middle"),
        (&[][..], &key, "not a backup of Email-Engine"),
    ] {
        let (restored, said) = run(bytes, key);
        assert!(!restored && said.contains(why), "{said}");
        assert_eq!(tree(&target.data_dir()), before, "it left something behind");
    }
    let (restored, said) = run(&good, &key);
    assert!(restored, "the same folder takes the right one: {said}");
}

/// What is in a folder; nothing when there is none.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}
