//! What of a configuration only a restart of the product brings into force.

use super::super::schema::{Effect, Scope, directives};
use super::super::syntax::{Limits, Sources};
use super::outline::Outline;
use super::rules::canonical;

/// Lines of a configuration that a running product takes up with a restart only, each with the value
/// that counts, its default when it is not written. A line that the configuration in force does not
/// have needs a restart, and so does one that goes: the guide says of a directive that it takes one
/// "whenever changed", and of a processor that its use does, with no word on how it ends.
///
/// What needs one only while mail is queued, or one of the monitor, which carries no mail, is not
/// among them.
#[must_use]
pub fn restart_lines(sources: &Sources) -> Vec<String> {
    let parsed = sources.parse(Limits::default());
    let outline = Outline::of(sources, &parsed);
    let mut lines = Vec::new();
    let of_restart = |directive: &&super::super::schema::Directive| {
        directive.effect == Effect::Restart && directive.scope == Scope::Global
    };
    for directive in directives().iter().filter(of_restart) {
        let written = outline.global().last(directive.keyword);
        let value = written.map_or(directive.default, |entry| Some(entry.text()));
        if let Some(value) = value {
            lines.push(format!("{} {}", directive.keyword, canonical(value)));
        }
    }
    // The first processor of its kind only starts with the program.
    for scope in [Scope::BounceProcessor, Scope::FeedbackLoopProcessor] {
        if outline.sections(scope).next().is_some() {
            lines.push(format!("<{}>", scope.name()));
        }
    }
    lines.sort();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        restart_lines(&Sources::single("/etc/pmta/config", text))
    }

    #[test]
    fn a_default_is_the_same_line_written_or_not() {
        assert_eq!(lines(""), ["run-as-root true"]);
        assert_eq!(lines("run-as-root yes\n"), ["run-as-root true"]);
        assert_eq!(lines("run-as-root no\n"), ["run-as-root false"]);
        assert_eq!(
            lines("http-mgmt-port 1\nlog-rotate 3\n"),
            ["run-as-root true"]
        );
    }

    #[test]
    fn the_first_processor_is_a_line_and_what_is_in_it_is_not() {
        let with =
            lines("<bounce-processor>\n    deliver-unmatched-email yes\n</bounce-processor>\n");
        assert_eq!(with, ["<bounce-processor>", "run-as-root true"]);
    }
}
