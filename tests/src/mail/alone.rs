//! A test in a network of its own.
//!
//! The test starts its own program again, for itself alone, behind `unshare`: in there it may have any
//! address and any port, hears nobody else, and all that it started ends with it. Without root the
//! same holds where user namespaces are allowed.

use std::process::Command;

/// Set where a test already runs in its own network.
const INSIDE: &str = "EMAIL_ENGINE_TESTS_ALONE";

/// Arguments: addresses in one word, then what to run.
const SCRIPT: &str = r#"
set -e
ip link set lo up
for address in $1; do ip address add "$address/32" dev lo; done
shift
exec "$@"
"#;

/// Runs a scenario where these addresses, and nobody else's, are on the loopback. To be called by a
/// test function itself, with its own `async` block: by the block's name the test is found again.
///
/// # Panics
/// When the scenario fails, or no network can be made.
pub fn alone<F: Future<Output = ()>>(addresses: &[&str], scenario: F) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(scenario);
    }
    drop(scenario);
    let name = test_name(std::any::type_name::<F>());
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let output = unshare
        .args(["sh", "-c", SCRIPT, "sh", &addresses.join(" ")])
        .arg(std::env::current_exe().unwrap())
        .args([
            &name,
            "--exact",
            "--include-ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(INSIDE, "1")
        .output()
        .unwrap_or_else(|error| panic!("`unshare` of util-linux does not start: {error}"));
    let (out, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    // A name that finds no test passes as well.
    let passed = output.status.success() && out.contains("test result: ok. 1 passed");
    assert!(
        passed,
        "{name} failed in a network of its own (it needs root, or user namespaces, and `ip` of \
         iproute2): {}\n{out}\n{errors}",
        output.status
    );
}

/// `scenarios::mail::leaving::a_test::{{closure}}` is an `async` block of the test
/// `mail::leaving::a_test`.
fn test_name(block: &str) -> String {
    let path = block.trim_end_matches("::{{closure}}");
    let (_, name) = path.split_once("::").unwrap();
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_found_by_its_block() {
        fn name_of<F>(_: F) -> &'static str {
            std::any::type_name::<F>()
        }
        assert_eq!(
            test_name(name_of(async {})),
            "mail::alone::tests::a_test_is_found_by_its_block"
        );
    }

    #[test]
    fn what_runs_alone_has_its_addresses_and_no_others() {
        alone(&["192.0.2.7"], async {
            let bind = |at: &'static str| std::net::TcpListener::bind((at, 25));
            assert!(bind("192.0.2.7").is_ok());
            assert!(bind("192.0.2.8").is_err());
        });
    }
}
