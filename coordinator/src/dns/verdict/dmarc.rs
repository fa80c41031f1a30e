//! DMARC by RFC 9989: which record applies is found by a walk up the tree of names.

use super::answers::{Lacking, shown};
use super::tags::{tags, value};
use super::{Answers, Datum, Kind, One, Question};

/// Names with more labels than this are walked from here on.
const LABELS: usize = 8;
/// Tags of RFC 7489 that mean nothing any more.
const LEFT_OVER: [&str; 3] = ["pct", "rf", "ri"];

/// The names at which a policy is looked for, the domain's own first (RFC 9989, section 4.10).
#[must_use]
pub fn tree_walk(domain: &str) -> Vec<String> {
    let labels: Vec<&str> = domain.split('.').collect();
    let mut names = vec![domain.to_owned()];
    let first = match labels.len() {
        many if many > LABELS => many - (LABELS - 1),
        _ => 1,
    };
    names.extend((first..labels.len()).map(|at| labels[at..].join(".")));
    names
}

/// A policy that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Policy {
    /// Whether the name is itself where names are registered.
    psd: Option<bool>,
    warnings: Vec<String>,
}

/// Judges what a server shows at `_dmarc` of the domain. Without a record there the policy of the
/// organisation applies, if it has one.
pub(super) fn judge(
    records: &[Datum],
    domain: &str,
    answers: &Answers,
    lacking: &mut Lacking,
) -> Option<One> {
    match policy(records) {
        Err(seen) => return Some(One::Bad(seen, None)),
        Ok(Some(policy)) => return Some(One::Good(policy.warnings)),
        Ok(None) => {}
    }
    let mut found: Vec<(String, Policy)> = Vec::new();
    for name in tree_walk(domain).into_iter().skip(1) {
        let question = Question::new(format!("_dmarc.{name}"), Kind::Txt);
        let records = match answers.any(&question, lacking)? {
            Ok((records, _)) => records,
            Err(why) => return Some(One::Open(why)),
        };
        // A wrong one above says nothing of the domain: it is passed over as receivers do.
        if let Ok(Some(policy)) = policy(records) {
            let psd = policy.psd;
            found.push((name, policy));
            if psd.is_some() {
                break;
            }
        }
    }
    // A registry's record is of the organisation below it, which has none here, and nothing of ours.
    let organisation = found
        .into_iter()
        .rfind(|(_, policy)| policy.psd != Some(true));
    Some(organisation.map_or_else(
        || One::Bad("no record, and none applies from above".to_owned(), None),
        |(name, mut policy)| {
            let says = format!("no record of its own: the one of {name} applies");
            policy.warnings.insert(0, says);
            One::Good(policy.warnings)
        },
    ))
}

/// The policy among the texts at a name; none when there is no DMARC record.
fn policy(records: &[Datum]) -> Result<Option<Policy>, String> {
    let texts = records.iter().filter_map(|record| match record {
        Datum::Txt(text) => Some(shown(text)),
        _ => None,
    });
    let texts: Vec<String> = texts.filter(|text| is_dmarc(text)).collect();
    match &texts[..] {
        [] => Ok(None),
        [text] => one(text).map(Some),
        many => Err(format!(
            "{} DMARC records, of which receivers take none",
            many.len()
        )),
    }
}

fn is_dmarc(text: &str) -> bool {
    let first = text.split(';').next().unwrap_or_default();
    let tag = first.split_once('=');
    tag.is_some_and(|(name, value)| name.trim() == "v" && value.trim() == "DMARC1")
}

fn one(text: &str) -> Result<Policy, String> {
    let tags = tags(text)?;
    let mut warnings = Vec::new();
    let reports = value(&tags, "rua");
    if let Some(list) = reports {
        let mut all = list.split(',').map(str::trim);
        if let Some(wrong) = all.clone().find(|one| !one.contains(':')) {
            return Err(format!("rua= with {wrong:?}, which is no URI"));
        }
        if all.any(|one| one.contains('!')) {
            warnings.push("rua= has a size behind \"!\", which means nothing any more".to_owned());
        }
    }
    match value(&tags, "p") {
        Some(p) if is_policy(p) => {}
        None => warnings.push("p= is missing: receivers take it as none".to_owned()),
        Some(p) if reports.is_some() => {
            warnings.push(format!("p={p} is none of none, quarantine, reject"));
        }
        Some(p) => {
            return Err(format!(
                "p={p}, which is none of none, quarantine, reject, and no rua="
            ));
        }
    }
    for name in LEFT_OVER {
        if value(&tags, name).is_some() {
            warnings.push(format!("{name}= means nothing any more (RFC 9989)"));
        }
    }
    if value(&tags, "t") == Some("y") {
        warnings.push("t=y: receivers apply the policy one step weaker".to_owned());
    }
    let psd = match value(&tags, "psd") {
        Some("y") => Some(true),
        Some("n") => Some(false),
        _ => None,
    };
    Ok(Policy { psd, warnings })
}

fn is_policy(text: &str) -> bool {
    let policies = ["none", "quarantine", "reject"];
    policies.contains(&text.to_ascii_lowercase().as_str())
}
