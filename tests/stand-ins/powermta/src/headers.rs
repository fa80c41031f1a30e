//! Headers of a message as bytes: found, taken out, put in front.

/// A header: its name, and where it stands with its folded lines.
struct Field<'a> {
    name: &'a [u8],
    body: &'a [u8],
    start: usize,
    end: usize,
}

/// Fields up to the blank line.
fn fields(message: &[u8]) -> Vec<Field<'_>> {
    let mut all: Vec<Field<'_>> = Vec::new();
    let mut at = 0;
    while at < message.len() {
        let end = message[at..]
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(message.len(), |found| at + found + 1);
        let line = &message[at..end];
        if line == b"\r\n" || line == b"\n" {
            break;
        }
        let folded = line.first().is_some_and(|byte| byte.is_ascii_whitespace());
        if folded {
            if let Some(last) = all.last_mut() {
                last.end = end;
                last.body = &message[last.start + last.name.len() + 1..end];
            }
        } else if let Some(colon) = line.iter().position(|&byte| byte == b':') {
            all.push(Field {
                name: &message[at..at + colon],
                body: &message[at + colon + 1..end],
                start: at,
                end,
            });
        } else {
            break;
        }
        at = end;
    }
    all
}

/// The first header of a name: its whole body, white space and all, but for the line's end.
pub(crate) fn find(message: &[u8], name: &str) -> Option<String> {
    fields(message)
        .iter()
        .find(|field| is_named(field, name))
        .map(|field| text(field.body))
}

fn is_named(field: &Field<'_>, name: &str) -> bool {
    field
        .name
        .trim_ascii()
        .eq_ignore_ascii_case(name.as_bytes())
}

fn text(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.trim_end_matches(['\r', '\n']).to_owned()
}

/// The message without any header of these names.
pub(crate) fn without(message: &[u8], names: &[String]) -> Vec<u8> {
    let mut left = Vec::with_capacity(message.len());
    let mut copied = 0;
    for field in fields(message) {
        if names.iter().any(|name| is_named(&field, name)) {
            left.extend_from_slice(&message[copied..field.start]);
            copied = field.end;
        }
    }
    left.extend_from_slice(&message[copied..]);
    left
}

/// The message with a header put in front.
pub(crate) fn with(message: &[u8], header: &str) -> Vec<u8> {
    let mut whole = Vec::with_capacity(message.len() + header.len() + 2);
    whole.extend_from_slice(header.as_bytes());
    whole.extend_from_slice(b"\r\n");
    whole.extend_from_slice(message);
    whole
}

/// The address in a header such as `From: Name <a@b.example>`.
pub(crate) fn address(body: &str) -> Option<String> {
    let inner = body
        .rsplit_once('<')
        .and_then(|(_, rest)| rest.split_once('>'))
        .map_or(body, |(inner, _)| inner);
    let inner = inner.trim();
    inner.contains('@').then(|| inner.to_owned())
}

/// Every line ends in CR LF, as on the wire.
pub(crate) fn normalised(message: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(message.len());
    let mut before = 0;
    for &byte in message {
        if byte == b'\n' && before != b'\r' {
            whole.push(b'\r');
        }
        whole.push(byte);
        before = byte;
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &[u8] = b"From: A <a@x.example>\r\nX-Virtual-MTA: v1\r\nX-Long: one\r\n two\r\nx-virtual-mta: v2\r\n\r\nX-Virtual-MTA: body\r\n";

    #[test]
    fn headers_are_found_with_their_white_space_and_folds() {
        assert_eq!(find(MAIL, "x-virtual-mta").as_deref(), Some(" v1"));
        assert_eq!(find(MAIL, "X-Long").as_deref(), Some(" one\r\n two"));
        assert_eq!(find(MAIL, "Subject"), None);
        assert_eq!(
            address(&find(MAIL, "from").unwrap()).as_deref(),
            Some("a@x.example")
        );
    }

    #[test]
    fn every_header_of_a_name_goes_and_the_body_stays() {
        let left = without(MAIL, &["X-Virtual-MTA".to_owned(), "X-Long".to_owned()]);
        assert_eq!(
            left,
            b"From: A <a@x.example>\r\n\r\nX-Virtual-MTA: body\r\n"
        );
    }

    #[test]
    fn bare_line_feeds_become_line_ends() {
        assert_eq!(normalised(b"a\nb\r\n"), b"a\r\nb\r\n");
    }
}
