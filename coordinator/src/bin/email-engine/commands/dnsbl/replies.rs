//! `listings --replies`: what receivers said of lists.

use email_engine_protocol::api::ListReplyView;

use crate::commands::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, text};

pub(super) async fn show(desk: &Desk, all: bool) -> Result<Exit, Failure> {
    let replies = desk.client.list_replies(all).await?;
    desk.output
        .show(&replies, |output| table(output, &replies))?;
    Ok(Exit::Success)
}

fn table(output: &Output, replies: &[ListReplyView]) -> String {
    if replies.is_empty() {
        return "No receiver names a list, as far as accounting files are read.".to_owned();
    }
    let mut table = output.table(&[
        "SUBJECT", "LIST", "REPLIES", "FIRST", "LAST", "CHECK", "SAMPLE",
    ]);
    for one in replies {
        let (mood, check) = match (one.wanted_since, one.checked_at) {
            (Some(at), _) => (Mood::Underway, format!("wanted since {at}")),
            (None, Some(at)) => (Mood::Plain, format!("asked {at}")),
            (None, None) => (Mood::Plain, "-".to_owned()),
        };
        table.add_row(vec![
            output.mood(&one.subject, Mood::Plain),
            output.mood(one.list.as_str(), Mood::Plain),
            output.mood(&one.count.to_string(), Mood::Plain),
            output.mood(&one.first.to_string(), Mood::Plain),
            output.mood(&one.last.to_string(), Mood::Plain),
            output.mood(&check, mood),
            output.mood(&one.sample, Mood::Plain),
        ]);
    }
    text(&table)
}
