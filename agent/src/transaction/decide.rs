//! What comes next for a transaction, from where it stands and what was found. Tables of decisions:
//! no machine, no clock.

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{RestartSpec, TransactionSpec};

use super::content::short;
use super::standing::{Blame, Failure, Journal, Refusal, Stage, Standing};

/// Why the wanted content is not brought into force; the good one is kept instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// These names of the good content are not in it, and hold something or may.
    Drains(Vec<String>),
    /// It was refused, and has not changed since.
    Refused(Refusal),
    /// These lines of it need a restart that nobody allowed.
    Restart(Vec<String>),
    /// Nobody knows which names are in force, so it may lack any.
    Unknown,
}

/// What is said of a transaction beside whether its files are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its content was refused: what, where and why.
    Refused(String),
    /// A change could not be undone.
    Stuck(String),
    /// Its content waits: for an operator's word, or until nothing is lost with it.
    Waits(String),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The wanted content goes through all stages.
    Change,
    /// Nothing.
    Nothing,
    /// The content that is in force, or should be, is put back.
    Repair,
}

/// Whether the wanted content is held back.
#[must_use]
pub fn held(standing: &Standing, wanted: &ContentHash, spec: &TransactionSpec) -> Option<Held> {
    let good = standing.good.as_ref();
    if good.is_some_and(|good| good.digest == *wanted) {
        return None;
    }
    if let Some(refused) = standing
        .refused
        .as_ref()
        .filter(|one| one.digest == *wanted)
    {
        return Some(Held::Refused(refused.clone()));
    }
    if is_unknown(standing, spec) {
        return Some(Held::Unknown);
    }
    let lines = needs_restart(standing, &spec.restart);
    (!lines.is_empty() && !spec.restart.allowed).then_some(Held::Restart(lines))
}

/// Whether nobody knows what may be lost with a content, and no operator has said since that it may.
fn is_unknown(standing: &Standing, spec: &TransactionSpec) -> bool {
    let lost = standing.lost.as_ref();
    let lost = lost.filter(|lost| spec.drain.is_some() && lost.holds.is_none());
    lost.is_some_and(|lost| spec.attempt <= lost.attempt)
}

/// Lines that are not in force, or shall be no more, and wait for an operator to allow a restart. Of
/// the first content, none: see [`restarts`].
#[must_use]
pub fn needs_restart(standing: &Standing, restart: &RestartSpec) -> Vec<String> {
    let good = standing.good.as_ref();
    good.map(|good| restart.changed_from(&good.restart))
        .unwrap_or_default()
}

/// Whether the content is brought into force by a restart: for lines that need one, and always for the
/// first content that has such lines. What a running product was started with nobody knows then, and
/// that the host was let into the fleet is the word for it.
#[must_use]
pub fn restarts(standing: &Standing, restart: &RestartSpec) -> bool {
    match &standing.good {
        None => !restart.lines.is_empty(),
        Some(_) => !needs_restart(standing, restart).is_empty(),
    }
}

/// What is to be done. `held` says that the good content is what shall be there, and `differs` that
/// the files are not what shall be there.
#[must_use]
pub fn next(standing: &Standing, wanted: &ContentHash, held: bool, differs: bool) -> Next {
    let good = standing.good.as_ref();
    let is_good = good.is_some_and(|good| good.digest == *wanted);
    match (held || is_good, good) {
        (true, None) => Next::Nothing,
        (true, Some(_)) if differs || standing.owed => Next::Repair,
        (true, Some(_)) => Next::Nothing,
        (false, _) => Next::Change,
    }
}

/// What the files that a journal put back need to be in force again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revival {
    /// Nothing: the product never heard of the others.
    None,
    /// What activates, or a restart when the change took one.
    Activate,
    /// The service did not run before, so it is stopped.
    Stop,
}

/// Who undoes a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndoneBy {
    /// Whoever found its journal: the product may have been started since with the files of the change,
    /// or have failed to.
    Finder,
    /// Whoever made it: the product heard what it was told, and nothing else.
    ItsMaker,
}

