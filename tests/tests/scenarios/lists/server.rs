//! A real server of lists (`rbldnsd`), which stands for a node's resolver: it answers for all lists that
//! are asked without a key.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use email_engine_tests::wait_until;
use tempfile::TempDir;

/// Lists of addresses, by what they are called here and in DNS.
pub(super) const LISTS: [(&str, &str); 7] = [
    ("spamhaus-zen", "zen.spamhaus.org"),
    ("barracuda", "b.barracudacentral.org"),
    ("spamcop", "bl.spamcop.net"),
    ("psbl", "psbl.surriel.com"),
    ("mailspike", "bl.mailspike.net"),
    ("uceprotect-1", "dnsbl-1.uceprotect.net"),
    ("dronebl", "dnsbl.dronebl.org"),
];

/// Lists of names, each with its test point and what that is answered.
const NAMES: [(&str, &str, &str); 3] = [
    ("dbl.spamhaus.org", "dbltest.com", "127.0.1.2"),
    (
        "multi.surbl.org",
        "surbl-org-permanent-test-point.com",
        "127.0.0.254",
    ),
    ("multi.uribl.com", "test.uribl.com", "127.0.0.14"),
];

pub(crate) struct Lists {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl Drop for Lists {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Lists {
    /// Starts one that lists nobody but test points; none where the program is not there.
    pub(crate) async fn serve() -> Option<Self> {
        // Somebody else may take the port between its choice and its use.
        for _ in 0..5 {
            let Some(mut lists) = Self::begin() else {
                eprintln!("rbldnsd is not there: nothing was tried");
                return None;
            };
            let mut ended = false;
            wait_until("the server of lists answers, or has ended", async || {
                ended = lists.child.try_wait().unwrap().is_some();
                ended || lists.answers()
            })
            .await;
            if !ended {
                return Some(lists);
            }
        }
        panic!("rbldnsd ends at once");
    }

    fn begin() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        // The program gives its rights up before it reads.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (list, _) in LISTS {
            write(&folder, list, &[]);
        }
        for (origin, point, answer) in NAMES {
            let text = format!(":{answer}:test\n{point}\n");
            fs::write(folder.path().join(origin), text).unwrap();
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        drop(socket);
        let child = Self::command(folder.path(), port).spawn().ok()?;
        Some(Self {
            folder,
            port,
            child,
        })
    }

    fn command(folder: &Path, port: u16) -> Command {
        let mut command = Command::new("rbldnsd");
        command.args(["-n", "-q", "-c", "1", "-b", &format!("127.0.0.1/{port}")]);
        command.arg("-r").arg(folder);
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "nobody:nogroup"]);
        }
        for (list, origin) in LISTS {
            command.arg(format!("{origin}:ip4set:{list}"));
            // The same list behind a key.
            if list == "spamhaus-zen" {
                command.arg(format!("{KEY}.zen.dq.spamhaus.net:ip4set:{list}"));
            }
        }
        for (origin, ..) in NAMES {
            command.arg(format!("{origin}:dnset:{origin}"));
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Zones that it serves.
    pub(super) fn origins() -> impl Iterator<Item = &'static str> {
        let names = NAMES.iter().map(|(origin, ..)| *origin);
        LISTS.iter().map(|(_, origin)| *origin).chain(names)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From now on a list names these, and nobody else.
    pub(crate) fn name(&self, list: &str, addresses: &[&str]) {
        write(&self.folder, list, addresses);
    }

    /// From now on a list of names names this one.
    pub(super) fn name_domain(&self, origin: &str, domain: &str) {
        let known = NAMES.iter().find(|(of, ..)| *of == origin);
        let (_, point, answer) = known.expect("a list of names");
        let text = format!(":{answer}:test\n{point}\n{domain}\n");
        replace(&self.folder, origin, &text);
    }

    /// The same, and answers about them with this; its test point is answered as ever.
    pub(super) fn name_as(&self, list: &str, answer: &str, addresses: &[&str]) {
        let own = addresses
            .iter()
            .map(|address| format!("{address} :{answer}:so it is\n"));
        let own: String = own.collect();
        let text = format!(":127.0.0.2:sent spam\n127.0.0.2\n{own}");
        replace(&self.folder, list, &text);
    }

    /// From now on a list answers everything with this.
    pub(super) fn lists_the_world(&self, list: &str, answer: &str) {
        let text = format!(":{answer}:everybody\n0.0.0.0/0\n");
        replace(&self.folder, list, &text);
    }

    pub(super) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn answers(&self) -> bool {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let question = [0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];
        socket.send_to(&question, self.address()).is_ok() && socket.recv(&mut [0; 512]).is_ok()
    }
}

/// A key that nobody may see.
pub(super) const KEY: &str = "s3cretk3yofspamhaus42";

fn write(folder: &TempDir, list: &str, addresses: &[&str]) {
    let text = format!(
        ":127.0.0.2:sent spam, see https://example.org/{list}\n127.0.0.2\n{}\n",
        addresses.join("\n")
    );
    replace(folder, list, &text);
}

/// At once, so that half a file is never served.
fn replace(folder: &TempDir, list: &str, text: &str) {
    let fresh = folder.path().join("fresh");
    fs::write(&fresh, text).unwrap();
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o644)).unwrap();
    fs::rename(fresh, folder.path().join(list)).unwrap();
}
