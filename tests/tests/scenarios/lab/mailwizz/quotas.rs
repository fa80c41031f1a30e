//! The application counts what its servers send, in days as the fleet has them, or it is said that it does not.

use email_engine_tests::lab::Guest;
use email_engine_tests::{Fleet, wait_for};

use super::{HOST, ROOT, sql};
use crate::lab::agent;

/// A day of the application ends when one of the fleet does, wherever somebody has its clock.
pub(super) async fn count_by_utc(guest: &Guest) {
    let now = "SELECT @@time_zone, TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW())";
    assert_eq!(sql(guest, now).unwrap(), "+00:00\t0");
    assert_eq!(guest.run(&["date", "+%z"]).trim(), "+0000");
    let elsewhere = "/usr/share/zoneinfo/America/New_York";
    guest.run(&["ln", "-sf", elsewhere, "/etc/localtime"]);
    wait_for("its clock is everybody's again", async || {
        let link = guest.run(&["readlink", "/etc/localtime"]);
        match link.trim() {
            "/usr/share/zoneinfo/Etc/UTC" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await;
}

/// Flags of the application's own that turn off counting or quotas are told and hold the warm-up; other flags are
/// nobody's business, and what is listed would still go out.
pub(super) async fn are_kept_or_that_is_said(fleet: &Fleet, guest: &Guest) {
    let file = format!("{ROOT}/apps/common/config/performance-levels-custom.php");
    let set = |flags: &str| {
        let text = format!("<?php define('MW_PERF_LVL', {flags});");
        agent::put(guest, &file, text.as_bytes(), 0o644);
    };
    let held = async |wanted: bool, why: &str| {
        wait_for(why, async || {
            let told = fleet.api().get("/warmup").await.ok().to_string();
            match told.contains("MailWizz on mailwizz1 keeps no quotas") == wanted {
                true => Ok(()),
                false => Err(told),
            }
        })
        .await;
    };
    held(false, "quotas are kept").await;
    set("MW_PERF_LVL_DISABLE_DS_LOG_USAGE | MW_PERF_LVL_DISABLE_SUBSCRIBER_BLACKLIST_CHECK");
    let words = "sets MW_PERF_LVL_DISABLE_DS_LOG_USAGE: no quota of a delivery server is kept";
    fleet.host_says(HOST, words).await;
    held(true, "what is sent is not counted").await;
    sql(guest, "UPDATE mw_delivery_server SET status = 'hidden'").unwrap();
    wait_for("servers are as they shall be nevertheless", async || {
        let hidden = "SELECT COUNT(*) FROM mw_delivery_server WHERE status = 'hidden'";
        match sql(guest, hidden).as_deref() {
            Ok("0") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    // What ends the program is no word on quotas: it is told, and what was known stays.
    agent::put(
        guest,
        &file,
        b"<?php defined('MW_STRANGE') or exit('No direct script access allowed');",
        0o644,
    );
    fleet
        .host_says(HOST, "whether quotas are kept is not known")
        .await;
    held(true, "nothing else was seen").await;
    set("8");
    let words = "sets MW_PERF_LVL_DISABLE_DS_QUOTA_CHECK: no quota of a delivery server is kept";
    fleet.host_says(HOST, words).await;
    set("MW_PERF_LVL_DISABLE_SUBSCRIBER_BLACKLIST_CHECK");
    held(false, "only another flag is set").await;
    fleet.host_converged(HOST, "quotas are kept again").await;
    std::fs::remove_file(guest.file(&file)).unwrap();
}