/// How a journal is undone once its files are back.
#[must_use]
pub fn revival(journal: &Journal, by: UndoneBy) -> Revival {
    if by == UndoneBy::Finder && journal.was_running {
        return Revival::Activate;
    }
    let reached = journal
        .failure
        .as_ref()
        .map_or(journal.stage, |failure| failure.stage);
    let reached = reached.max(journal.stage);
    match (reached >= Stage::Activate, journal.was_running) {
        (false, _) => Revival::None,
        (true, true) => Revival::Activate,
        (true, false) if journal.unit.is_some() => Revival::Stop,
        (true, false) => Revival::Activate,
    }
}

/// Whether files that were put back, and could not be revived like this, are to be brought into force:
/// not those that were there before there was a content, of a product that did not run.
#[must_use]
pub fn owes(standing: &Standing, how: Revival) -> bool {
    standing.good.is_some() || how == Revival::Activate
}

/// What is remembered of an undone change: nothing of one that was cut off. `revived` says that the
/// files before it are in force again, as far as they were.
#[must_use]
pub fn refusal(journal: &Journal, revived: bool, before: Option<Refusal>) -> Option<Refusal> {
    let is_of_content = |blame: Blame| match blame {
        Blame::Content => true,
        Blame::Machine => false,
        Blame::Start => revived,
    };
    match &journal.failure {
        Some(failure) if is_of_content(failure.blame) => Some(Refusal {
            digest: journal.wanted,
            stage: failure.stage,
            reason: failure.reason.clone(),
        }),
        _ => before,
    }
}

/// What is said of a transaction whose content is held back.
#[must_use]
pub fn verdict(standing: &Standing, held: &Held) -> Verdict {
    let text = told(standing, held);
    match held {
        Held::Refused(_) => Verdict::Refused(text),
        Held::Drains(_) | Held::Restart(_) | Held::Unknown => Verdict::Waits(text),
    }
}

/// What an operator is told of a content that is held back.
#[must_use]
pub fn told(standing: &Standing, held: &Held) -> String {
    let live = standing.good.as_ref().map_or_else(
        || "the files that were there before are kept".to_owned(),
        |good| format!("content {} is kept", short(&good.digest)),
    );
    match held {
        Held::Refused(Refusal {
            digest,
            stage,
            reason,
        }) => {
            let digest = short(digest);
            format!("content {digest} was refused at stage {stage}, {live}: {reason}")
        }
        Held::Drains(names) => format!(
            "waits until what would be lost with it is gone, {live}: {}",
            names.join("; ")
        ),
        Held::Restart(lines) => format!(
            "waits for an operator to allow a restart, {live}: only a restart brings into force: {}",
            lines.join("; ")
        ),
        Held::Unknown => format!(
            "waits for an operator, {live}: what was known of the content in force is damaged on disk, \
             so nobody knows what would be lost with this one; see on the host what still waits there, \
             and let this one go live with `email-engine hosts retry HOST`"
        ),
    }
}

