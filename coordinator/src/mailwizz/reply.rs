//! What the application answers.

use serde::Deserialize;
use serde_json::Value;

use crate::state::Figures;

/// Longest of its words that is passed on, in characters.
const WORDS: usize = 500;

/// A delivery server as the application lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryServer {
    /// Its number.
    pub id: u64,
    /// What it is called.
    pub name: String,
    /// `active`, `in-use`, `inactive` and others.
    pub status: String,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed<T> {
    /// What is on it.
    pub(super) records: Vec<T>,
    /// How many pages there are.
    pub(super) pages: u64,
}

/// Why an answer is no good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReplyError {
    /// It says no.
    #[error("{0}")]
    Refused(String),
    /// It is not what its API answers.
    #[error("its answer is not understood: {0}")]
    Garbled(String),
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    campaign_uid: Option<String>,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    total_pages: Value,
    #[serde(default)]
    records: Vec<Value>,
}

fn open(body: &[u8]) -> Result<Envelope, ReplyError> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|error| {
        let begins = words(&String::from_utf8_lossy(&body[..body.len().min(200)]));
        ReplyError::Garbled(format!("{error}; it begins {begins:?}"))
    })?;
    match envelope.status.as_str() {
        "success" => Ok(envelope),
        _ => Err(ReplyError::Refused(said(&envelope.error))),
    }
}

/// The uid of a campaign that was made.
pub(super) fn created(body: &[u8]) -> Result<String, ReplyError> {
    let uid = open(body)?.campaign_uid;
    let is_uid = |uid: &String| {
        (1..=50).contains(&uid.len()) && uid.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    uid.filter(is_uid)
        .ok_or_else(|| ReplyError::Garbled("it names no campaign_uid".to_owned()))
}

/// Delivery servers of one page.
pub(super) fn servers(body: &[u8]) -> Result<Listed<DeliveryServer>, ReplyError> {
    listed(body, |record| {
        Some(DeliveryServer {
            id: number(record.get("server_id")?)?,
            name: record.get("name")?.as_str()?.to_owned(),
            status: record.get("status")?.as_str()?.to_owned(),
        })
    })
}

/// Names and uids of campaigns of one page.
pub(super) fn campaigns(body: &[u8]) -> Result<Listed<(String, String)>, ReplyError> {
    listed(body, |record| {
        let text = |field: &str| record.get(field)?.as_str().map(str::to_owned);
        Some((text("name")?, text("campaign_uid")?))
    })
}

/// What it counts of a campaign's mail.
pub(super) fn figures(body: &[u8]) -> Result<Figures, ReplyError> {
    let data = open(body)?.data;
    let read = |field: &str| {
        let count = data.get(field).and_then(number);
        count.ok_or_else(|| ReplyError::Garbled(format!("its data have no {field}")))
    };
    Ok(Figures {
        delivered: read("delivery_success_count")?,
        opened: read("unique_opens_count")?,
        clicked: read("unique_clicks_count")?,
    })
}

fn listed<T>(body: &[u8], read: impl Fn(&Value) -> Option<T>) -> Result<Listed<T>, ReplyError> {
    let data = open(body)?.data;
    let page = Page::deserialize(data)
        .map_err(|error| ReplyError::Garbled(format!("its data: {}", words(&error.to_string()))))?;
    let records = page.records.iter().map(|record| {
        let what = || words(&record.to_string());
        read(record).ok_or_else(|| ReplyError::Garbled(format!("a record is {}", what())))
    });
    Ok(Listed {
        records: records.collect::<Result<_, _>>()?,
        pages: number(&page.total_pages).unwrap_or(1),
    })
}

/// PHP writes numbers of a database as texts or as numbers, by its driver.
fn number(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

/// Its own words for a refusal: a text, or texts by field.
pub(super) fn said(error: &Value) -> String {
    let text = match error {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(field, why)| {
                let whys: Vec<_> = match why {
                    Value::Array(whys) => whys.iter().map(plain).collect(),
                    why => vec![plain(why)],
                };
                format!("{field}: {}", whys.join(" "))
            });
            fields.collect::<Vec<_>>().join("; ")
        }
        _ => String::new(),
    };
    match words(&text) {
        text if text.is_empty() => "it gave no reason".to_owned(),
        text => text,
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A stranger's words: short, on one line.
fn words(text: &str) -> String {
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let text: String = text.take(WORDS).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_campaign_that_was_made_has_a_uid() {
        let body = br#"{"status":"success","campaign_uid":"xk123ab456c"}"#;
        assert_eq!(created(body).unwrap(), "xk123ab456c");
        for odd in [
            &br#"{"status":"success"}"#[..],
            br#"{"status":"success","campaign_uid":"../x"}"#,
            b"<html>sign in</html>",
            b"",
        ] {
            assert!(matches!(created(odd), Err(ReplyError::Garbled(_))));
        }
    }

    #[test]
    fn a_refusal_is_passed_on_in_its_own_words() {
        for (error, said) in [
            (r#""Invalid list unique id.""#, "Invalid list unique id."),
            (
                r#"{"from_email":["is no address.","is too long."],"subject":"is empty"}"#,
                "from_email: is no address. is too long.; subject: is empty",
            ),
            ("null", "it gave no reason"),
            ("\"a\\nb\"", "a b"),
        ] {
            let body = format!(r#"{{"status":"error","error":{error}}}"#);
            let refused = ReplyError::Refused(said.to_owned());
            assert_eq!(created(body.as_bytes()), Err(refused));
        }
    }

    #[test]
    fn servers_are_listed_whatever_form_their_numbers_have() {
        let body = br#"{"status":"success","data":{"count":"2","total_pages":3,"records":[
            {"server_id":"7","type":"smtp-pmta","name":"one","hostname":"h","status":"active"},
            {"server_id":8,"type":"smtp","name":"two","hostname":"h","status":"inactive"}]}}"#;
        let listed = servers(body).unwrap();
        let ids: Vec<_> = listed.records.iter().map(|server| server.id).collect();
        assert_eq!((ids, listed.pages), (vec![7, 8], 3));
        let body = br#"{"status":"success","data":{"records":[{"name":"one"}]}}"#;
        assert!(matches!(servers(body), Err(ReplyError::Garbled(_))));
    }

    #[test]
    fn figures_are_there_all_of_them_or_unknown() {
        let whole = br#"{"status":"success","data":{"campaign_status":"sent","delivery_success_count":"90",
            "delivery_success_rate":90,"opens_count":70,"unique_opens_count":31,"unique_clicks_count":"4"}}"#;
        let wanted = Figures {
            delivered: 90,
            opened: 31,
            clicked: 4,
        };
        assert_eq!(figures(whole), Ok(wanted));
        for odd in [
            r#"{"status":"success","data":{"delivery_success_count":90,"unique_opens_count":31}}"#,
            r#"{"status":"success","data":{"delivery_success_count":90,"unique_opens_count":-1,"unique_clicks_count":1}}"#,
            r#"{"status":"success","data":[]}"#,
            r#"{"status":"success"}"#,
        ] {
            assert!(
                matches!(figures(odd.as_bytes()), Err(ReplyError::Garbled(_))),
                "{odd}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_too_odd_to_be_judged(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (created(&body), servers(&body), campaigns(&body), figures(&body));
        }

        #[test]
        fn a_strangers_words_are_one_short_line(text in ".{0,2000}") {
            let said = said(&Value::String(text));
            prop_assert!(said.chars().count() <= WORDS && !said.chars().any(char::is_control));
        }
    }
}
