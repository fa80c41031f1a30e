//! What a product still holds under a name, such as mail in a queue, and would lose with the name.

use serde::{Deserialize, Serialize};

use super::CommandLine;

/// Stands for the name that is asked about, in arguments and in [`CountSpec::belongs`].
pub const NAME: &str = "{name}";

/// Names of a content that hold something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainSpec {
    /// All such names of this content, in order. A content that lacks one of the content in force
    /// does not go live while the name holds something, or while nobody knows.
    pub holds: Vec<String>,
    /// Those of them that take nothing new and are to go: what they hold is reported. In order.
    pub leaving: Vec<String>,
    /// Names that may go whatever they hold, by an operator's word. In order.
    pub given_up: Vec<String>,
    /// How the product is asked.
    pub question: CountSpec,
}

/// A command that answers in JSON how much a name holds: a list of items, whose counts are added up.
/// An answer of any other form is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountSpec {
    /// What is run, without a shell, with [`NAME`] in its arguments. Success is code 0.
    pub command: CommandLine,
    /// Ended and failed after this many seconds; see [`PROBE_SECONDS`](crate::limits::PROBE_SECONDS).
    pub seconds: u32,
    /// A JSON pointer (RFC 6901) to the items: a list, or a single one in its place.
    pub list: String,
    /// Pointer to an item's name, within the item.
    pub name: String,
    /// How each item's name ends, with [`NAME`] in it, whatever its case: another answer is one to
    /// another question.
    pub belongs: String,
    /// Pointer to an item's count, within the item.
    pub count: String,
    /// Whether there are no items where the list is absent and what should hold it is there.
    pub absent_is_none: bool,
}

impl CountSpec {
    /// The command that asks about a name.
    #[must_use]
    pub fn about(&self, name: &str) -> CommandLine {
        let arguments = self.command.arguments.iter();
        CommandLine {
            program: self.command.program.clone(),
            arguments: arguments.map(|text| text.replace(NAME, name)).collect(),
        }
    }
}