/// What an operator is told of a change that the machine, and not its content, kept from getting
/// through.
#[must_use]
pub fn told_failure(wanted: &ContentHash, failure: &Failure) -> String {
    format!(
        "content {} did not get through stage {} and is tried again, the files before it are back: {}",
        short(wanted),
        failure.stage,
        failure.reason
    )
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::desired::{CommandCheck, CommandLine, DrainSpec, HostPath, Spec};
    use email_engine_protocol::id::ResourceId;
    use proptest::prelude::*;

    use super::super::standing::{Good, Lost};
    use super::super::tests::{pair, question};
    use super::*;

    const A: ContentHash = ContentHash([0xa; 32]);
    const B: ContentHash = ContentHash([0xb; 32]);

    fn standing(good: Option<ContentHash>, refused: Option<ContentHash>) -> Standing {
        Standing {
            good: good.map(|digest| Good {
                digest,
                restart: vec!["old".to_owned()],
                holds: Vec::new(),
            }),
            refused: refused.map(|digest| Refusal {
                digest,
                stage: Stage::Test,
                reason: "line 7".to_owned(),
            }),
            ..Standing::new(ResourceId::new("transaction:pmta").unwrap())
        }
    }

    fn spec() -> TransactionSpec {
        match pair(&[]).spec {
            Spec::Transaction(spec) => spec,
            other => unreachable!("{other:?}"),
        }
    }

    fn held(standing: &Standing, wanted: &ContentHash, restart: &RestartSpec) -> Option<Held> {
        let restart = restart.clone();
        super::held(standing, wanted, &TransactionSpec { restart, ..spec() })
    }

    fn restart(lines: &[&str], allowed: bool) -> RestartSpec {
        RestartSpec {
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            allowed,
        }
    }

    #[test]
    fn a_refused_content_is_held_until_it_changes() {
        let at = standing(Some(A), Some(B));
        let none = restart(&["old"], false);
        assert!(matches!(held(&at, &B, &none), Some(Held::Refused(_))));
        assert_eq!(held(&at, &A, &none), None, "the good one is not held");
        assert_eq!(held(&at, &ContentHash([0xc; 32]), &none), None);
        let text = told(&at, &held(&at, &B, &none).unwrap());
        assert_eq!(
            text,
            "content 0b0b0b0b0b0b was refused at stage test, content 0a0a0a0a0a0a is kept: line 7"
        );
    }

    #[test]
    fn the_first_content_starts_anew_where_it_has_lines_that_need_it() {
        let first = standing(None, None);
        assert!(restarts(&first, &restart(&["new"], false)));
        assert!(!restarts(&first, &restart(&[], false)));
    }

    #[test]
    fn restart_lines_that_come_or_go_wait_for_the_word() {
        let at = standing(Some(A), None);
        let waits = held(&at, &B, &restart(&["new", "old"], false)).unwrap();
        assert_eq!(waits, Held::Restart(vec!["new".to_owned()]));
        assert!(told(&at, &waits).ends_with("into force: new"));
        assert_eq!(held(&at, &B, &restart(&["new", "old"], true)), None);
        let goes = restart(&[], false);
        let waits = held(&at, &B, &goes).unwrap();
        assert_eq!(waits, Held::Restart(vec!["no more old".to_owned()]));
        assert!(restarts(&at, &goes));
        assert_eq!(held(&at, &B, &restart(&[], true)), None);
        assert_eq!(held(&at, &B, &restart(&["old"], false)), None);
        let first = standing(None, None);
        assert_eq!(held(&first, &B, &restart(&["new"], false)), None);
    }

    #[test]
    fn names_that_nobody_knows_wait_for_a_word_from_after_they_were_lost() {
        let mut asks = spec();
        asks.drain = Some(DrainSpec {
            holds: Vec::new(),
            leaving: Vec::new(),
            given_up: Vec::new(),
            question: question(),
        });
        let mut at = standing(None, None);
        for (known, word, is_asked, expected) in [
            (false, 1, true, Some(Held::Unknown)),
            (false, 2, true, Some(Held::Unknown)),
            (false, 3, true, None),
            (false, 2, false, None),
            (true, 2, true, None),
        ] {
            at.lost = Some(Lost {
                holds: known.then(Vec::new),
                attempt: 2,
            });
            let mut wants = asks.clone();
            wants.attempt = word;
            wants.drain = wants.drain.filter(|_| is_asked);
            let got = super::held(&at, &B, &wants);
            assert_eq!(got, expected, "{known} {word} {is_asked}");
        }
    }

    #[test]
    fn the_next_thing_follows_from_the_table() {
        for (good, wanted, is_held, differs, owed, expected) in [
            (None, A, false, true, false, Next::Change),
            (None, A, false, false, false, Next::Change),
            (None, A, true, true, false, Next::Nothing),
            (Some(A), A, false, false, false, Next::Nothing),
            (Some(A), A, false, true, false, Next::Repair),
            (Some(A), A, false, false, true, Next::Repair),
            (Some(A), B, false, false, false, Next::Change),
            (Some(A), B, true, false, false, Next::Nothing),
            (Some(A), B, true, true, false, Next::Repair),
            (Some(A), B, true, false, true, Next::Repair),
        ] {
            let mut at = standing(good, None);
            at.owed = owed;
            let got = next(&at, &wanted, is_held, differs);
            assert_eq!(
                got, expected,
                "{good:?} {wanted} {is_held} {differs} {owed}"
            );
        }
    }

    fn journal(stage: Stage, failure: Option<Stage>, was_running: bool) -> Journal {
        Journal {
            wanted: B,
            previous: Vec::new(),
            stage,
            was_running,
            restarts: false,
            activate: CommandCheck {
                command: CommandLine {
                    program: HostPath::new("/usr/sbin/pmta").unwrap(),
                    arguments: Vec::new(),
                },
                seconds: 1,
                refused_by: Vec::new(),
                must_say: Vec::new(),
            },
            unit: Some("pmta.service".to_owned()),
            failure: failure.map(|stage| Failure {
                stage,
                reason: "why".to_owned(),
                blame: match stage {
                    Stage::Swap => Blame::Machine,
                    Stage::Activate => Blame::Start,
                    _ => Blame::Content,
                },
            }),
        }
    }

    #[test]
    fn a_product_that_never_heard_of_a_change_is_not_told_of_its_undoing() {
        for (stage, failure, was_running, expected) in [
            (Stage::Swap, None, true, Revival::None),
            (Stage::Test, None, true, Revival::None),
            (Stage::Test, Some(Stage::Test), true, Revival::None),
            (Stage::Activate, None, true, Revival::Activate),
            (Stage::Activate, Some(Stage::Activate), false, Revival::Stop),
            (Stage::Health, Some(Stage::Health), true, Revival::Activate),
        ] {
            let got = revival(&journal(stage, failure, was_running), UndoneBy::ItsMaker);
            assert_eq!(got, expected, "{stage} {failure:?} {was_running}");
        }
    }

    #[test]
    fn a_product_that_ran_when_the_power_went_runs_again() {
        for stage in [Stage::Swap, Stage::Test, Stage::Activate, Stage::Health] {
            let found = |was_running| revival(&journal(stage, None, was_running), UndoneBy::Finder);
            assert_eq!(found(true), Revival::Activate, "{stage}");
            let made = revival(&journal(stage, None, false), UndoneBy::ItsMaker);
            assert_eq!(found(false), made, "{stage}");
        }
    }

    #[test]
    fn what_was_cut_off_or_failed_by_the_machine_is_not_refused() {
        let cut_off = journal(Stage::Health, None, true);
        let by_disk = journal(Stage::Swap, Some(Stage::Swap), true);
        let refused = journal(Stage::Test, Some(Stage::Test), true);
        for revived in [true, false] {
            assert_eq!(refusal(&cut_off, revived, None), None);
            assert_eq!(refusal(&by_disk, revived, None), None);
            assert_eq!(refusal(&refused, revived, None).unwrap().digest, B);
        }
    }

    #[test]
    fn a_service_that_does_not_start_refuses_what_it_does_start_without() {
        let unstarted = journal(Stage::Activate, Some(Stage::Activate), true);
        assert_eq!(refusal(&unstarted, true, None).unwrap().digest, B);
        assert_eq!(refusal(&unstarted, false, None), None);
    }

    fn any_digest() -> impl Strategy<Value = ContentHash> {
        (0_u8..3).prop_map(|byte| ContentHash([byte; 32]))
    }

    proptest! {
        /// Whatever came before: a refused content is never tried, a good one never judged again,
        /// and drift never leads to anything but what is good.
        #[test]
        fn nothing_refused_is_ever_tried(
            good in proptest::option::of(any_digest()),
            refused in proptest::option::of(any_digest()),
            wanted in any_digest(),
            lines in proptest::collection::vec("[ab]", 0..3),
            allowed: bool,
            differs: bool,
            owed: bool,
        ) {
            let mut at = standing(good, refused);
            at.owed = owed;
            let spec = RestartSpec { lines, allowed };
            let is_held = held(&at, &wanted, &spec).is_some();
            let next = next(&at, &wanted, is_held, differs);
            if next == Next::Change {
                prop_assert!(good != Some(wanted));
                prop_assert!(refused != Some(wanted));
                prop_assert!(allowed || needs_restart(&at, &spec).is_empty());
            }
            if next == Next::Repair {
                prop_assert!(good.is_some() && (differs || owed));
            }
            if next == Next::Nothing {
                prop_assert!(good.is_none() || !(differs || owed));
                prop_assert!(is_held || good == Some(wanted));
            }
        }
    }
}
