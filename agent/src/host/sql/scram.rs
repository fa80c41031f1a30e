//! What PostgreSQL stores of a password (RFC 5802, RFC 7677): made here, so that the password itself
//! never crosses to the server and its logs, and told from another without printing either.

use std::num::NonZeroU32;

use data_encoding::BASE64;
use ring::rand::SecureRandom;
use ring::{digest, hmac, pbkdf2};

const ROUNDS: u32 = 4096;
/// A foreign verifier may not keep us busy.
const MOST_ROUNDS: u32 = 1_000_000;

/// A verifier of this password, another each time.
pub(super) fn verifier(password: &str) -> Option<String> {
    let mut salt = [0; 16];
    ring::rand::SystemRandom::new().fill(&mut salt).ok()?;
    Some(verifier_of(password, &salt, NonZeroU32::new(ROUNDS)?))
}

fn verifier_of(password: &str, salt: &[u8], rounds: NonZeroU32) -> String {
    let mut salted = [0; digest::SHA256_OUTPUT_LEN];
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
    pbkdf2::derive(algorithm, rounds, salt, password.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client = hmac::sign(&key, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client.as_ref());
    let server = hmac::sign(&key, b"Server Key");
    format!(
        "SCRAM-SHA-256${rounds}:{}${}:{}",
        BASE64.encode(salt),
        BASE64.encode(stored.as_ref()),
        BASE64.encode(server.as_ref())
    )
}

/// Whether a verifier is one of this password.
pub(super) fn is_of(verifier: &str, password: &str) -> bool {
    let parts = || {
        let (rounds, rest) = verifier.strip_prefix("SCRAM-SHA-256$")?.split_once(':')?;
        let rounds = rounds.parse().ok().filter(|count| *count <= MOST_ROUNDS)?;
        let salt = BASE64.decode(rest.split_once('$')?.0.as_bytes()).ok()?;
        Some((salt, NonZeroU32::new(rounds)?))
    };
    parts().is_some_and(|(salt, rounds)| verifier_of(password, &salt, rounds) == verifier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_verifier_and_no_other_is() {
        let made = verifier("correcthorse1").unwrap();
        assert_ne!(made, verifier("correcthorse1").unwrap(), "salted");
        assert!(is_of(&made, "correcthorse1") && !is_of(&made, "correcthorse2"));
        for bad in [
            "",
            "md5abc",
            "SCRAM-SHA-256$",
            "SCRAM-SHA-256$0:AAAA$a:b",
            "SCRAM-SHA-256$99999999:AAAA$a:b",
        ] {
            assert!(!is_of(bad, "x"), "{bad}");
        }
    }

    #[test]
    fn it_is_what_the_standard_says() {
        // RFC 7677, section 3: user "user", password "pencil".
        let salt = BASE64.decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let made = verifier_of("pencil", &salt, NonZeroU32::new(4096).unwrap());
        let expected = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
             WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
             wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        assert_eq!(made, expected);
    }
}
