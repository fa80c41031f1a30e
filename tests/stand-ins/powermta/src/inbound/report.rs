//! Parts of a `multipart/report`, and their fields.

use mail_parser::{Message, MessageParser, MimeHeaders, PartType};

/// A message in parts.
pub(super) fn parse(body: &[u8]) -> Option<Message<'_>> {
    MessageParser::default().parse(body)
}

/// The text of the first part of a type such as `message/delivery-status`.
pub(super) fn part(message: &Message<'_>, kind: &str, sub: &str) -> Option<String> {
    message.parts.iter().find_map(|part| {
        let is = part.content_type().is_some_and(|found| {
            found.ctype().eq_ignore_ascii_case(kind)
                && found
                    .subtype()
                    .is_some_and(|own| own.eq_ignore_ascii_case(sub))
        });
        if !is {
            return None;
        }
        match &part.body {
            PartType::Text(text) | PartType::Html(text) => Some(text.to_string()),
            PartType::Binary(bytes) | PartType::InlineBinary(bytes) => {
                Some(String::from_utf8_lossy(bytes).into_owned())
            }
            PartType::Message(_) => {
                let range = part.offset_body as usize..part.offset_end as usize;
                let raw = message.raw_message.get(range)?;
                Some(String::from_utf8_lossy(raw).into_owned())
            }
            PartType::Multipart(_) => None,
        }
    })
}

/// `Name: value` lines in groups parted by blank lines.
pub(super) fn groups(text: &str) -> Vec<Vec<(String, String)>> {
    let mut groups = vec![Vec::new()];
    for line in text.lines() {
        if line.trim().is_empty() {
            groups.push(Vec::new());
            continue;
        }
        let Some(group) = groups.last_mut() else {
            continue;
        };
        let folded = line.starts_with([' ', '\t']);
        if folded {
            if let Some((_, value)) = group.last_mut() {
                let value: &mut String = value;
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            group.push((name.trim().to_lowercase(), value.trim().to_owned()));
        }
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// A field of a group; empty when it is absent.
pub(super) fn field<'a>(group: &'a [(String, String)], name: &str) -> &'a str {
    group
        .iter()
        .find(|(own, _)| own == name)
        .map_or("", |(_, value)| value.as_str())
}

/// `rfc822;a@b.example` without its type.
pub(super) fn untyped(value: &str) -> &str {
    value.split_once(';').map_or(value, |(_, rest)| rest.trim())
}
