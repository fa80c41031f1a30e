//! A campaign as the application's API wants it: fields of a form.

use data_encoding::BASE64;
use jiff::civil::DateTime;

use email_engine_protocol::api::{CampaignRequest, IpSpec};

/// Longest text of a campaign, in bytes.
const CONTENT_BYTES: usize = 1024 * 1024;
/// Most options of a campaign.
const OPTIONS: usize = 50;
/// How times are written there.
const TIME: &str = "%Y-%m-%d %H:%M:%S";

/// A campaign in fields, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its name there.
    pub name: String,
    /// Names and values of the form.
    pub fields: Vec<(String, String)>,
}

/// What of a request cannot be a campaign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {value:?} is not accepted: {accepted}")]
pub struct DraftError {
    /// Which field.
    pub field: &'static str,
    /// What it has, cut to 120 characters.
    pub value: String,
    /// What it may have.
    pub accepted: &'static str,
}

fn refuse(field: &'static str, value: &str, accepted: &'static str) -> DraftError {
    let value = value.chars().take(120).collect();
    DraftError {
        field,
        value,
        accepted,
    }
}

impl Draft {
    /// A campaign of these identities, the first of which it is from, by these servers.
    ///
    /// # Errors
    /// Names the first field that cannot be what it is.
    pub fn new(
        request: &CampaignRequest,
        from: &IpSpec,
        servers: &[u64],
    ) -> Result<Self, DraftError> {
        check(request)?;
        let sender = from.sender_address().to_string();
        let servers: Vec<_> = servers.iter().map(u64::to_string).collect();
        let mut fields = vec![
            ("campaign[name]", request.name.clone()),
            ("campaign[type]", "regular".to_owned()),
            ("campaign[from_name]", from.display_name.clone()),
            ("campaign[from_email]", sender.clone()),
            ("campaign[subject]", request.subject.clone()),
            ("campaign[reply_to]", sender),
            ("campaign[send_at]", request.send_at.clone()),
            ("campaign[list_uid]", request.list.clone()),
            ("campaign[status]", request.status.as_str().to_owned()),
            ("campaign[delivery_servers]", servers.join(",")),
        ];
        if let Some(segment) = &request.segment {
            fields.push(("campaign[segment_uid]", segment.clone()));
        }
        if let Some(template) = &request.template {
            fields.push(("campaign[template][template_uid]", template.clone()));
        }
        if let Some(content) = &request.content {
            let content = BASE64.encode(content.as_bytes());
            fields.push(("campaign[template][content]", content));
        }
        let fields = fields.into_iter();
        let mut fields: Vec<_> = fields
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        for (name, value) in &request.options {
            fields.push((format!("campaign[options][{name}]"), value.clone()));
        }
        Ok(Self {
            name: request.name.clone(),
            fields,
        })
    }
}

/// Judges what can be judged here; lists, segments and templates are the application's to know.
fn check(request: &CampaignRequest) -> Result<(), DraftError> {
    line(
        "name",
        &request.name,
        255,
        "1 to 255 characters without control characters",
    )?;
    line(
        "subject",
        &request.subject,
        500,
        "1 to 500 characters without control characters",
    )?;
    uid("list", Some(&request.list))?;
    uid("segment", request.segment.as_ref())?;
    uid("template", request.template.as_ref())?;
    let is_time = DateTime::strptime(TIME, &request.send_at)
        .is_ok_and(|at| at.strftime(TIME).to_string() == request.send_at);
    if !is_time {
        let accepted = "YYYY-MM-DD HH:MM:SS in the time zone that the customer chose in MailWizz";
        return Err(refuse("send_at", &request.send_at, accepted));
    }
    match (&request.content, &request.template) {
        (Some(content), None) if content_fits(content) => {}
        (Some(_), None) => {
            let accepted = "a text of 1 byte to 1 MiB";
            return Err(refuse("content", "(not shown)", accepted));
        }
        (None, Some(_)) => {}
        (both, _) => {
            let given = if both.is_some() { "both" } else { "none" };
            return Err(refuse("content", given, "one of content and template"));
        }
    }
    if request.options.len() > OPTIONS {
        let got = request.options.len().to_string();
        return Err(refuse("options", &got, "at most 50"));
    }
    for (name, value) in &request.options {
        let is_name = (1..=60).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !is_name {
            let accepted = "names of 1 to 60 lower-case letters, digits and '_'";
            return Err(refuse("options", name, accepted));
        }
        if value.len() > 500 || value.chars().any(char::is_control) {
            let accepted = "values of at most 500 characters without control characters";
            return Err(refuse("options", value, accepted));
        }
    }
    Ok(())
}

