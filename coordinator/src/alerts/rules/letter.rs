//! What is sent: one or several notices in the form that a channel wants.

use std::fmt::Write as _;

use serde::Serialize;

use email_engine_protocol::api::{AlertKind, Occasion, Severity};
use email_engine_protocol::id::{ChannelName, TenantId};
use email_engine_protocol::time::Timestamp;

use super::Words;

/// Longest message of a bot, in the UTF-16 units that Telegram counts; it takes 4096 after reading the
/// markup, and we count the markup with it.
pub const TELEGRAM_CHARS: usize = 4_000;

/// Several notices for one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// For which channel.
    pub channel: ChannelName,
    /// Which cluster speaks.
    pub cluster: String,
    /// When it is sent.
    pub sent_at: Timestamp,
    /// What it tells, at least one.
    pub notices: Vec<Notice>,
}

/// One thing that is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The same whenever this is delivered, to whomever: a receiver that has it drops it.
    pub id: String,
    /// The alert that it is about: the same for its beginning and its end.
    pub alert: String,
    /// What of it.
    pub occasion: Occasion,
    /// What happened.
    pub kind: AlertKind,
    /// How grave it is.
    pub severity: Severity,
    /// About what.
    pub subject: String,
    /// Whose; none: the fleet's.
    pub tenant: Option<TenantId>,
    /// In one line.
    pub title: String,
    /// In more.
    pub text: Vec<String>,
    /// When it was raised.
    pub raised_at: Timestamp,
    /// When it was seen last.
    pub last_at: Timestamp,
    /// How often it was seen.
    pub count: u32,
    /// When it ended.
    pub resolved_at: Option<Timestamp>,
}

impl Notice {
    /// With its words.
    #[must_use]
    pub fn with(mut self, words: Words) -> Self {
        (self.title, self.text) = (words.title, words.lines);
        self
    }

    /// How it begins.
    fn mark(&self) -> String {
        match self.occasion {
            Occasion::Raised => self.severity.as_str().to_ascii_uppercase(),
            Occasion::Resolved => "OVER".to_owned(),
        }
    }

    /// What is said of it; of what is over, its title and when it ended are enough.
    fn body(&self) -> Vec<String> {
        match (self.occasion, self.resolved_at) {
            (Occasion::Resolved, Some(at)) => {
                vec![format!("It began at {} and ended at {at}.", self.raised_at)]
            }
            _ => self.text.clone(),
        }
    }

    fn foot(&self) -> String {
        let mut foot = format!("{} | {} | {}", self.kind, self.subject, self.raised_at);
        if self.count > 1 {
            let _ = write!(foot, " | {} times until {}", self.count, self.last_at);
        }
        foot
    }
}

/// What a web service is posted.
#[derive(Debug, Serialize)]
struct Post<'a> {
    cluster: &'a str,
    channel: &'a ChannelName,
    sent_at: Timestamp,
    alerts: &'a [Notice],
}

impl Letter {
    /// The gravest thing in it; what is over weighs nothing.
    fn mark(&self) -> String {
        let raised = |notice: &&Notice| notice.occasion == Occasion::Raised;
        let notices = self.notices.iter().filter(raised);
        let gravest = notices.max_by_key(|notice| notice.severity);
        let gravest = gravest.or_else(|| self.notices.first());
        gravest.map_or_else(String::new, Notice::mark)
    }

    /// What it is about, in one line.
    #[must_use]
    pub fn title(&self) -> String {
        let mark = self.mark();
        match &*self.notices {
            [one] => format!("[{mark}] {}", one.title),
            all => format!("[{mark}] {} alerts of Email-Engine", all.len()),
        }
    }

    /// For a mail or a log.
    #[must_use]
    pub fn plain(&self) -> String {
        let mut text = String::new();
        for notice in &self.notices {
            let _ = writeln!(text, "[{}] {}", notice.mark(), notice.title);
            for line in notice.body() {
                let _ = writeln!(text, "  {line}");
            }
            let _ = writeln!(text, "  {}\n  id {}\n", notice.foot(), notice.id);
        }
        let _ = writeln!(text, "Cluster {}, channel {}.", self.cluster, self.channel);
        text
    }

    /// For a bot of Telegram, in its HTML, and how many notices it holds: as many as there is room for, at
    /// least the first, which is cut if it must be.
    #[must_use]
    pub fn telegram(&self, room: usize) -> (String, usize) {
        let mut text = String::new();
        let mut left = room;
        for (at, notice) in self.notices.iter().enumerate() {
            let whole = block(notice, usize::MAX);
            let block = match units(&whole) <= left {
                true => whole,
                false if at == 0 => block(notice, left),
                false => return (text, at),
            };
            left = left.saturating_sub(units(&block));
            text.push_str(&block);
        }
        (text, self.notices.len())
    }

    /// For a web service.
    ///
    /// # Panics
    /// Never: notices are texts and numbers.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        let post = Post {
            cluster: &self.cluster,
            channel: &self.channel,
            sent_at: self.sent_at,
            alerts: &self.notices,
        };
        serde_json::to_vec(&post).expect("texts and numbers serialise")
    }
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// One notice in Telegram's HTML, within some room: what there is no room for is left out from the end, and
/// no tag stays open.
fn block(notice: &Notice, room: usize) -> String {
    // The foot and what closes the block, whatever else has room.
    let foot = format!("<code>{}</code>\n\n", escaped(&notice.foot(), 400));
    let mut left = room.saturating_sub(units(&foot));
    let mut text = String::new();
    let title = escaped(&notice.title, left.saturating_sub(40));
    let first = format!("<b>{}</b> {title}\n", notice.mark());
    left = left.saturating_sub(units(&first));
    text.push_str(&first);
    for line in notice.body() {
        let line = escaped(&line, left.saturating_sub(1));
        if left <= 1 || line.is_empty() {
            break;
        }
        left = left.saturating_sub(units(&line) + 1);
        text.push_str(&line);
        text.push('\n');
    }
    text + &foot
}

