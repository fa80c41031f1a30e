//! Every directive of the vendor's guide (5.0), where it may stand and what it takes.
//!
//! The facts are in `directives.table`, one directive a line, to be read beside the guide; what is in
//! no line of it is not in the guide's index. Sections are few and stand in [`SECTIONS`]; words that
//! are often written and exist nowhere are in [`invention`].

mod directive;
mod effect;
mod invented;
mod scope;
mod table;
pub mod value;
mod version;

pub use directive::{Directive, Standing};
pub use effect::Effect;
pub use invented::{Invention, invention};
pub use scope::{Argument, SECTIONS, Scope, SectionRule};
pub use table::{directive, directives, scopes_of};
pub use version::{Since, Version};
