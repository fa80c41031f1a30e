//! One run on a bare machine, as an operator starts it.

mod anew;
mod host;
mod node;

use std::collections::BTreeMap;
use std::fs;
use std::process::Output;

use email_engine_tests::lab::Guest;

use super::agent::{put, put_program};

const FOLDER: &str = "/opt/email-engine";
const TOKEN: &str = "/opt/email-engine/token";

/// Everything on disk but what the machine itself writes while it runs, and the bundle: kind, mode,
/// owner and content.
const LOOK: &str = r"
set -eu
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp \
    -o -path /opt/email-engine -o -path /var/log -o -path /var/tmp -o -path /var/lib/systemd \
    -o -path /var/cache -o -path /root \) -prune -o -print0 |
    xargs -0 stat --format '%n|%F %a %U:%G' | sed 's/regular empty file/regular file/'
find /etc /usr/local /var/lib /opt -xdev -type f -not -path '/opt/email-engine/*' \
    -not -path '/var/lib/systemd/*' -print0 | xargs -0 sha256sum | sed 's/^\([0-9a-f]*\)  \(.*\)/\2#|\1/'
";

/// What managing users and services leaves behind on any machine: copies of the user files as they
/// were before, and their lock.
const OF_THE_SYSTEM: [&str; 6] = [
    "/etc/.pwd.lock",
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/passwd-",
    "/etc/shadow-",
    "/etc/subuid-",
];

/// Puts programs beside each other, as a download does.
fn bring(guest: &Guest, programs: &[&str]) {
    fs::create_dir_all(guest.file(FOLDER)).unwrap();
    for program in programs {
        put_program(guest, FOLDER, program);
    }
}

fn give(guest: &Guest, token: &str) {
    put(guest, TOKEN, token.as_bytes(), 0o600);
}

fn bootstrap(guest: &Guest, words: &[&str]) -> Output {
    let program = format!("{FOLDER}/email-engine-bootstrap");
    guest
        .try_run(&[&[program.as_str()], words].concat())
        .unwrap()
}

fn said(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    format!("{out}{}", String::from_utf8_lossy(&output.stderr))
}

/// Paths with what they are, and contents under the path with a `#`.
pub(super) fn files(guest: &Guest) -> BTreeMap<String, String> {
    let listed = guest.run(&["sh", "-c", LOOK]);
    assert!(listed.contains("/etc/passwd#|") && listed.contains("/usr/local/bin|directory"));
    let lines = listed.lines().filter_map(|line| line.rsplit_once('|'));
    lines
        .map(|(path, what)| (path.to_owned(), what.to_owned()))
        .filter(|(path, _)| !OF_THE_SYSTEM.contains(&path.trim_end_matches('#')))
        .collect()
}

/// What differs, each with how it is.
pub(super) fn changes(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<String> {
    let gone = before.keys().filter(|path| !after.contains_key(*path));
    let gone = gone.map(|path| format!("{path} is gone"));
    let other = after
        .iter()
        .filter(|(path, what)| before.get(*path) != Some(what))
        .map(|(path, what)| format!("{path} is {what}"));
    gone.chain(other).collect()
}
