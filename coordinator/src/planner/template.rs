//! Fills templates in, within limits: a bundle comes from an operator, and no text of it may stall or
//! exhaust a node.

use std::collections::BTreeMap;
use std::io;

use email_engine_protocol::limits;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value};

use super::error::BundleFault;
use super::role;

/// Instructions that one text may cost: about a hundred for each of 100,000 identities.
const FUEL: u64 = 10_000_000;

/// Templates of one bundle, each compiled once.
#[derive(Debug)]
pub(super) struct Templates<'a> {
    environment: Environment<'a>,
}

impl<'a> Templates<'a> {
    /// Nothing outside of the values can be reached: there is no loader.
    pub(super) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_syntax(
            SyntaxConfig::builder()
                .keep_trailing_newline(true)
                .trim_blocks(true)
                .lstrip_blocks(true)
                .build()
                .expect("the default delimiters differ from each other"),
        );
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(50);
        Self { environment }
    }

    /// Compiles a template of the bundle; `by` is the file that names it.
    pub(super) fn add_file(
        &mut self,
        files: &'a BTreeMap<String, String>,
        path: &'a str,
        by: &str,
    ) -> Result<(), BundleFault> {
        let text = role::file(files, path, by)?;
        self.environment
            .add_template(path, text)
            .map_err(|error| fault(path, &error))
    }

    /// Compiles a text that stands in a role file, such as a path.
    pub(super) fn add_text(&mut self, text: &'a str, by: &str) -> Result<(), BundleFault> {
        self.environment
            .add_template(text, text)
            .map_err(|error| in_role(by, text, &error))
    }

    /// Fills in a template of the bundle.
    pub(super) fn file(&self, path: &str, context: &Value) -> Result<String, BundleFault> {
        self.render(path, context)
            .map_err(|error| fault(path, &error))
    }

    /// Fills in a text of a role file.
    pub(super) fn text(
        &self,
        text: &str,
        by: &str,
        context: &Value,
    ) -> Result<String, BundleFault> {
        self.render(text, context)
            .map_err(|error| in_role(by, text, &error))
    }

    fn render(&self, name: &str, context: &Value) -> Result<String, Error> {
        let template = self.environment.get_template(name)?;
        let mut out = Bounded(Vec::new());
        template.render_captured_to(context.clone(), &mut out)?;
        // Templates and values are texts, so what is written is one.
        Ok(String::from_utf8_lossy(&out.0).into_owned())
    }
}

/// Refuses to grow beyond the largest body.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 > limits::BODY_BYTES {
            return Err(io::Error::other(format!(
                "the text grows beyond {} bytes",
                limits::BODY_BYTES
            )));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn fault(file: &str, error: &Error) -> BundleFault {
    BundleFault {
        file: file.to_owned(),
        line: error.line(),
        reason: reason(error),
    }
}

/// The line within a one-line text of a role file says nothing; the text itself does.
fn in_role(by: &str, text: &str, error: &Error) -> BundleFault {
    BundleFault {
        file: by.to_owned(),
        line: None,
        reason: format!("{text:?}: {}", reason(error)),
    }
}

fn reason(error: &Error) -> String {
    let detail = error.detail().map(|detail| format!(": {detail}"));
    format!("{}{}", error.kind(), detail.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    fn render(text: &str) -> Result<String, BundleFault> {
        let files = BTreeMap::from([("a.j2".to_owned(), text.to_owned())]);
        let mut templates = Templates::new();
        templates.add_file(&files, "a.j2", "role.toml")?;
        templates.file("a.j2", &context! { name => "<a&b>" })
    }

    #[test]
    fn values_are_filled_in_as_they_are() {
        assert_eq!(render("{{ name }}\n").unwrap(), "<a&b>\n");
    }

    #[test]
    fn a_broken_template_is_named_with_its_line() {
        let error = render("fine\n{% if name %}\nnever closed\n").unwrap_err();
        assert_eq!(error.file, "a.j2");
        assert!(error.line.is_some_and(|line| line >= 2), "{error}");
        let error = render("fine\n\n{{ nobody }}\n").unwrap_err();
        assert_eq!(error.line, Some(3));
        assert!(
            error
                .to_string()
                .starts_with("role bundle: a.j2 line 3: undefined value"),
            "{error}"
        );
    }

    #[test]
    fn a_template_that_runs_for_ever_or_floods_is_stopped() {
        let nested = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}x{% endfor %}{% endfor %}{% endfor %}";
        assert!(render(nested).unwrap_err().reason.contains("fuel"));
        let flood = format!(
            "{{% for a in range(9999) %}}{}{{% endfor %}}",
            "x".repeat(10_000)
        );
        let error = render(&flood).unwrap_err();
        assert!(!error.reason.is_empty(), "{error}");
    }

    #[test]
    fn nothing_outside_of_the_bundle_can_be_included() {
        let include = render("{% include \"/etc/passwd\" %}");
        assert!(include.is_err());
    }
}
