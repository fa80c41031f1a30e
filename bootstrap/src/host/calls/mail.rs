//! Whether mail can leave the machine: whether a mail server of the world greets it.
//!
//! Many providers keep TCP port 25 shut until somebody asks, and some answer in the place of whoever is
//! called. So a connection alone says little, and a greeting (RFC 5321 section 3.1) is waited for.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use crate::facts::MailTrouble;

/// A greeting may be held back for a while on purpose.
const PATIENCE: Duration = Duration::from_secs(5);
/// Addresses that are tried, of a name that may have many.
const TRIED: usize = 2;
/// A line of a reply has at most 512 octets (RFC 5321 section 4.5.3.1.5).
const LINE: usize = 512;

/// Calls a mail server, such as `mx.example.com:25`, and says good-bye at once.
///
/// # Errors
/// Why it did not greet.
pub fn mail_leaves(server: &str) -> Result<(), MailTrouble> {
    let addresses = server
        .to_socket_addrs()
        .map_err(|error| MailTrouble::Unknown(format!("its name does not resolve: {error}")))?;
    let mut last = MailTrouble::Unknown("its name has no address".to_owned());
    for address in addresses.take(TRIED) {
        match greets(address) {
            Ok(()) => return Ok(()),
            Err(error) => last = MailTrouble::Shut(format!("{address}: {error}")),
        }
    }
    Err(last)
}

fn greets(address: SocketAddr) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    let greeting = first_line(&mut stream, until)?;
    // 554 is how a server says that it wants no mail of this address: the way to it is open.
    let is_greeting = ["220", "554", "421"]
        .iter()
        .any(|code| greeting.starts_with(code));
    if !is_greeting {
        let text = format!("no mail server answers there, but {greeting:?}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    // Out of politeness; what comes of it changes nothing.
    let _ = stream.set_write_timeout(Some(PATIENCE));
    let _ = stream.write_all(b"QUIT\r\n");
    Ok(())
}

/// What comes until a line ends, the connection does, or it is enough. Whoever lets it drip is not waited for.
fn first_line(stream: &mut TcpStream, until: Instant) -> io::Result<String> {
    let late = || {
        let text = format!("no greeting within {} s", PATIENCE.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, text)
    };
    let mut line = Vec::new();
    let mut piece = [0; LINE];
    while line.len() < LINE && !line.contains(&b'\n') {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => line.extend_from_slice(&piece[..length]),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Err(late()),
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
    line.truncate(LINE);
    Ok(String::from_utf8_lossy(&line).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener};
    use std::thread;

    use super::*;

    /// What is found of a server that says this to whoever comes.
    fn said(text: &'static [u8]) -> Result<(), MailTrouble> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(text).unwrap();
            // Who has read enough may be gone already, and the connection with him.
            let _ = stream.shutdown(Shutdown::Write);
            let mut heard = String::new();
            // Who reads no further than the bound ends with what is unread: a reset.
            let _ = stream.read_to_string(&mut heard);
            heard
        });
        let found = mail_leaves(&address);
        let heard = server.join().unwrap();
        assert_eq!(heard == "QUIT\r\n", found.is_ok(), "{heard:?}");
        found
    }

    #[test]
    fn a_mail_server_greets_whether_or_not_it_wants_mail() {
        for text in [
            &b"220 mx.example.com ESMTP\r\n"[..],
            b"554 5.7.1 mx.example.com not from there\r\n",
            b"421 4.7.0 come back later\r\n",
        ] {
            assert_eq!(said(text), Ok(()));
        }
    }

    #[test]
    fn whatever_else_answers_is_none() {
        for text in [&b"HTTP/1.1 400\r\n"[..], b"", b"\xff\r\n", &[b'x'; 4096]] {
            let error = shut(said(text));
            assert!(error.contains("no mail server answers there"), "{error}");
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let error = shut(mail_leaves(&free.unwrap().to_string()));
        assert!(error.contains("refused"), "{error}");
        let error = mail_leaves("mx.invalid:25").unwrap_err();
        assert!(
            matches!(&error, MailTrouble::Unknown(text) if text.contains("does not resolve")),
            "{error:?}"
        );
    }

    #[test]
    fn who_lets_the_greeting_drip_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Until nobody is there any more.
            while stream.write_all(b"2").is_ok() {
                thread::park_timeout(Duration::from_millis(50));
            }
        });
        let until = Instant::now() + Duration::from_millis(300);
        let mut stream = TcpStream::connect(address).unwrap();
        let error = first_line(&mut stream, until).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(stream);
        server.join().unwrap();
    }

    fn shut(found: Result<(), MailTrouble>) -> String {
        match found {
            Err(MailTrouble::Shut(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }
}