/// A text as Telegram's HTML wants it, cut where the room ends and never inside a sign.
fn escaped(text: &str, room: usize) -> String {
    let mut out = String::new();
    let mut left = room;
    for c in text.chars() {
        let mut buffer = [0; 4];
        let sign = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            c => c.encode_utf8(&mut buffer),
        };
        let Some(rest) = left.checked_sub(units(sign)) else {
            break;
        };
        left = rest;
        out.push_str(sign);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn notice(title: &str, text: &[&str]) -> Notice {
        Notice {
            id: "c-1-7-raised".to_owned(),
            alert: "c-1-7".to_owned(),
            occasion: Occasion::Raised,
            kind: AlertKind::HostAway,
            severity: Severity::Critical,
            subject: "host pmta1".to_owned(),
            tenant: None,
            title: title.to_owned(),
            text: text.iter().map(ToString::to_string).collect(),
            raised_at: Timestamp(1_795_240_800_000),
            last_at: Timestamp(1_795_240_860_000),
            count: 2,
            resolved_at: None,
        }
    }

    fn letter(notices: Vec<Notice>) -> Letter {
        Letter {
            channel: ChannelName::new("ops").unwrap(),
            cluster: "00".repeat(16),
            sent_at: Timestamp(1_795_240_900_000),
            notices,
        }
    }

    #[test]
    fn one_notice_in_each_form() {
        let letter = letter(vec![notice("pmta1: away <since> \"A&B\"", &["It keeps."])]);
        assert_eq!(letter.title(), "[CRITICAL] pmta1: away <since> \"A&B\"");
        assert_eq!(
            letter.plain(),
            "[CRITICAL] pmta1: away <since> \"A&B\"\n  It keeps.\n  host-away | host pmta1 | \
             2026-11-21T06:00:00.000Z | 2 times until 2026-11-21T06:01:00.000Z\n  id c-1-7-raised\n\n\
             Cluster 00000000000000000000000000000000, channel ops.\n"
        );
        let (html, taken) = letter.telegram(TELEGRAM_CHARS);
        assert_eq!(taken, 1);
        assert!(
            html.starts_with(
                "<b>CRITICAL</b> pmta1: away &lt;since&gt; &quot;A&amp;B&quot;\nIt keeps.\n<code>"
            ),
            "{html}"
        );
        let json: serde_json::Value = serde_json::from_slice(&letter.json()).unwrap();
        assert_eq!(json["alerts"][0]["kind"], "host-away");
        assert_eq!(json["alerts"][0]["id"], "c-1-7-raised");
        assert_eq!(json["sent_at"], "2026-11-21T06:01:40.000Z");
    }

    #[test]
    fn what_is_over_says_from_when_to_when_and_weighs_nothing() {
        let mut over = notice("pmta1: away", &["It keeps."]);
        over.occasion = Occasion::Resolved;
        over.resolved_at = Some(Timestamp(1_795_240_870_000));
        let one = letter(vec![over.clone()]);
        assert_eq!(one.title(), "[OVER] pmta1: away");
        assert!(
            one.plain().contains(
                "  It began at 2026-11-21T06:00:00.000Z and ended at 2026-11-21T06:01:10.000Z."
            ) && !one.plain().contains("It keeps"),
            "{}",
            one.plain()
        );
        let mut mild = notice("x", &[]);
        mild.severity = Severity::Info;
        assert_eq!(
            letter(vec![over, mild]).title(),
            "[INFO] 2 alerts of Email-Engine"
        );
    }

    #[test]
    fn a_message_holds_what_there_is_room_for_and_the_rest_comes_next() {
        let line = "x".repeat(600);
        let letter = letter(vec![notice("a", &[&line, &line]); 9]);
        let (text, taken) = letter.telegram(TELEGRAM_CHARS);
        assert_eq!(taken, 3);
        assert!(units(&text) <= TELEGRAM_CHARS);
    }

    proptest! {
        #[test]
        fn whatever_stands_in_it_the_markup_is_whole_and_short_enough(
            title in ".{0,600}",
            lines in prop::collection::vec("[<>&\"a-z😀 ]{0,600}", 0..9),
        ) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let letter = letter(vec![notice(&title, &lines)]);
            let (text, taken) = letter.telegram(TELEGRAM_CHARS);
            prop_assert_eq!(taken, 1);
            prop_assert!(units(&text) <= TELEGRAM_CHARS);
            let bare = text
                .replace("<b>CRITICAL</b>", "")
                .replacen("<code>", "", 1)
                .replacen("</code>", "", 1);
            prop_assert!(!bare.contains(['<', '>']), "{}", bare);
            for part in bare.split('&').skip(1) {
                let whole = ["amp;", "lt;", "gt;", "quot;"];
                prop_assert!(whole.iter().any(|sign| part.starts_with(sign)), "{}", part);
            }
        }
    }
}
