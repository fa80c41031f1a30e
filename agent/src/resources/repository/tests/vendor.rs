//! Somebody who keeps packages: a folder that is served over HTTP on the loopback, and keys that sign it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Serves a folder until the process ends; says where.
pub(super) fn serve(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever asks may go away meanwhile.
            let _ = answer(&stream, &folder);
        }
    });
    format!("http://localhost:{port}")
}

/// One question and its answer.
fn answer(mut stream: &TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let found = fs::read(folder.join(path.trim_start_matches('/')));
    let (status, body) = match found {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&body)
}

/// A key of one's own, in a folder of its own.
pub(super) struct Signer {
    pub(super) home: PathBuf,
}

impl Signer {
    pub(super) fn new(home: PathBuf, name: &str) -> Self {
        fs::create_dir_all(&home).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&home, private).unwrap();
        let signer = Self { home };
        let user = format!("{name} <{name}@example.com>");
        signer.gpg(&["--quick-gen-key", &user, "rsa2048", "sign", "never"]);
        signer
    }

    pub(super) fn gpg(&self, words: &[&str]) -> Output {
        let done = Command::new("/usr/bin/gpg")
            .args(["--batch", "--quiet", "--yes", "--passphrase", ""])
            .args(["--pinentry-mode", "loopback", "--homedir"])
            .arg(&self.home)
            .args(words)
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        done
    }

    /// Its public half, as a role names it.
    pub(super) fn key(&self) -> String {
        String::from_utf8(self.gpg(&["--armor", "--export"]).stdout).unwrap()
    }

    /// The last digits of its fingerprint, by which tools name it.
    pub(super) fn number(&self) -> String {
        let listed = self.gpg(&["--list-keys", "--with-colons"]).stdout;
        let listed = String::from_utf8(listed).unwrap();
        let line = listed.lines().find(|line| line.starts_with("pub:"));
        line.unwrap().split(':').nth(4).unwrap().to_owned()
    }
}

impl Drop for Signer {
    /// Its agent would stay.
    fn drop(&mut self) {
        let _ = Command::new("/usr/bin/gpgconf")
            .arg("--homedir")
            .arg(&self.home)
            .args(["--kill", "all"])
            .status();
    }
}

/// Runs a program that has to succeed.
pub(super) fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {done:?}");
}

/// Whether all of these are there, and whether this process may give a program mounts of its own; says
/// loudly what is not.
pub(super) fn is_possible(programs: &[&str]) -> bool {
    for program in programs {
        if !Path::new(program).exists() {
            eprintln!("NOT RUN: {program} is not installed");
            return false;
        }
    }
    let own = Command::new("/usr/bin/unshare")
        .args(["--mount", "true"])
        .status();
    let may = own.is_ok_and(|status| status.success());
    if !may {
        eprintln!("NOT RUN: mounts of one's own need root");
    }
    may
}
