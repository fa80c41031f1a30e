//! What a server of this machine says first.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::reach::Reach;
use super::system::SystemError;

/// Longest first line that is read.
const LINE_BYTES: u64 = 512;

/// Exit code of the program that asks for us, when the address is not this machine's.
const STRANGER: u8 = 3;
/// What starting that program may take beside the time that the answer has.
const START: Duration = Duration::from_secs(5);

/// Asks by a program of our own that may reach more addresses than this process.
///
/// # Errors
/// As [`first_line`], and when it cannot be run.
pub(super) fn asked_outside(address: SocketAddr, timeout: Duration) -> Result<String, SystemError> {
    let start = |error: std::io::Error| SystemError::Start {
        program: "email-engine-agent".to_owned(),
        reason: error.to_string(),
    };
    let program = std::env::current_exe().map_err(start)?;
    let (asked, millis) = (address.to_string(), timeout.as_millis().to_string());
    let arguments = ["greeting", asked.as_str(), millis.as_str()];
    let program = program.display().to_string();
    let ended = Reach::Outside.run(&program, &arguments, timeout + START)?;
    let said = ended.output.trim_end().to_owned();
    match ended.code {
        0 => Ok(said),
        STRANGER => Err(SystemError::Stranger {
            address,
            reason: said,
        }),
        _ => Err(SystemError::Greeting {
            address,
            reason: said,
        }),
    }
}

/// What that program does: prints the line, or why there is none. Gives its exit code.
#[must_use]
pub fn answer(address: SocketAddr, timeout: Duration) -> u8 {
    let (said, code) = match first_line(address, timeout) {
        Ok(line) => (line, 0),
        Err(SystemError::Stranger { reason, .. }) => (reason, STRANGER),
        Err(SystemError::Greeting { reason, .. }) => (reason, 1),
        Err(error) => (error.to_string(), 1),
    };
    println!("{said}");
    code
}

/// Connects and reads one line, without its end.
///
/// # Errors
/// Why there is none, in words.
pub(super) fn first_line(address: SocketAddr, timeout: Duration) -> Result<String, SystemError> {
    // Only an address of this machine can be listened at; a state must not make us connect elsewhere.
    TcpListener::bind((address.ip(), 0)).map_err(|error| SystemError::Stranger {
        address,
        reason: error.to_string(),
    })?;
    let silent = |reason: String| SystemError::Greeting { address, reason };
    let said = |error: std::io::Error| silent(error.to_string());
    let stream = TcpStream::connect_timeout(&address, timeout).map_err(said)?;
    stream.set_read_timeout(Some(timeout)).map_err(said)?;
    let mut line = Vec::new();
    BufReader::new(stream.take(LINE_BYTES))
        .read_until(b'\n', &mut line)
        .map_err(said)?;
    if line.is_empty() {
        return Err(silent("it closed without a word".to_owned()));
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn the_first_line_comes_back_and_silence_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for words in ["220 mail.example.com ESMTP\r\nmore", "", "no end of line"] {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(words.as_bytes()).unwrap();
            }
        });
        assert_eq!(
            first_line(address, LONG).unwrap(),
            "220 mail.example.com ESMTP"
        );
        assert!(
            first_line(address, LONG)
                .unwrap_err()
                .to_string()
                .contains("without a word")
        );
        assert_eq!(first_line(address, LONG).unwrap(), "no end of line");
        server.join().unwrap();
        assert!(
            first_line(address, LONG).is_err(),
            "nobody listens any more"
        );
    }

    #[test]
    fn no_other_machine_is_ever_connected_to() {
        let elsewhere = "192.0.2.1:2525".parse().unwrap();
        let error = first_line(elsewhere, LONG).unwrap_err();
        assert!(matches!(error, SystemError::Stranger { .. }), "{error}");
    }
}
