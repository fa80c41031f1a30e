//! What an agent does with the product itself: a real agent on a machine of its own, with the programs of
//! the product, files that are real and commands that run.

mod meanwhile;
mod power_cut;
mod quarantine;
mod refused;
mod restart;
mod retirement;
mod rotation;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use email_engine_tests::mail::{Letter, MailFleet, RECIPIENT, Verdict};
use email_engine_tests::wait_for;
use serde_json::Value;

const HOST: &str = "pmta1";

/// Files, by their places.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Every file that the product is configured by.
fn live(mail: &MailFleet) -> Files {
    let mut found = BTreeMap::new();
    collect(&mail.root().join("etc/pmta"), &mut found);
    found
}

fn collect(folder: &Path, found: &mut Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
}

/// Virtual MTAs that the product runs with.
fn vmtas(mail: &MailFleet) -> BTreeSet<String> {
    let data = mail.powermta.json(&["show", "vmtas"]);
    let all = data["vmta"].as_array().unwrap().iter();
    all.map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Whether the product runs with a virtual MTA: of one that it does not know it says no settings.
fn knows(mail: &MailFleet, vmta: &str) -> bool {
    let queue = format!("rcpt.example/{vmta}");
    let output = mail.powermta.pmta(&["show", "settings", &queue]);
    output.status.success()
}

/// The text of a file that the cluster plans for the host.
async fn planned(mail: &MailFleet, path: &str) -> String {
    let config = mail.fleet.api().get(&format!("/hosts/{HOST}/config")).await;
    let config = config.ok();
    let mut files = config["files"].as_array().unwrap().iter();
    let file = files.find(|file| file["path"] == path).unwrap();
    file["text"].as_str().unwrap().to_owned()
}

/// Waits until the host says this of a content that it does not bring into force.
async fn said(mail: &MailFleet, words: &str) -> Value {
    wait_for(&format!("{HOST} says: {words}"), async || {
        let view = mail.fleet.api().try_get(&format!("/hosts/{HOST}")).await?;
        let view = view.body;
        let at_target = view["running"] == view["target"];
        if at_target && view["trouble"].to_string().contains(words) {
            Ok(view)
        } else {
            Err(view.to_string())
        }
    })
    .await
}

/// Has an identity send one message, which arrives with nothing to object to.
async fn sends(mail: &MailFleet, vmta: &str, id: &str) {
    let before = mail.readers.mails().len();
    let application = mail.mailwizz1();
    let letter = Letter { to: RECIPIENT, id };
    let answer = application.send(&application.server(vmta), &letter).await;
    assert!(answer.starts_with("250 "), "{answer}");
    let arrived = mail.readers.mails_when(before + 1).await.pop().unwrap();
    let verdict = Verdict::of(&arrived).await;
    assert!(verdict.is_clean(&arrived.helo), "{verdict:?}");
}
