//! A configuration as sections with their lines, across files.

use std::collections::BTreeMap;

use super::super::schema::Scope;
use super::super::syntax::{Include, Line, Node, Opening, Parsed, Sources, Words};

/// Opens a block whose directives are not looked up.
pub const VERBATIM_BEGIN: &str = "# email-engine: verbatim begin";
/// Closes it.
pub const VERBATIM_END: &str = "# email-engine: verbatim end";

/// A place: file by index, line, column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::powermta) struct At {
    pub(in crate::powermta) file: usize,
    pub(in crate::powermta) line: u32,
    pub(in crate::powermta) column: u32,
}

/// A section, or all that stands outside of sections: block 0.
#[derive(Clone, Debug)]
pub(in crate::powermta) struct Block<'a> {
    /// None for a section that does not exist.
    pub(in crate::powermta) scope: Option<Scope>,
    /// Its name as written in the tag.
    pub(in crate::powermta) tag: &'a str,
    /// Its argument, without quotes.
    pub(in crate::powermta) name: &'a str,
    /// What stands behind the tag's name.
    pub(in crate::powermta) argument: &'a str,
    pub(in crate::powermta) parent: usize,
    pub(in crate::powermta) at: At,
    /// Grows from line to line in the order in which the product reads.
    pub(in crate::powermta) order: usize,
    pub(in crate::powermta) entries: Vec<Entry<'a>>,
    pub(in crate::powermta) verbatim: bool,
    /// Opened as the result of a pattern.
    pub(in crate::powermta) inline: bool,
    /// The closing tag repeats an argument.
    pub(in crate::powermta) closing_argument: Option<At>,
}

/// A directive.
#[derive(Clone, Copy, Debug)]
pub(in crate::powermta) struct Entry<'a> {
    pub(in crate::powermta) line: Line<'a>,
    pub(in crate::powermta) keyword: &'a str,
    pub(in crate::powermta) value: &'a str,
    pub(in crate::powermta) at: At,
    pub(in crate::powermta) order: usize,
    pub(in crate::powermta) verbatim: bool,
    /// The value is a section of its own.
    pub(in crate::powermta) opens: bool,
}

/// All blocks, outermost first.
#[derive(Clone, Debug, Default)]
pub(in crate::powermta) struct Outline<'a> {
    pub(in crate::powermta) blocks: Vec<Block<'a>>,
    /// Where verbatim blocks begin.
    pub(in crate::powermta) verbatim: Vec<At>,
    /// Marks of verbatim blocks without their partners.
    pub(in crate::powermta) stray_marks: Vec<At>,
    children: BTreeMap<usize, Vec<usize>>,
    order: usize,
}

impl<'a> Entry<'a> {
    pub(in crate::powermta) fn is(&self, keyword: &str) -> bool {
        self.keyword.eq_ignore_ascii_case(keyword)
    }

    /// The value without quotes around it.
    pub(in crate::powermta) fn text(&self) -> &'a str {
        unquote(self.value)
    }

    pub(in crate::powermta) fn is_yes(&self) -> bool {
        let text = self.text();
        text.eq_ignore_ascii_case("yes") || text.eq_ignore_ascii_case("true")
    }

    /// First and second word of the value.
    pub(in crate::powermta) fn pair(&self) -> (&'a str, &'a str) {
        let mut words = self.value.split_ascii_whitespace();
        (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        )
    }
}

impl<'a> Block<'a> {
    /// The last of its kind, which is the one that counts.
    pub(in crate::powermta) fn last(&self, keyword: &str) -> Option<&Entry<'a>> {
        self.entries.iter().rev().find(|entry| entry.is(keyword))
    }

    pub(in crate::powermta) fn all<'s>(
        &'s self,
        keyword: &'s str,
    ) -> impl DoubleEndedIterator<Item = &'s Entry<'a>> {
        self.entries.iter().filter(move |entry| entry.is(keyword))
    }

    pub(in crate::powermta) fn says_yes(&self, keyword: &str) -> bool {
        self.last(keyword).is_some_and(Entry::is_yes)
    }

    pub(in crate::powermta) fn is(&self, scope: Scope) -> bool {
        self.scope == Some(scope)
    }
}

impl<'a> Outline<'a> {
    pub(in crate::powermta) fn of(sources: &Sources, parsed: &[Parsed<'a>]) -> Self {
        let mut outline = Self::default();
        let at = At {
            file: 0,
            line: 1,
            column: 1,
        };
        outline.blocks.push(Block {
            scope: Some(Scope::Global),
            tag: "",
            name: "",
            argument: "",
            parent: 0,
            at,
            order: 0,
            entries: Vec::new(),
            verbatim: false,
            inline: false,
            closing_argument: None,
        });
        if let Some(first) = parsed.first() {
            let mut walk = Walk {
                sources,
                parsed,
                outline: &mut outline,
            };
            walk.nodes(0, &first.document.nodes, 0, false);
        }
        outline
    }

    pub(in crate::powermta) fn global(&self) -> &Block<'a> {
        &self.blocks[0]
    }

