//! What reading a configuration of PowerMTA costs: the work grows with the text, whatever is in it.

#![allow(
    clippy::unwrap_used,
    reason = "everything in this crate is a test, its functions too"
)]

use email_engine_coordinator::powermta::syntax::{Limits, parse};

/// Shapes that would take hours, or the whole stack, if a step looked back over what was read.
const SHAPES: [(&str, usize); 6] = [
    ("<a>\n", 100_000),
    ("</a>\n", 100_000),
    ("x \"", 500_000),
    ("<", 1_000_000),
    ("\n", 300_000),
    ("<domain *>\nmax-smtp-out 1\n</domain>\n", 50_000),
];

#[test]
fn large_texts_are_read_within_their_bounds() {
    for (part, count) in SHAPES {
        let text = part.repeat(count);
        let parsed = parse("x", &text, Limits::default());
        assert!(parsed.errors.len() <= Limits::default().errors);
        assert_eq!(parsed.document.to_string().len(), text.len());
    }
}

#[test]
fn four_times_the_text_takes_about_four_times_the_work() {
    for (part, count) in SHAPES {
        let (less, more) = (work(part, count / 4), work(part, count));
        // Sixteen times, if each step looked back.
        assert!(
            more < 10 * less + 40_000_000,
            "{part:?}: {less} ns, then {more} ns"
        );
    }
}

/// Nanoseconds on a processor that reading a text takes, which others on the machine do not add to.
fn work(part: &str, count: usize) -> u64 {
    let spent = || -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    };
    let text = part.repeat(count);
    let before = spent();
    drop(parse("x", &text, Limits::default()));
    spent() - before
}
