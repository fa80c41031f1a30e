//! Reads `codes.table`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::codes::Code;
use super::finding::Severity;

const TABLE: &str = include_str!("codes.table");

static RULES: LazyLock<BTreeMap<Code, Rule>> =
    LazyLock::new(|| read(TABLE).expect("the table is a constant, and a test reads it"));

/// What a code stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its code.
    pub code: Code,
    /// How bad a finding is.
    pub severity: Severity,
    /// A few words.
    pub title: &'static str,
    /// Why it matters.
    pub why: String,
    /// How it is mended.
    pub fix: String,
    /// Section of the vendor's guide, or where else it was decided.
    pub guide: &'static str,
    /// Texts that have it and texts that have not.
    pub samples: Vec<Sample>,
}

/// A text that shows a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Whether it breaks the rule.
    pub bad: bool,
    /// What it needs to be judged: `whole`, `4.5`, `change`.
    pub needs: Vec<&'static str>,
    /// The text; of a change the two texts with a line `---` between them.
    pub text: String,
}

/// All rules by code.
#[must_use]
pub fn rules() -> &'static BTreeMap<Code, Rule> {
    &RULES
}

fn read(table: &'static str) -> Result<BTreeMap<Code, Rule>, String> {
    let mut rules = BTreeMap::new();
    let mut current: Option<Rule> = None;
    for (index, line) in table.lines().enumerate() {
        let fault = || format!("codes.table:{}: {line}", index + 1);
        if line.starts_with('#') {
            continue;
        }
        if let Some(head) = line.strip_prefix("== ") {
            finish(&mut rules, current.take(), &fault)?;
            current = Some(heading(head).ok_or_else(fault)?);
        } else if let Some(rule) = &mut current {
            content(rule, line).ok_or_else(fault)?;
        } else if !line.is_empty() {
            return Err(fault());
        }
    }
    finish(&mut rules, current, &|| "codes.table: its end".to_owned())?;
    Ok(rules)
}

fn finish(
    rules: &mut BTreeMap<Code, Rule>,
    rule: Option<Rule>,
    fault: &impl Fn() -> String,
) -> Result<(), String> {
    let Some(mut rule) = rule else { return Ok(()) };
    for sample in &mut rule.samples {
        let trimmed = sample.text.trim_end().len();
        sample.text.truncate(trimmed);
        sample.text.push('\n');
    }
    match rules.insert(rule.code, rule) {
        None => Ok(()),
        Some(_) => Err(format!("a code is there twice before {}", fault())),
    }
}

/// `PM201 error the title`.
fn heading(text: &'static str) -> Option<Rule> {
    let mut words = text.splitn(3, ' ');
    let digits = words.next()?.strip_prefix("PM")?;
    let severity = match words.next()? {
        "error" => Severity::Error,
        "warning" => Severity::Warning,
        "notice" => Severity::Notice,
        _ => return None,
    };
    Some(Rule {
        code: Code(digits.parse().ok()?),
        severity,
        title: words.next()?,
        why: String::new(),
        fix: String::new(),
        guide: "",
        samples: Vec::new(),
    })
}

fn content(rule: &mut Rule, line: &'static str) -> Option<()> {
    if let Some(text) = line.strip_prefix("    ") {
        let sample = rule.samples.last_mut()?;
        sample.text.push_str(text);
        sample.text.push('\n');
    } else if line.is_empty() {
        if let Some(sample) = rule.samples.last_mut() {
            sample.text.push('\n');
        }
    } else {
        let (field, text) = line.split_once(' ').unwrap_or((line, ""));
        match field {
            "why" => add(&mut rule.why, text),
            "fix" => add(&mut rule.fix, text),
            "see" => rule.guide = text,
            "bad" | "good" => rule.samples.push(Sample {
                bad: field == "bad",
                needs: text.split_ascii_whitespace().collect(),
                text: String::new(),
            }),
            _ => return None,
        }
    }
    Some(())
}

/// A text may go on in the next line of the same name.
fn add(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::super::codes::ALL;
    use super::*;

    #[test]
    fn every_code_has_its_rule_and_every_rule_its_code() {
        let rules = read(TABLE).unwrap();
        assert_eq!(rules.keys().copied().collect::<Vec<_>>(), ALL);
        for rule in rules.values() {
            assert!(
                !rule.why.is_empty() && !rule.fix.is_empty(),
                "{}",
                rule.code
            );
            assert!(!rule.guide.is_empty(), "{}", rule.code);
            for bad in [true, false] {
                assert!(
                    rule.samples.iter().any(|s| s.bad == bad),
                    "{} {bad}",
                    rule.code
                );
            }
        }
        assert_eq!(Code::parse("pm201"), Some(Code(201)));
        for text in ["PM999", "201", "PM1", "PM0201", "é201"] {
            assert_eq!(Code::parse(text), None, "{text}");
        }
    }
}