    pub(in crate::powermta) fn sections(
        &self,
        scope: Scope,
    ) -> impl Iterator<Item = (usize, &Block<'a>)> {
        self.blocks
            .iter()
            .enumerate()
            .filter(move |(_, block)| block.is(scope))
    }

    /// Sections right inside of a section.
    pub(in crate::powermta) fn children(
        &self,
        parent: usize,
        scope: Scope,
    ) -> impl Iterator<Item = (usize, &Block<'a>)> {
        let own = self.children.get(&parent).map_or(&[][..], Vec::as_slice);
        own.iter()
            .map(|index| (*index, &self.blocks[*index]))
            .filter(move |(_, b)| b.is(scope))
    }
}

struct Walk<'a, 'w> {
    sources: &'w Sources,
    parsed: &'w [Parsed<'a>],
    outline: &'w mut Outline<'a>,
}

impl<'a> Walk<'a, '_> {
    /// Recurses no deeper than sections and files nest.
    fn nodes(&mut self, file: usize, nodes: &[Node<'a>], block: usize, verbatim: bool) {
        let mut begun: Option<At> = None;
        for node in nodes {
            self.outline.order += 1;
            let here = verbatim || begun.is_some();
            match node {
                Node::Broken(_) => {}
                Node::Trivia(line) => self.mark(file, line, &mut begun),
                Node::Directive(line) => {
                    self.entry(file, line, line.body, block, here);
                    if let Some(Include::Files(files)) = self.sources.include(file, line.number)
                        && line.keyword().eq_ignore_ascii_case("include")
                    {
                        for index in files.clone() {
                            let parsed = self.parsed;
                            self.nodes(index, &parsed[index].document.nodes, block, here);
                        }
                    }
                }
                Node::Section(section) => {
                    let mut argument = section.opening.argument();
                    let inline = matches!(section.opening, Opening::Inline { .. });
                    if let Opening::Inline { before, .. } = section.opening {
                        self.entry(file, &section.open, before, block, here);
                        if let Some(entry) = self.outline.blocks[block].entries.last_mut() {
                            entry.opens = true;
                        }
                        argument = "";
                    }
                    let tag = section.opening.name();
                    let closing = section.close.filter(|line| {
                        let inner = line.body.trim_start_matches("</").trim_end_matches('>');
                        inner.trim().len() > tag.len()
                    });
                    self.outline.blocks.push(Block {
                        scope: Scope::section(tag).map(|rule| rule.scope),
                        tag,
                        name: unquote(argument),
                        argument,
                        parent: block,
                        at: place(file, &section.open),
                        order: self.outline.order,
                        entries: Vec::new(),
                        verbatim: here,
                        inline,
                        closing_argument: closing.map(|line| place(file, &line)),
                    });
                    let index = self.outline.blocks.len() - 1;
                    self.outline.children.entry(block).or_default().push(index);
                    self.nodes(file, &section.nodes, index, here);
                }
            }
        }
        self.outline.stray_marks.extend(begun);
    }

    fn mark(&mut self, file: usize, line: &Line<'a>, begun: &mut Option<At>) {
        let (comment, at) = (line.comment(), place(file, line));
        if comment.starts_with(VERBATIM_BEGIN) {
            self.outline.stray_marks.extend(begun.replace(at));
        } else if comment.starts_with(VERBATIM_END) {
            match begun.take() {
                Some(begin) => self.outline.verbatim.push(begin),
                None => self.outline.stray_marks.push(at),
            }
        }
    }

    fn entry(&mut self, file: usize, line: &Line<'a>, body: &'a str, block: usize, verbatim: bool) {
        let keyword = line.keyword();
        self.outline.blocks[block].entries.push(Entry {
            line: *line,
            keyword,
            value: body.get(keyword.len()..).unwrap_or_default().trim(),
            at: place(file, line),
            order: self.outline.order,
            verbatim,
            opens: false,
        });
    }
}

fn place(file: usize, line: &Line<'_>) -> At {
    let at = line.at();
    At {
        file,
        line: at.line,
        column: at.column,
    }
}

/// The text between quotes, when a value is nothing else.
fn unquote(value: &str) -> &str {
    let mut words = Words::of(value);
    match words.word() {
        Ok(word) if word.quoted && words.rest().is_empty() => word.text,
        _ => value,
    }
}
