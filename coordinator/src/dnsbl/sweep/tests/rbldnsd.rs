//! A real server of lists: `rbldnsd`, which many of them run. Without its program these say so and end.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{addresses, errands, is_listed, lists, manner};
use crate::dnsbl::query::{Door, Subject};
use crate::dnsbl::registry::Registry;
use crate::dnsbl::sweep::{Errand, drive};
use crate::dnsbl::verdict::Verdict;

struct Server {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves zones, each `origin:kind` with its text, once it answers; none without the program.
fn serve(zones: &[(&str, &str, &str)]) -> Option<Server> {
    let folder = tempfile::tempdir().unwrap();
    // The program gives its rights up before it reads.
    set_readable(folder.path());
    let port = {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    };
    let mut command = Command::new("rbldnsd");
    command.args(["-n", "-b", &format!("127.0.0.1/{port}"), "-q"]);
    command.arg("-r").arg(folder.path());
    if rustix::process::geteuid().is_root() {
        command.args(["-u", "nobody:nogroup"]);
    }
    for (at, (origin, kind, text)) in zones.iter().enumerate() {
        let name = format!("zone{at}");
        std::fs::write(folder.path().join(&name), text).unwrap();
        command.arg(format!("{origin}:{kind}:{name}"));
    }
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = match child {
        Ok(child) => child,
        Err(error) => {
            eprintln!("rbldnsd is not there ({error}): not tried against a real server");
            return None;
        }
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let server = Server {
        child,
        address,
        _folder: folder,
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while !answers(address) {
        assert!(
            Instant::now() < deadline,
            "rbldnsd does not answer on {address}"
        );
    }
    Some(server)
}

fn set_readable(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Whether anything comes back for a question about nothing.
fn answers(address: SocketAddr) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let question = [0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];
    socket.send_to(&question, address).is_ok() && socket.recv(&mut [0; 512]).is_ok()
}

#[tokio::test]
async fn addresses_on_a_real_list_are_found_with_their_words_and_no_others() {
    let subjects = addresses(3_000);
    let mut zone = ":127.0.0.2:sent spam, see https://example.org/?$\n127.0.0.2\n".to_owned();
    for subject in subjects.iter().filter(|subject| is_listed(subject)) {
        zone.push_str(&format!("{subject}\n"));
    }
    zone.push_str("198.18.0.1 :127.0.0.10:dynamic\n");
    let Some(server) = serve(&[("one.test.example", "ip4set", &zone)]) else {
        return;
    };
    let registry = lists(&[("one", 64, None)]);
    let findings = drive(
        &registry,
        errands(&registry, &subjects),
        server.address,
        manner(),
    )
    .await;
    let findings = findings.unwrap().remove(0);
    assert!(findings.health().is_healthy(), "{:?}", findings.health());
    for found in &findings.found {
        let policy = found.subject.to_string() == "198.18.0.1";
        match &found.verdict {
            Verdict::Listed(listed) if policy => assert_eq!(listed.meaning, "dynamic"),
            Verdict::Listed(_) => {
                assert!(is_listed(&found.subject), "{}", found.subject);
                let words = format!("sent spam, see https://example.org/?{}", found.subject);
                assert_eq!(found.reason.as_deref(), Some(&*words));
            }
            Verdict::Clean => assert!(!is_listed(&found.subject) && !policy, "{}", found.subject),
            Verdict::Unknown(why) => panic!("{}: {why}", found.subject),
        }
    }
}

#[tokio::test]
async fn ipv6_addresses_and_domains_are_found_on_real_lists() {
    let v6 = ":127.0.0.2:bad\n127.0.0.2\n";
    let trie = ":127.0.0.2:bad\n2001:db8:7::/48\n";
    let names = ":127.0.1.2:low reputation\ndbltest.com\nbad.example.net\n";
    let zones = [
        ("one.test.example", "ip4set", v6),
        ("one.test.example", "ip6trie", trie),
        ("dbl.spamhaus.org", "dnset", names),
    ];
    let Some(server) = serve(&zones) else {
        return;
    };
    let registry = lists(&[("one", 64, None)]);
    let subjects =
        ["2001:db8:7::25", "2001:db8:8::25"].map(|one| Subject::Address(one.parse().unwrap()));
    let findings = drive(
        &registry,
        errands(&registry, &subjects),
        server.address,
        manner(),
    )
    .await;
    let found = findings.unwrap().remove(0).found;
    assert!(
        matches!(found[0].verdict, Verdict::Listed(_)),
        "{:?}",
        found[0]
    );
    assert_eq!(found[1].verdict, Verdict::Clean);

    let built_in = Registry::built_in();
    let dbl = built_in
        .zones()
        .find(|zone| zone.id.as_str() == "spamhaus-dbl")
        .unwrap();
    let names = ["bad.example.net", "good.example.net"].map(|one| Subject::Name(one.to_owned()));
    let errand = Errand::new(Door::open(dbl, None, false).unwrap(), names);
    let findings = drive(built_in, vec![errand], server.address, manner()).await;
    let found = findings.unwrap().remove(0).found;
    assert!(
        matches!(found[0].verdict, Verdict::Listed(_)),
        "{:?}",
        found[0]
    );
    assert_eq!(found[1].verdict, Verdict::Clean);
}
