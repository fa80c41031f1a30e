//! AUTH PLAIN and LOGIN against the `<smtp-user>` sections.

use data_encoding::BASE64;

use crate::config::{Config, SmtpUser};

/// The user of an initial response or answer of AUTH PLAIN.
pub(super) fn plain<'a>(config: &'a Config, response: &str) -> Option<&'a SmtpUser> {
    let bytes = BASE64.decode(response.trim().as_bytes()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let mut parts = text.split('\0');
    let (_, name, password) = (parts.next()?, parts.next()?, parts.next()?);
    check(config, name, password)
}

/// A name or password of AUTH LOGIN.
pub(super) fn decoded(answer: &str) -> Option<String> {
    let bytes = BASE64.decode(answer.trim().as_bytes()).ok()?;
    String::from_utf8(bytes).ok()
}

/// The user, if the password is theirs.
pub(super) fn check<'a>(config: &'a Config, name: &str, password: &str) -> Option<&'a SmtpUser> {
    config
        .users
        .iter()
        .find(|user| user.name == name && user.password.as_deref() == Some(password))
}