const fn content_fits(content: &str) -> bool {
    !content.is_empty() && content.len() <= CONTENT_BYTES
}

fn line(
    field: &'static str,
    value: &str,
    most: usize,
    accepted: &'static str,
) -> Result<(), DraftError> {
    let is_line = !value.trim().is_empty()
        && value.chars().count() <= most
        && !value.chars().any(char::is_control);
    is_line
        .then_some(())
        .ok_or_else(|| refuse(field, value, accepted))
}

/// What the application calls its own things.
fn uid(field: &'static str, value: Option<&String>) -> Result<(), DraftError> {
    let is_uid = |value: &String| {
        (1..=50).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    match value {
        Some(value) if !is_uid(value) => {
            let accepted = "a uid of MailWizz: 1 to 50 letters and digits";
            Err(refuse(field, value, accepted))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::fixture::identity;
    use crate::mailwizz::testbed::request;

    fn drafted(change: impl FnOnce(&mut CampaignRequest)) -> Result<Draft, DraftError> {
        let mut request = request();
        change(&mut request);
        Draft::new(&request, &identity(0), &[4, 11])
    }

    #[test]
    fn it_is_from_its_identity_and_goes_by_the_servers_of_all() {
        let draft = drafted(|request| {
            request.segment = Some("sg1".to_owned());
            let option = ("url_tracking".to_owned(), "yes".to_owned());
            request.options = [option].into();
        });
        let text: Vec<_> = draft
            .unwrap()
            .fields
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            text,
            [
                "campaign[name]=Autumn",
                "campaign[type]=regular",
                "campaign[from_name]=Example",
                "campaign[from_email]=contact@mail0.example.com",
                "campaign[subject]=Hello, it is autumn",
                "campaign[reply_to]=contact@mail0.example.com",
                "campaign[send_at]=2026-12-01 09:00:00",
                "campaign[list_uid]=ab123cd456e",
                "campaign[status]=draft",
                "campaign[delivery_servers]=4,11",
                "campaign[segment_uid]=sg1",
                "campaign[template][content]=PHA+SGVsbG88L3A+",
                "campaign[options][url_tracking]=yes",
            ]
        );
    }

    #[test]
    fn what_cannot_be_a_campaign_is_named_by_its_field() {
        type Change = fn(&mut CampaignRequest);
        let changes: [(&str, Change); 14] = [
            ("name", |r| r.name = " ".to_owned()),
            ("name", |r| r.name = "a".repeat(256)),
            ("subject", |r| {
                r.subject = "a\r\nBcc: x@example.net".to_owned()
            }),
            ("list", |r| r.list = String::new()),
            ("list", |r| r.list = "../../x".to_owned()),
            ("segment", |r| r.segment = Some("a b".to_owned())),
            ("send_at", |r| r.send_at = "2026-12-01T09:00:00Z".to_owned()),
            ("send_at", |r| r.send_at = "2026-02-30 09:00:00".to_owned()),
            ("send_at", |r| r.send_at = "2026-2-3 9:00:00".to_owned()),
            ("content", |r| r.content = None),
            ("content", |r| r.template = Some("tp1".to_owned())),
            ("content", |r| {
                r.content = Some("a".repeat(CONTENT_BYTES + 1))
            }),
            ("options", |r| {
                r.options = [("a][b".to_owned(), String::new())].into()
            }),
            ("options", |r| {
                r.options = [("a".to_owned(), "\n".to_owned())].into()
            }),
        ];
        for (at, (field, change)) in changes.into_iter().enumerate() {
            assert_eq!(drafted(change).unwrap_err().field, field, "{at}");
        }
    }
}
