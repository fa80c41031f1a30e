//! A file by which a fresh machine makes itself a host at its first boot (cloud-init's `#cloud-config`).

use std::fmt;
use std::str::FromStr;

use email_engine_protocol::bytes::ContentHash;
use reqwest::Url;
use serde::Serialize;

/// Nobody may run anything below `/run`, and a reboot in between takes nothing away here.
const FOLDER: &str = "/var/lib/email-engine-join";

/// Where a machine gets the programs: an HTTPS address that a shell takes as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source(Url);

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let accepted = "an address that begins with https://, such as \
                        https://files.example.com/email-engine.tar.gz";
        let url = Url::parse(text).map_err(|error| format!("{error}; accepted is {accepted}"))?;
        // Quotes are what ends a quoted word; the rest of a URL has neither blanks nor line ends.
        if url.scheme() != "https" || url.as_str().contains('\'') {
            return Err(format!("accepted is {accepted}, without quotes"));
        }
        Ok(Self(url))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[derive(Serialize)]
struct Document<'a> {
    packages: [&'static str; 2],
    write_files: [WrittenFile<'a>; 2],
    runcmd: [[&'a str; 2]; 1],
}

#[derive(Serialize)]
struct WrittenFile<'a> {
    path: String,
    permissions: &'static str,
    content: &'a str,
}

/// The whole file. Its token is that of one machine.
pub(super) fn document(token: &str, source: &Source, sha256: ContentHash) -> String {
    let begin = format!(
        "#!/bin/sh\n\
         # Makes this machine a host of Email-Engine; removes itself and the join token when it is one.\n\
         set -eu\n\
         cd {FOLDER}\n\
         chmod 0700 .\n\
         curl --fail --silent --show-error --location --proto '=https' --tlsv1.2 \\\n    \
             --retry 10 --retry-delay 5 --retry-connrefused --max-time 900 \\\n    \
             --output programs.tar.gz '{source}'\n\
         echo '{sha256}  programs.tar.gz' | sha256sum --check --strict --quiet\n\
         tar --extract --gzip --no-same-owner --file programs.tar.gz\n\
         program=$(find . -name email-engine-bootstrap -type f | head -n 1)\n\
         \"$program\" agent --join-file token\n\
         cd /\n\
         rm -rf {FOLDER}\n"
    );
    let path = |name: &str| format!("{FOLDER}/{name}");
    let script = path("begin");
    let document = Document {
        packages: ["ca-certificates", "curl"],
        write_files: [
            WrittenFile {
                path: path("token"),
                permissions: "0600",
                content: token,
            },
            WrittenFile {
                path: script.clone(),
                permissions: "0700",
                content: &begin,
            },
        ],
        runcmd: [["/bin/sh", &script]],
    };
    let yaml = serde_norway::to_string(&document).expect("texts are YAML");
    format!("#cloud-config\n{}", yaml.trim_end())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use serde_json::Value;

    use super::*;

    fn parsed() -> Value {
        let source: Source = "https://files.example.com/a.tar.gz?key=1&x=2"
            .parse()
            .unwrap();
        let text = document("eejoin1-secret", &source, ContentHash::of(b"programs"));
        assert!(text.starts_with("#cloud-config\n"), "{text}");
        serde_norway::from_str(&text).unwrap()
    }

    #[test]
    fn the_token_lies_where_root_alone_reads_it_and_on_no_command_line() {
        let parsed = parsed();
        let token = &parsed["write_files"][0];
        assert_eq!(token["content"], "eejoin1-secret");
        assert_eq!(token["permissions"], "0600");
        assert!(!parsed["runcmd"].to_string().contains("eejoin1"));
        let script = parsed["write_files"][1]["content"].as_str().unwrap();
        assert!(!script.contains("eejoin1"), "{script}");
    }

    #[test]
    fn nothing_is_run_that_has_another_hash_and_a_shell_reads_the_script() {
        let parsed = parsed();
        let script = parsed["write_files"][1]["content"].as_str().unwrap();
        let check = format!("{}  programs.tar.gz", ContentHash::of(b"programs"));
        let place = |what: &str| script.find(what).unwrap();
        assert!(place(&check) < place("tar --extract"), "{script}");
        assert!(script.contains("set -eu\n"), "a failed line ends it");
        let mut shell = Command::new("/bin/sh")
            .arg("-n")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = shell.stdin.take().unwrap();
        input.write_all(script.as_bytes()).unwrap();
        drop(input);
        assert!(shell.wait().unwrap().success(), "{script}");
    }

    #[test]
    fn programs_come_over_https_alone() {
        for bad in [
            "http://files.example.com/a",
            "files.example.com/a",
            "https://files.example.com/a'b",
            "file:///etc/passwd",
        ] {
            let refused = bad.parse::<Source>().unwrap_err();
            assert!(refused.contains("https://"), "{refused}");
        }
    }
}
