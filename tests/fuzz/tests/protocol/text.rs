//! What people type and files hold: names, addresses, times, tokens, keys.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use email_engine_fuzz::{SLOW_RUNS, fuzz};
use email_engine_protocol::bytes::{CaPin, ContentHash, Nonce, RecoveryPin};
use email_engine_protocol::crypto::RecoveryKey;
use email_engine_protocol::desired::HostPath;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{
    ApiKeyId, ClusterId, HostId, PoolName, RequestId, ResourceId, Role, SecretId, TenantId, TokenId,
};
use email_engine_protocol::join::{Admission, JoinToken, TrustPin};
use email_engine_protocol::limits::TOKEN_CHARS;
use email_engine_protocol::mail::{DomainName, LocalPart, MailAddress};
use email_engine_protocol::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn samples(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// What parses prints as something that parses to it again, in each of its forms; what is refused
/// as text is refused in JSON and on the wire, too.
fn name<T>(input: &[u8]) -> bool
where
    T: FromStr<Err: Display> + Display + Debug + PartialEq + Serialize + DeserializeOwned,
{
    let Ok(text) = std::str::from_utf8(input) else {
        return false;
    };
    let json = serde_json::to_string(text).unwrap();
    match text.parse::<T>() {
        Ok(value) => {
            let shown = value.to_string();
            assert!(
                shown.parse::<T>().is_ok_and(|again| again == value),
                "{shown}"
            );
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
            assert!(serde_json::from_str::<T>(&json).is_ok_and(|again| again == value));
            let bytes = postcard::to_stdvec(&value).unwrap();
            assert!(postcard::from_bytes::<T>(&bytes).is_ok_and(|again| again == value));
            true
        }
        Err(refused) => {
            assert!(refused.to_string().len() < 1024, "an error is no echo");
            assert!(serde_json::from_str::<T>(&json).is_err(), "{json}");
            false
        }
    }
}

macro_rules! names {
    ($($test:ident: $kind:ty, $texts:expr;)*) => {$(
        #[test]
        fn $test() {
            fuzz!(samples(&$texts), name::<$kind>);
        }
    )*};
}

names! {
    any_tenant_id_is_read_or_refused: TenantId, ["client-1", "a"];
    any_host_id_is_read_or_refused: HostId, ["pmta1", "host-name-42"];
    any_pool_name_is_read_or_refused: PoolName, ["client-1-marketing"];
    any_token_id_is_read_or_refused: TokenId, ["t-1"];
    any_api_key_id_is_read_or_refused: ApiKeyId, ["admin"];
    any_request_id_is_read_or_refused: RequestId, ["c1fe-00.3", "abc:def"];
    any_secret_id_is_read_or_refused: SecretId, ["dkim/mail1.example.com/mail"];
    any_resource_id_is_read_or_refused: ResourceId, ["file:/etc/pmta/config", "step:reload"];
    any_cluster_id_is_read_or_refused: ClusterId, ["c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1"];
    any_content_hash_is_read_or_refused: ContentHash,
        ["00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"];
    any_nonce_is_read_or_refused: Nonce, ["00112233445566778899aabbccddeeff"];
    any_domain_is_read_or_refused: DomainName, ["mail1.example.com", "Example.ORG"];
    any_local_part_is_read_or_refused: LocalPart, ["contact", "a.b+c_d-e"];
    any_mail_address_is_read_or_refused: MailAddress, ["Bounce@mail1.example.com"];
    any_role_is_read_or_refused: Role, ["api", "mailwizz", "powermta"];
}

#[test]
fn any_path_stays_absolute_and_normal() {
    fuzz!(samples(&["/etc/pmta/config", "/a"]), |input| {
        let Some(path) = std::str::from_utf8(input)
            .ok()
            .and_then(|text| HostPath::new(text).ok())
        else {
            return false;
        };
        let text = path.as_str();
        assert!(text.starts_with('/') && !text.contains('\0'));
        assert!(
            text.split('/')
                .skip(1)
                .all(|part| !["", ".", ".."].contains(&part)),
            "{text}"
        );
        assert!(!path.file_name().is_empty() && !path.file_name().contains('/'));
        if let Some(parent) = path.parent() {
            assert!(path.is_within(&parent));
        }
        true
    });
}

#[test]
fn any_time_is_read_or_refused_and_printed() {
    fuzz!(
        samples(&["2026-11-21T06:00:00Z", "1970-01-01T00:00:00.001+00:00"]),
        |input| {
            // Any number is a time, and printable.
            if let Some(number) = input.first_chunk::<8>() {
                assert!(
                    !Timestamp(u64::from_be_bytes(*number))
                        .to_string()
                        .is_empty()
                );
            }
            let text = std::str::from_utf8(input).ok();
            text.and_then(|text| text.parse::<Timestamp>().ok())
                .is_some_and(|at| {
                    assert_eq!(at.to_string().parse(), Ok(at));
                    true
                })
        }
    );
}

#[test]
fn any_generation_is_read_and_ordered() {
    let sample = Generation {
        epoch: 1,
        number: 900,
    };
    fuzz!(vec![postcard::to_stdvec(&sample).unwrap()], |input| {
        postcard::from_bytes::<Generation>(input).is_ok_and(|generation| {
            let bytes = postcard::to_stdvec(&generation).unwrap();
            assert_eq!(postcard::from_bytes(&bytes), Ok(generation));
            assert!(!generation.to_string().is_empty());
            assert!(generation.next(generation.epoch) >= generation);
            true
        })
    });
}

fn token() -> JoinToken {
    JoinToken {
        id: TokenId::new("t-1").unwrap(),
        cluster: ClusterId([1; 16]),
        ca_pin: CaPin([2; 32]),
        trust: TrustPin {
            recovery: RecoveryPin([3; 32]),
            plan_key_version: 1,
            epoch: 1,
        },
        endpoints: vec![
            "192.0.2.10:7443".to_owned(),
            "[2001:db8::1]:7443".to_owned(),
        ],
        admission: Admission::Host {
            host: HostId::new("pmta1").unwrap(),
            role: Role::Powermta,
        },
        expires_at: Timestamp(5),
        secret: [9; 32],
    }
}

#[test]
fn any_join_token_is_read_or_refused_and_never_shown() {
    let text = token().to_text();
    fuzz!(
        vec![
            text.as_bytes().to_vec(),
            format!("{}\n", *text).into_bytes()
        ],
        |input| {
            let Ok(text) = std::str::from_utf8(input) else {
                return false;
            };
            match text.parse::<JoinToken>() {
                Ok(token) => {
                    assert_eq!(*token.to_text(), text.trim());
                    true
                }
                Err(refused) => {
                    let shown = format!("{refused} {refused:?}");
                    let beginning: String = text.chars().take(40).collect();
                    assert!(text.len() < 40 || !shown.contains(&beginning));
                    false
                }
            }
        }
    );
}

/// What a mistaken program puts into a token: the checksum is right whatever is inside.
#[test]
fn a_join_token_has_one_form() {
    fuzz!(vec![postcard::to_stdvec(&token()).unwrap()], |payload| {
        let sum = crc32c::crc32c(payload).to_be_bytes();
        let body = data_encoding::BASE64URL_NOPAD.encode(&[payload, &sum].concat());
        let text = format!("eejoin2.{body}");
        text.parse::<JoinToken>().is_ok_and(|token| {
            assert!(text.len() <= TOKEN_CHARS);
            assert_eq!(*token.to_text(), text);
            true
        })
    });
}

#[test]
fn any_recovery_key_is_read_or_refused_and_never_shown() {
    let random = ring::rand::SystemRandom::new();
    let key = RecoveryKey::generate(&email_engine_protocol::crypto::Entropy(&random));
    fuzz!(
        vec![key.to_text().as_bytes().to_vec()],
        |input| {
            let text = std::str::from_utf8(input).ok();
            text.and_then(|text| text.parse::<RecoveryKey>().ok())
                .is_some_and(|key| {
                    let again: RecoveryKey = key.to_text().parse().unwrap();
                    assert_eq!(again.public(), key.public());
                    true
                })
        },
        4 * SLOW_RUNS
    );
}
