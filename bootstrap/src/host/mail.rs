//! Whether mail can leave the machine: whether a mail server of the world greets it.
//!
//! Many providers keep TCP port 25 shut until somebody asks, and some answer in the place of whoever is
//! called. So a connection alone says little, and a greeting (RFC 5321 section 3.1) is waited for.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use crate::facts::Measured;

/// A greeting may be held back for a while on purpose.
const PATIENCE: Duration = Duration::from_secs(5);
/// Addresses that are tried, of a name that may have many.
const TRIED: usize = 2;
/// A line of a reply has at most 512 octets (RFC 5321 section 4.5.3.1.5).
const LINE: u64 = 512;

/// Calls a mail server, such as `mx.example.com:25`, and says good-bye at once.
///
/// # Errors
/// Why it did not greet.
pub fn mail_leaves(server: &str) -> Measured<()> {
    let addresses = server
        .to_socket_addrs()
        .map_err(|error| format!("its name does not resolve: {error}"))?;
    let mut last = "its name has no address".to_owned();
    for address in addresses.take(TRIED) {
        match greets(address) {
            Ok(()) => return Ok(()),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

fn greets(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut greeting = Vec::new();
    let mut reader = BufReader::new((&stream).take(LINE));
    reader
        .read_until(b'\n', &mut greeting)
        .map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                let text = format!("no greeting within {} s", PATIENCE.as_secs());
                io::Error::new(io::ErrorKind::TimedOut, text)
            }
            _ => error,
        })?;
    let greeting = String::from_utf8_lossy(&greeting);
    // 554 is how a server says that it wants no mail of this address: the way to it is open.
    let is_greeting = ["220", "554", "421"]
        .iter()
        .any(|code| greeting.starts_with(code));
    if !is_greeting {
        let text = format!("no mail server answers there, but {greeting:?}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    // Out of politeness; what comes of it changes nothing.
    let _ = stream.write_all(b"QUIT\r\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener};
    use std::thread;

    use super::*;

    /// What is found of a server that says this to whoever comes.
    fn said(text: &'static [u8]) -> Measured<()> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(text).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
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
            let error = said(text).unwrap_err();
            assert!(error.contains("no mail server answers there"), "{error}");
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let error = mail_leaves(&free.unwrap().to_string()).unwrap_err();
        assert!(error.contains("refused"), "{error}");
        let error = mail_leaves("mx.invalid:25").unwrap_err();
        assert!(error.contains("its name does not resolve"), "{error}");
    }
}
