//! The account at an ACME server: one for each host and directory, with a key that is on the disk before
//! it is used.

use email_engine_protocol::desired::AcmeSpec;
use instant_acme::{Error, Key};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::acme::{Desk, Fault, is_one_of};
use super::pipe::Pipe;
use super::record::{self, Account};

/// What a server says of an account that it does not know or takes nothing from.
const UNKNOWN: &str = "accountDoesNotExist";
const DISMISSED: [&str; 2] = ["unauthorized", "malformed"];

/// The account, made when there is none, with the contact that is wanted now.
pub(super) async fn open(
    desk: &Desk,
    pipe: &Pipe,
    acme: &AcmeSpec,
) -> Result<instant_acme::Account, Fault> {
    let directory = &acme.directory;
    let known = record::account(&desk.cabinet, directory).map_err(Fault::own)?;
    let mut known = match known {
        Some(known) => known,
        None => make(desk, directory)?,
    };
    let builder = instant_acme::Account::builder_with_http(Box::new(pipe.clone()));
    let key = PrivatePkcs8KeyDer::from(known.key.clone());
    let account = if known.id.is_empty() {
        // With a key that the server knows already it says which account that is.
        let pair = (
            Key::from_pkcs8_der(key.clone_key())?,
            PrivateKeyDer::Pkcs8(key),
        );
        let found = builder.create_from_key(pair, directory.clone()).await;
        let (account, _) = match found {
            Ok(found) => found,
            Err(error) => return Err(not_found(desk, directory, error)),
        };
        known.id = account.id().to_owned();
        record::keep_account(&desk.cabinet, directory, &known).map_err(Fault::own)?;
        account
    } else {
        builder
            .from_parts(known.id.clone(), key, directory.clone())
            .await?
    };
    let contact = acme.contact.clone().unwrap_or_default();
    if contact != known.contact {
        let address = format!("mailto:{contact}");
        let all = [address.as_str()];
        let told = if contact.is_empty() {
            &[][..]
        } else {
            &all[..]
        };
        if let Err(error) = account.update_contacts(told).await {
            return Err(doubted(desk, directory, error));
        }
        known.contact = contact;
        record::keep_account(&desk.cabinet, directory, &known).map_err(Fault::own)?;
    }
    Ok(account)
}

fn make(desk: &Desk, directory: &str) -> Result<Account, Fault> {
    let (_, key) = Key::generate_pkcs8()?;
    let made = Account {
        key: key.secret_pkcs8_der().to_vec(),
        id: String::new(),
        contact: String::new(),
    };
    record::keep_account(&desk.cabinet, directory, &made).map_err(Fault::own)?;
    Ok(made)
}

fn is_of(error: &Error, kinds: &[&str]) -> bool {
    matches!(error, Error::Api(problem) if is_one_of(problem, kinds))
}

/// A server that does not know the account any more, or takes nothing from it, is told of its key again,
/// next time: it says then which account that is, or that it is none.
pub(super) fn doubted(desk: &Desk, directory: &str, error: Error) -> Fault {
    let is_unknown = is_of(&error, &[UNKNOWN]);
    let is_doubted = is_unknown || is_of(&error, &DISMISSED);
    let mut fault = Fault::from(error);
    if is_doubted {
        match record::account(&desk.cabinet, directory) {
            Ok(Some(mut known)) => {
                known.id.clear();
                known.contact.clear();
                if let Err(error) = record::keep_account(&desk.cabinet, directory, &known) {
                    return Fault::own(error);
                }
            }
            Ok(None) => {}
            Err(error) => return Fault::own(error),
        }
    }
    fault.refused &= !is_unknown;
    fault
}

/// A key that the server takes no account of, as of one that was closed, is of no use: the next attempt
/// has another.
fn not_found(desk: &Desk, directory: &str, error: Error) -> Fault {
    let is_useless = is_of(&error, &[UNKNOWN]) || is_of(&error, &DISMISSED);
    if is_useless && let Err(fault) = make(desk, directory) {
        return fault;
    }
    error.into()
}
