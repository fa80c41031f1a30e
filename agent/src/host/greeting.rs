//! Whether a server of this machine takes connections, and what it says first.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::system::SystemError;
use crate::visit;

/// Longest first line that is read.
const LINE_BYTES: u64 = 512;

/// Connects, and says nothing.
///
/// # Errors
/// Why that is not possible, in words.
pub(super) fn connect(address: SocketAddr, timeout: Duration) -> Result<TcpStream, SystemError> {
    visit::check_own(address).map_err(|reason| SystemError::Stranger { address, reason })?;
    let silent = |error: std::io::Error| SystemError::Silent {
        address,
        reason: error.to_string(),
    };
    TcpStream::connect_timeout(&address, timeout).map_err(silent)
}

/// Connects and reads one line, without its end.
///
/// # Errors
/// Why there is none, in words.
pub(super) fn first_line(address: SocketAddr, timeout: Duration) -> Result<String, SystemError> {
    let silent = |reason: String| SystemError::Greeting { address, reason };
    let said = |error: std::io::Error| silent(error.to_string());
    let stream = connect(address, timeout)?;
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
    use std::net::TcpListener;

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
