//! From files to a tree of sections and directives, each checked against the schema.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{At, ConfigError};
use super::line::{Line, read, split_word};
use super::pattern::wildcard;
use super::schema::{self, Argument, Directive, Scope};
use super::value::Value;

/// An include inside an include, so deep, is a loop.
const DEEPEST_INCLUDE: usize = 16;
/// No configuration of a real fleet comes near.
const LARGEST_FILE: u64 = 256 << 20;

/// A directive with its arguments.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) values: Vec<Value>,
    pub(super) text: String,
    pub(super) at: At,
}

/// A line of a list of rules; `nested` is the list that it opens.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) keyword: String,
    pub(super) rest: String,
    pub(super) at: At,
    pub(super) nested: Option<Section>,
}

/// A section, or the whole file.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) scope: Scope,
    pub(super) argument: String,
    pub(super) at: At,
    pub(super) nodes: Vec<Node>,
}

/// What stands in a section.
#[derive(Debug)]
pub(super) enum Node {
    Entry(Entry),
    Rule(Rule),
    Section(Section),
}

/// Reads a file and all that it includes.
pub(super) fn parse(file: &Path) -> Result<Section, ConfigError> {
    let top = At {
        file: Arc::new(file.to_path_buf()),
        line: 0,
    };
    let mut parser = Parser {
        stack: vec![Frame::new(Scope::Global, "", String::new(), top)],
        includes: 0,
    };
    parser.file(file)?;
    let frame = parser
        .stack
        .pop()
        .expect("the frame of the file is never closed");
    Ok(frame.into_section())
}

struct Frame {
    section: Section,
    name: String,
    /// The rule whose result this section is.
    rule: Option<Rule>,
}

impl Frame {
    fn new(scope: Scope, name: &str, argument: String, at: At) -> Self {
        Self {
            section: Section {
                scope,
                argument,
                at,
                nodes: Vec::new(),
            },
            name: name.to_ascii_lowercase(),
            rule: None,
        }
    }

    fn into_section(self) -> Section {
        self.section
    }
}

struct Parser {
    stack: Vec<Frame>,
    includes: usize,
}

