//! Texts that an expression takes, for expressions that are little more than texts.
//!
//! Of a class of characters every one is tried, of a sign that stands for many two, and a repetition
//! once empty and once not; so an earlier expression that takes all these forms most likely takes
//! all that the later one would.

/// Most forms of one expression; what has more is not tried.
const MOST: usize = 64;
/// Most characters of a class.
const CLASS: usize = 12;

/// A text that an expression takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    text: String,
    /// A reply begins with it.
    starts: bool,
    /// A reply ends with it.
    ends: bool,
    /// It stands between words.
    bounded: bool,
}

impl Form {
    /// Replies that hold it: alone, among words, and glued to others.
    pub(super) fn replies(&self) -> impl Iterator<Item = String> {
        let around = [("", ""), ("499 4.9.9 q ", " q"), ("q", "q")];
        let most = if self.bounded { 2 } else { 3 };
        around.into_iter().take(most).map(|(before, behind)| {
            let before = if self.starts { "" } else { before };
            let behind = if self.ends { "" } else { behind };
            format!("{before}{}{behind}", self.text)
        })
    }
}

/// The forms of an expression; none when it is more than texts. Case does not count.
pub(super) fn forms(expression: &str) -> Vec<Form> {
    let mut all = Vec::new();
    for alternative in alternatives(expression) {
        match of_one(alternative) {
            Some(forms) if all.len() + forms.len() <= MOST => all.extend(forms),
            _ => return Vec::new(),
        }
    }
    all
}

/// The parts between `|`; an expression with groups is no text for [`of_one`] anyway.
fn alternatives(expression: &str) -> Vec<&str> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    let (mut escaped, mut class) = (false, false);
    for (at, c) in expression.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '|' if !class => {
                parts.push(&expression[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&expression[begin..]);
    parts
}

fn of_one(expression: &str) -> Option<Vec<Form>> {
    let rest = expression.strip_prefix('^');
    let mut forms = vec![Form {
        starts: rest.is_some(),
        ..Form::default()
    }];
    let mut signs = rest.unwrap_or(expression).chars().peekable();
    while let Some(c) = signs.next() {
        if c == '$' {
            signs.peek().is_none().then_some(())?;
            forms.iter_mut().for_each(|form| form.ends = true);
            break;
        }
        let mut options: Vec<String> = match c {
            '\\' => match signs.next()? {
                'b' => {
                    forms.iter_mut().for_each(|form| form.bounded = true);
                    continue;
                }
                'd' => vec!["2".into(), "7".into()],
                's' => vec![" ".into(), "\t".into()],
                'w' => vec!["q".into(), "7".into()],
                c if !c.is_ascii_alphanumeric() => vec![c.into()],
                _ => return None,
            },
            '.' => vec!["q".into(), "-".into()],
            '[' => class(&mut signs)?,
            c if "^|?*+()]{}".contains(c) => return None,
            c => vec![c.into()],
        };
        if let Some(sign) = signs.next_if(|c| "*+?{".contains(*c)) {
            let doubled: Vec<String> = options.iter().map(|text| text.repeat(2)).collect();
            match sign {
                '*' => options = [vec![String::new()], doubled].concat(),
                '+' => options.extend(doubled),
                '?' => options.push(String::new()),
                _ => return None,
            }
            // As few as may be, or as many: the texts are the same.
            signs.next_if(|c| "?+".contains(*c));
        }
        if forms.len() * options.len() > MOST {
            return None;
        }
        let longer = |form: &Form| {
            let with = |text: &String| Form {
                text: format!("{}{text}", form.text),
                ..form.clone()
            };
            options.iter().map(with).collect::<Vec<_>>()
        };
        forms = forms.iter().flat_map(longer).collect();
    }
    Some(forms)
}

/// The characters of a class such as `[1-3x]`, behind its opening bracket.
fn class(signs: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Vec<String>> {
    let mut found: Vec<char> = Vec::new();
    loop {
        let c = match signs.next()? {
            ']' if !found.is_empty() => break,
            '^' | '[' | ']' => return None,
            '\\' => signs.next().filter(|c| !c.is_ascii_alphanumeric())?,
            c => c,
        };
        found.push(c);
        if signs.next_if_eq(&'-').is_some() {
            let last = signs.next().filter(|last| *last != ']' && *last > c)?;
            found.extend((c..=last).skip(1).take(CLASS + 1));
        }
        if found.len() > CLASS {
            return None;
        }
    }
    Some(found.into_iter().map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(expression: &str) -> Vec<String> {
        let forms = forms(expression).into_iter();
        forms.map(|form| form.text).collect()
    }

    #[test]
    fn an_expression_that_is_a_text_stands_for_its_forms() {
        assert_eq!(texts(r"\[TS04\]"), ["[TS04]"]);
        assert_eq!(texts("RP-00[13]"), ["RP-001", "RP-003"]);
        assert_eq!(texts("a|b[1-3]"), ["a", "b1", "b2", "b3"]);
        assert_eq!(texts("ab?c"), ["abc", "ac"]);
        assert_eq!(texts("a.*b"), ["ab", "aqqb", "a--b"]);
        for more in [
            "(a)",
            "[^a]",
            "[a-z]",
            "a{2}",
            r"\x23",
            "a$b",
            r"\w\w\w\w\w\w\w",
        ] {
            assert!(forms(more).is_empty(), "{more}");
        }
    }

    #[test]
    fn what_is_tied_to_an_end_or_to_words_is_tried_only_there() {
        let replies = |expression| forms(expression)[0].replies().collect::<Vec<_>>();
        assert_eq!(replies("a"), ["a", "499 4.9.9 q a q", "qaq"]);
        assert_eq!(replies("^a$"), ["a", "a", "a"]);
        assert_eq!(replies(r"\ba\b"), ["a", "499 4.9.9 q a q"]);
    }
}
