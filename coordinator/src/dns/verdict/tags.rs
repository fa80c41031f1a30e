//! Lists of `tag=value`, as DKIM keys and DMARC records are written (RFC 6376 section 3.2).

/// The tags in their order, blanks around them left out; an error names what is none.
pub(super) fn tags(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut tags: Vec<(String, String)> = Vec::new();
    for part in text.split(';') {
        let part = part.trim();
        if part.is_empty() {
            continue;
        }
        let Some((name, value)) = part.split_once('=') else {
            return Err(format!("{part:?}, which is no tag"));
        };
        let name = name.trim().to_ascii_lowercase();
        if tags.iter().any(|(known, _)| *known == name) {
            return Err(format!("tag {name}= twice"));
        }
        tags.push((name, value.trim().to_owned()));
    }
    Ok(tags)
}

/// The value of a tag.
pub(super) fn value<'a>(tags: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = tags.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}
