//! The resolver that is shipped for a node (unbound, by `deploy/unbound`) asks lists as a node needs it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use email_engine_tests::zones::free_port;
use email_engine_tests::{Fleet, Operator, samples, wait_for, wait_until};
use tempfile::TempDir;

use super::server::Lists;
use super::{ONE, QUICK, TWO, is_healthy, listing};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/unbound");
/// Where the first one's configuration lies on a node.
const INSTALLED: &str = "/etc/unbound/unbound.conf.d/email-engine.conf";

/// A resolver with what is shipped, which knows the servers of lists by heart and is on a port of its own.
struct Resolver {
    _folder: TempDir,
    address: String,
    child: Child,
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Resolver {
    /// None where the program is not there.
    fn start(shipped: &str, host: &str, lists: &Lists) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = free_port(&[host]);
        let own = fs::read_to_string(Path::new(SHIPPED).join(shipped)).unwrap();
        let own = own.replace(INSTALLED, &format!("{SHIPPED}/email-engine.conf"));
        let server = lists.address().replace(':', "@");
        // The second one's own says where it listens; the first one's listens where the package's does.
        let listen = match own.contains("\n    interface:") {
            true => String::new(),
            false => format!("    interface: {host}\n"),
        };
        let stubs = Lists::origins()
            .map(|origin| format!("stub-zone:\n    name: \"{origin}\"\n    stub-addr: {server}\n"));
        let text = format!(
            "{own}\nserver:\n{listen}    port: {port}\n    username: \"\"\n    chroot: \"\"\n    \
             directory: \"{}\"\n    pidfile: \"\"\n    use-syslog: no\n    do-daemonize: no\n    \
             do-not-query-localhost: no\n    module-config: \"iterator\"\nremote-control:\n    control-enable: no\n{}",
            folder.path().display(),
            stubs.collect::<String>(),
        );
        let config = folder.path().join("unbound.conf");
        fs::write(&config, text).unwrap();
        let mut command = Command::new("unbound");
        command.arg("-d").arg("-c").arg(&config);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(child) = child else {
            eprintln!("SKIPPED: unbound is not there");
            return None;
        };
        Some(Self {
            _folder: folder,
            address: format!("{host}:{port}"),
            child,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_asks_lists_through_the_resolvers_that_are_shipped() {
    let Some(lists) = Lists::serve().await else {
        return;
    };
    // Before anybody asks: what was clean once is remembered for a while.
    lists.name("spamhaus-zen", &[ONE]);
    let first = Resolver::start("email-engine.conf", "127.0.0.1", &lists);
    let second = Resolver::start("second.conf", "127.0.0.2", &lists);
    let (Some(first), Some(second)) = (first, second) else {
        return;
    };
    let own = [
        ("DNSBL_RESOLVER", &*first.address),
        ("DNSBL_SECOND_RESOLVER", &*second.address),
        ("DNSBL_REGISTERED", "barracuda"),
    ];
    let fleet = Fleet::configured(1, &[&QUICK[..], &own].concat()).await;
    fleet.apply(&samples::fleet(2)).await;
    let operator = Operator::of(&fleet);
    for list in ["spamhaus-zen", "barracuda", "psbl", "spamhaus-dbl"] {
        is_healthy(&operator, list).await;
    }
    let row = wait_for("both saw it", async || {
        let row = listing(&operator, ONE, "spamhaus-zen");
        row.filter(|row| row["confirmed_at"].is_string()).ok_or(())
    })
    .await;
    assert_eq!(row["observers"].as_array().unwrap().len(), 2, "{row}");
    assert!(row["reason"].to_string().contains("sent spam"), "{row}");
    wait_until("who is on no list is clean", async || {
        let metrics = fleet.api().metrics().await;
        let clean = format!("{} 0", super::status(TWO, "spamhaus-zen"));
        metrics.lines().any(|line| line == clean)
    })
    .await;
}
