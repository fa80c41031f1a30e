//! A machine whose host was retired is nobody's, whatever is started on it, and becomes another host by one run;
//! a host that lost its identity becomes itself again.

use email_engine_tests::lab::{Guest, ground};
use email_engine_tests::mail::alone;
use email_engine_tests::{wait_for, wait_until};
use serde_json::{Value, json};

use super::super::agent::{EXECUTOR, NETWORK};
use super::host::{COORDINATOR, cluster};
use super::{TOKEN, bootstrap, bring, changes, files, give, said};

const FIRST: &str = "api1";
const SECOND: &str = "api2";
const ADDRESSES: [&str; 2] = ["192.0.2.30", "192.0.2.31"];
const RUN: [&str; 5] = ["agent", "--join-file", TOKEN, "--json", "--no-converge"];

#[test]
fn a_retired_machine_is_nobodys_when_it_is_rebooted_and_is_joined_anew_by_one_run() {
    let Some(base) = ground() else { return };
    alone(&[COORDINATOR], async move {
        let fleet = cluster().await;
        let guest = Guest::boot(FIRST, &base, &ADDRESSES, COORDINATOR).await;
        bring(&guest, &["email-engine-bootstrap", "email-engine-agent"]);
        give(&guest, &fleet.host_token(FIRST, "api").await);
        let joined = bootstrap(&guest, &RUN);
        assert_eq!(joined.status.code(), Some(0), "{}", said(&joined));
        fleet.api().delete(&format!("/hosts/{FIRST}")).await.ok();
        wait_for("the host is retired", async || {
            let view = fleet.host(FIRST).await;
            let retired = view["lifecycle"] == "retired";
            retired.then_some(()).ok_or(view)
        })
        .await;
        both_have_ended(&guest, "its host was retired").await;

        guest.reboot().await;
        both_have_ended(&guest, "its host was retired before the reboot").await;
        let status = status(&guest);
        assert_eq!(status["retired"], true, "{status}");
        assert_eq!(status["tombstone"]["host"], FIRST, "{status}");
        let log = guest.run(&["journalctl", "--unit", EXECUTOR, "--output=cat", "-b"]);
        assert!(
            log.contains(&format!("this machine was host {FIRST}")),
            "{log}"
        );

        // Without a token there is nothing to join by, and a look changes nothing.
        let before = files(&guest);
        let refused = bootstrap(&guest, &["agent", "--json"]);
        assert_eq!(refused.status.code(), Some(5), "{}", said(&refused));
        let next = json!({
            "id": SECOND, "role": "api", "tenant": "client-1", "addresses": [ADDRESSES[1]],
        });
        fleet.apply(&json!({ "hosts": [next] })).await;
        give(&guest, &fleet.host_token(SECOND, "api").await);
        let looked = bootstrap(&guest, &["agent", "--join-file", TOKEN, "--check"]);
        assert_eq!(looked.status.code(), Some(0), "{}", said(&looked));
        assert_eq!(changes(&before, &files(&guest)), Vec::<String>::new());

        let joined = bootstrap(&guest, &RUN);
        assert_eq!(joined.status.code(), Some(0), "{}", said(&joined));
        let status = self::status(&guest);
        assert_eq!(status["enrolled"]["host"], SECOND, "{status}");
        assert!(status["tombstone"].is_null(), "{status}");
        wait_for("the host is connected", async || {
            let view = fleet.host(SECOND).await;
            let connected = !view["connected"].is_null();
            connected.then_some(()).ok_or(view)
        })
        .await;
        let again = bootstrap(&guest, &RUN);
        assert!(said(&again).contains("\"changed\":0"), "{}", said(&again));
    });
}

#[test]
fn a_host_whose_network_half_lost_its_identity_is_brought_back_by_one_run() {
    let Some(base) = ground() else { return };
    alone(&[COORDINATOR], async move {
        let fleet = cluster().await;
        let guest = Guest::boot(FIRST, &base, &ADDRESSES, COORDINATOR).await;
        bring(&guest, &["email-engine-bootstrap", "email-engine-agent"]);
        give(&guest, &fleet.host_token(FIRST, "api").await);
        let joined = bootstrap(&guest, &RUN);
        assert_eq!(joined.status.code(), Some(0), "{}", said(&joined));

        guest.run(&["systemctl", "stop", NETWORK]);
        let data = "/var/lib/email-engine-agent";
        guest.run(&["rm", &format!("{data}/identity/identity")]);
        // As on a host that was let in before anybody was told of its token.
        guest.run(&["rm", &format!("{data}/executor/expected")]);
        guest.run(&["systemctl", "start", NETWORK]);
        let status = status(&guest);
        assert_eq!(status["identity_lost"], true, "{status}");

        // Without a token it is told what is missing, and not waited for.
        let told = bootstrap(&guest, &["agent", "--json", "--no-converge"]);
        assert_eq!(told.status.code(), Some(0), "{}", said(&told));
        assert!(said(&told).contains("--replace"), "{}", said(&told));

        let admission = json!({ "host": { "host": FIRST, "role": "api" } });
        give(&guest, &fleet.token(&admission, true).await);
        let joined = bootstrap(&guest, &RUN);
        assert_eq!(joined.status.code(), Some(0), "{}", said(&joined));
        assert!(!guest.file("/etc/email-engine/join-token").exists());
        let status = self::status(&guest);
        assert_eq!(status["identity_lost"], false, "{status}");
        assert_eq!(status["enrolled"]["host"], FIRST, "{status}");
        wait_for("the host is connected", async || {
            let view = fleet.host(FIRST).await;
            let connected = !view["connected"].is_null();
            connected.then_some(()).ok_or(view)
        })
        .await;
        let again = bootstrap(&guest, &RUN);
        assert!(said(&again).contains("\"changed\":0"), "{}", said(&again));
    });
}

/// Both units ended with the code after which nobody starts them again.
async fn both_have_ended(guest: &Guest, why: &str) {
    for unit in [NETWORK, EXECUTOR] {
        let what = format!("{unit} has ended, because {why}");
        wait_until(&what, async || {
            let show = [
                "systemctl",
                "show",
                "--property=ActiveState,ExecMainStatus",
                unit,
            ];
            let shown = guest.run(&show);
            shown.contains("ActiveState=failed") && shown.contains("ExecMainStatus=5")
        })
        .await;
    }
}

fn status(guest: &Guest) -> Value {
    let said = guest.run(&["/usr/local/bin/email-engine-agent", "status"]);
    serde_json::from_str(&said).unwrap()
}