impl Parser {
    fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = read_file(path)?;
        let file = Arc::new(path.to_path_buf());
        let depth = self.stack.len();
        for (index, line) in text.lines().enumerate() {
            let at = At {
                file: Arc::clone(&file),
                line: index + 1,
            };
            self.line(line, &at)?;
            if self.stack.len() < depth {
                return Err(at.grammar("closes a section that another file has opened"));
            }
        }
        match self.stack.get(depth) {
            None => Ok(()),
            Some(open) => Err(open
                .section
                .at
                .grammar(format!("<{}> is not closed", open.name))),
        }
    }

    fn line(&mut self, line: &str, at: &At) -> Result<(), ConfigError> {
        match read(line).map_err(|what| at.grammar(what))? {
            Line::Blank => Ok(()),
            Line::Open { name, argument } => self.open(name, argument, at),
            Line::Close { name } => self.close(name, at),
            Line::Directive { keyword, rest } => self.directive(keyword, rest, at),
        }
    }

    fn scope(&self) -> Scope {
        self.stack
            .last()
            .map_or(Scope::Global, |frame| frame.section.scope)
    }

    fn push(&mut self, node: Node) {
        if let Some(frame) = self.stack.last_mut() {
            frame.section.nodes.push(node);
        }
    }

    fn open(&mut self, name: &str, argument: &str, at: &At) -> Result<(), ConfigError> {
        let (scope, wanted) = schema::section(self.scope(), name)
            .ok_or_else(|| at.grammar(format!("unknown section <{name}>")))?;
        let argument = unquoted(argument);
        match (wanted, argument.is_empty()) {
            (Argument::None, false) => {
                return Err(at.value(format!("<{name}> takes no argument")));
            }
            (Argument::Needed | Argument::Path, true) => return Err(at.value("argument missing")),
            (Argument::Needed, false) if argument.contains(char::is_whitespace) => {
                return Err(at.value(format!("<{name}> takes one argument, not '{argument}'")));
            }
            _ => {}
        }
        self.stack
            .push(Frame::new(scope, name, argument, at.clone()));
        Ok(())
    }

    fn close(&mut self, name: &str, at: &At) -> Result<(), ConfigError> {
        let closes = self.stack.len() > 1
            && self
                .stack
                .last()
                .is_some_and(|frame| frame.name == name.to_ascii_lowercase());
        if !closes {
            return Err(at.grammar(format!("</{name}> closes nothing that is open here")));
        }
        if let Some(mut frame) = self.stack.pop() {
            let rule = frame.rule.take();
            let section = frame.into_section();
            self.push(match rule {
                None => Node::Section(section),
                Some(rule) => Node::Rule(Rule {
                    nested: Some(section),
                    ..rule
                }),
            });
        }
        Ok(())
    }

    fn directive(&mut self, keyword: &str, rest: &str, at: &At) -> Result<(), ConfigError> {
        let scope = self.scope();
        let rules = matches!(
            scope,
            Scope::PatternList | Scope::SmtpPatternList | Scope::BounceCategories | Scope::Aliases
        );
        if keyword.eq_ignore_ascii_case("include") {
            return self.include(scope, rest, at);
        }
        if rules {
            self.rule(scope, keyword, rest, at);
            return Ok(());
        }
        let known = schema::find(scope, keyword).ok_or_else(|| {
            at.grammar(if schema::exists(keyword) {
                format!("directive {keyword} is not allowed here")
            } else {
                format!("unknown directive {keyword}")
            })
        })?;
        let values = arguments(known, rest, at)?;
        self.push(Node::Entry(Entry {
            name: known.name,
            values,
            text: unquoted(rest),
            at: at.clone(),
        }));
        Ok(())
    }

    fn rule(&mut self, scope: Scope, keyword: &str, rest: &str, at: &At) {
        let opens = rest
            .strip_suffix("<pattern-list>")
            .filter(|_| scope == Scope::PatternList);
        // Bounce categories have no keyword: the expression is the first thing of the line.
        let (keyword, rest) = if scope == Scope::BounceCategories {
            (String::new(), format!("{keyword} {rest}"))
        } else {
            (
                keyword.to_ascii_lowercase(),
                opens.unwrap_or(rest).trim().to_owned(),
            )
        };
        let rule = Rule {
            keyword,
            rest,
            at: at.clone(),
            nested: None,
        };
        if opens.is_none() {
            self.push(Node::Rule(rule));
            return;
        }
        let mut frame = Frame::new(scope, "pattern-list", String::new(), at.clone());
        frame.rule = Some(rule);
        self.stack.push(frame);
    }

    fn include(&mut self, scope: Scope, rest: &str, at: &At) -> Result<(), ConfigError> {
        let allowed = matches!(
            scope,
            Scope::Global
                | Scope::Source
                | Scope::Domain
                | Scope::VirtualMta
                | Scope::SmtpPatternList
        );
        if !allowed {
            return Err(at.grammar("directive include is not allowed here"));
        }
        let path = unquoted(rest);
        if path.is_empty() {
            return Err(at.value("argument missing"));
        }
        if !path.starts_with('/') {
            return Err(at.value(format!("absolute path expected instead of '{path}'")));
        }
        if self.includes == DEEPEST_INCLUDE {
            return Err(at.value("files include each other"));
        }
        let files = files_of(&path).map_err(|what| at.value(what))?;
        self.includes += 1;
        for file in files {
            self.file(&file)?;
        }
        self.includes -= 1;
        Ok(())
    }
}

fn arguments(known: &Directive, rest: &str, at: &At) -> Result<Vec<Value>, ConfigError> {
    let mut values = Vec::new();
    let mut rest = rest;
    let needed = known.arguments.len() - known.optional;
    for (index, kind) in known.arguments.iter().enumerate() {
        if rest.is_empty() {
            if index < needed {
                return Err(at.value("argument missing"));
            }
            break;
        }
        let (value, left) = kind
            .take(rest)
            .map_err(|what| at.value(format!("{}: {what}", known.name)))?;
        values.push(value);
        rest = left;
    }
    if !rest.is_empty() {
        return Err(at.value(format!("{}: too many arguments: '{rest}'", known.name)));
    }
    Ok(values)
}

fn unquoted(text: &str) -> String {
    text.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .map_or_else(|| text.to_owned(), |inner| inner.replace("\\\"", "\""))
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |why: String| ConfigError::Unreadable {
        file: path.to_path_buf(),
        why,
    };
    let length = fs::metadata(path)
        .map_err(|error| unreadable(error.to_string()))?
        .len();
    if length > LARGEST_FILE {
        return Err(unreadable(format!(
            "{length} bytes, at most {LARGEST_FILE} are read"
        )));
    }
    fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))
}

/// The files of an include, in the order of their names; `*` stands for any part of a file's name.
///
/// The guide does not say whether a wildcard without a match is a fault; here it is none.
fn files_of(path: &str) -> Result<Vec<PathBuf>, String> {
    let path = Path::new(path);
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if !name.contains('*') {
        return if path.is_file() {
            Ok(vec![path.to_path_buf()])
        } else {
            Err(format!("cannot open file {}", path.display()))
        };
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let mut found: Vec<_> = fs::read_dir(folder)
        .map_err(|error| format!("cannot open folder {}: {error}", folder.display()))?
        .filter_map(Result::ok)
        .filter(|entry| wildcard(name, &entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    Ok(found)
}

/// The first word of a rule's rest, and what follows.
pub(super) fn word(text: &str) -> (&str, &str) {
    split_word(text)
}
