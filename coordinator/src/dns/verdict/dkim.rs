//! The record of a DKIM key (RFC 6376 section 3.6.1): it must be the key that signs, bit for bit.

use super::answers::shown;
use super::tags::{tags, value};
use super::{Datum, One};

/// Judges what a server shows at a selector.
pub(super) fn judge(records: &[Datum], public: &str) -> One {
    let texts: Vec<&[u8]> = records
        .iter()
        .filter_map(|record| match record {
            Datum::Txt(text) => Some(&text[..]),
            _ => None,
        })
        .collect();
    match texts[..] {
        [] => One::Bad("no record".to_owned(), None),
        [text] => one(text, public).map_or_else(|seen| One::Bad(seen, None), One::Good),
        // Which of them a receiver takes is not defined.
        _ => One::Bad(format!("{} texts at one selector", texts.len()), None),
    }
}

fn one(text: &[u8], public: &str) -> Result<Vec<String>, String> {
    let text = shown(text);
    let tags = tags(&text)?;
    match tags.iter().position(|(name, _)| name == "v") {
        None => {}
        Some(0) if tags[0].1 == "DKIM1" => {}
        Some(0) => return Err(format!("v={}, where DKIM1 is wanted", tags[0].1)),
        Some(_) => return Err("v= that is not the first tag".to_owned()),
    }
    let kind = value(&tags, "k").unwrap_or("rsa");
    if kind != "rsa" {
        return Err(format!("k={kind}, where rsa is wanted"));
    }
    let lists = |name, wanted: &[&str]| {
        value(&tags, name).is_none_or(|list| {
            list.split(':')
                .any(|one| wanted.contains(&one.trim().to_ascii_lowercase().as_str()))
        })
    };
    if !lists("h", &["sha256"]) {
        return Err("h= without sha256, by which we sign".to_owned());
    }
    if !lists("s", &["*", "email"]) {
        return Err("s= without email".to_owned());
    }
    same_key(value(&tags, "p"), public)?;
    let flags = value(&tags, "t").unwrap_or_default();
    if flags.split(':').any(|flag| flag.trim() == "y") {
        return Err("t=y, by which receivers take signed mail as if it were not".to_owned());
    }
    Ok(Vec::new())
}

fn same_key(seen: Option<&str>, public: &str) -> Result<(), String> {
    // Blanks inside of the key mean nothing.
    let seen: String = match seen {
        None => return Err("a record without p=".to_owned()),
        Some(seen) => seen.split_ascii_whitespace().collect(),
    };
    if seen == public {
        return Ok(());
    }
    if seen.is_empty() {
        return Err("an empty p=: the key is withdrawn".to_owned());
    }
    let (got, wanted) = (seen.chars().count(), public.chars().count());
    if got != wanted {
        return Err(format!(
            "a key of {got} characters, where ours has {wanted}"
        ));
    }
    let pairs = seen.chars().zip(public.chars()).enumerate();
    let mut others = pairs.filter(|(_, (seen, wanted))| seen != wanted);
    let first = others.next();
    let count = 1 + others.count();
    let (at, (seen, wanted)) = first.unwrap_or((0, (' ', ' ')));
    Err(format!(
        "another key: {count} characters of p= are not ours, the first is {seen:?} in place {}, where ours has \
         {wanted:?}",
        at + 1
    ))
}
