//! Random configurations beside what they were made from: the tree must say the same, and not only be
//! written as it was read.

use std::collections::BTreeMap;

use super::super::schema::value::{Kind, Taken, take};
use super::super::schema::{Argument, Directive, SECTIONS, Scope, SectionRule, directives};
use super::{Limits, Line, Node, Opening, Words, parse};

/// What a text was made from.
#[derive(Debug)]
enum Made {
    Directive {
        keyword: &'static str,
        arguments: Vec<(Kind, &'static str)>,
    },
    Section {
        name: &'static str,
        argument: &'static str,
        /// The pattern whose result it is.
        before: Option<(&'static str, &'static str)>,
        nodes: Vec<Self>,
    },
}

/// What may stand in a section.
#[derive(Default)]
struct Place {
    directives: Vec<&'static Directive>,
    sections: Vec<&'static SectionRule>,
}

struct Generator {
    seed: u64,
    places: BTreeMap<Scope, Place>,
    text: String,
}

impl Generator {
    fn new(seed: u64) -> Self {
        let mut places: BTreeMap<Scope, Place> = BTreeMap::new();
        for directive in directives() {
            let place = places.entry(directive.scope).or_default();
            place.directives.push(directive);
        }
        for rule in SECTIONS {
            for parent in rule.parents {
                places.entry(*parent).or_default().sections.push(rule);
            }
        }
        let text = String::new();
        Self { seed, places, text }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.seed >> 33).unwrap() % bound
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Blanks between words.
    fn blank(&mut self) {
        let blank = self.pick(&[" ", " ", " ", "  ", "\t"]);
        self.text.push_str(blank);
    }

    /// What ends a line, and lines that say nothing.
    fn end(&mut self) {
        let end = self.pick(&[
            "\n",
            "\n",
            "\n",
            "\r\n",
            " # <a> \"b\n",
            "\t#\r\n",
            "\n\n",
            "\n# </a>\n",
        ]);
        self.text.push_str(end);
    }

    fn nodes(&mut self, scope: Scope, most: usize) -> Vec<Made> {
        let count = self.below(most + 1);
        (0..count).filter_map(|_| self.node(scope, most)).collect()
    }

    fn node(&mut self, scope: Scope, most: usize) -> Option<Made> {
        let lead = self.pick(&["", "", "    ", "\t "]);
        let place = self.places.get(&scope)?;
        let (sections, directives) = (place.sections.len(), place.directives.len());
        if sections > 0 && most > 1 && self.below(3) == 0 {
            let at = self.below(sections);
            let rule = self.places[&scope].sections[at];
            self.text.push_str(lead);
            return Some(self.section(scope, rule, most - 1));
        }
        if directives == 0 {
            return None;
        }
        let at = self.below(directives);
        let directive = self.places[&scope].directives[at];
        self.text.push_str(lead);
        Some(self.directive(directive))
    }

    fn directive(&mut self, directive: &'static Directive) -> Made {
        self.text.push_str(directive.keyword);
        let extra = directive.arguments.len() - directive.required;
        let count = directive.required + if extra > 0 { self.below(extra + 1) } else { 0 };
        let mut arguments = Vec::with_capacity(count);
        for kind in &directive.arguments[..count] {
            let value = self.value(*kind);
            arguments.push((*kind, value));
        }
        self.end();
        Made::Directive {
            keyword: directive.keyword,
            arguments,
        }
    }

    /// Writes a value as its kind may be written: between slashes, in quotes, or plain.
    fn value(&mut self, kind: Kind) -> &'static str {
        let values = values(kind);
        let value = self.pick(&values);
        self.blank();
        let slashed = kind == Kind::Regex;
        let quoted = !slashed && (self.below(4) == 0 || value.contains(' ') && !kind.takes_rest());
        let mark = if slashed {
            "/"
        } else if quoted {
            "\""
        } else {
            ""
        };
        for part in [mark, value, mark] {
            self.text.push_str(part);
        }
        value
    }

    fn section(&mut self, scope: Scope, rule: &'static SectionRule, most: usize) -> Made {
        let name = rule.name;
        let mut before = None;
        let mut argument = "";
        if scope == Scope::PatternList {
            let keyword = self.pick(&["mail-from", "rcpt-to"]);
            self.text.push_str(keyword);
            before = Some((keyword, self.value(Kind::Regex)));
            self.text.push_str(" <pattern-list>");
        } else {
            self.text.push('<');
            self.text.push_str(name);
            let wanted = match rule.argument {
                Argument::None => false,
                Argument::Optional => self.below(2) == 0,
                Argument::Required => true,
            };
            if wanted {
                argument = self.pick(&[
                    "*",
                    "a.example.com",
                    "\"|/opt/x --flag\"",
                    "192.0.2.1:25",
                    "$ms",
                ]);
                self.blank();
                self.text.push_str(argument);
            }
            let tail = self.pick(&[">", ">", " >"]);
            self.text.push_str(tail);
        }
        self.end();
        let nodes = self.nodes(rule.scope, most);
        for part in ["</", name, ">"] {
            self.text.push_str(part);
        }
        self.end();
        Made::Section {
            name,
            argument,
            before,
            nodes,
        }
    }
}

/// Values of a kind, which no quote or slash ends early.
fn values(kind: Kind) -> Vec<&'static str> {
    match kind {
        Kind::Access => vec!["none", "monitor,deny-logs"],
        Kind::Actions => vec!["mode=backoff", "disable-source-ip, reenable-after=1h"],
        Kind::Address => vec!["a@example.com", "é@example.com"],
        Kind::AddressOrRegex => vec!["a@example.com", "local"],
        Kind::Addresses => vec!["a@example.com", "a@example.com, b@example.com"],
        Kind::ApiKey => vec!["abcd_0123_abcd_0123_abcd_0123_ab"],
        Kind::Boolean => vec!["yes", "no", "true", "false"],
        Kind::Choice(words) => vec![match words {
            "integer|auto" => "auto",
            words if words.contains("time-or-never") => "30m",
            words if words.starts_with("boolean") => "yes",
            words => words.split('|').next().unwrap_or(words),
        }],
        Kind::Cidr => vec!["192.0.2.0/24", "10/8", "2001:db8::1"],
        Kind::Count | Kind::Integer | Kind::Port | Kind::Priority => vec!["0", "25", "100"],
        Kind::DailyRates => vec!["1/day,2/d"],
        Kind::DaysOrNever => vec!["8d", "never"],
        Kind::DkimKey => vec!["s,example.com,/etc/k.pem", "s, *, /etc/k.pem"],
        Kind::Domain => vec!["*", "[*.]example.com", "é.example.com"],
        Kind::HeaderField => vec!["header_Message-Id"],
        Kind::Host => vec!["mail1.example.com"],
        Kind::Identity => vec!["@example.com", "sender-or-from"],
        Kind::IncludePath | Kind::Path => vec!["/etc/pmta/a", "/etc/pmta/a b"],
        Kind::Ip => vec!["192.0.2.1"],
        Kind::List | Kind::Names => vec!["a", "a, b"],
        Kind::Listener => vec!["0/0:25", "[2001:db8::1]:25"],
        Kind::ListenerSource => vec!["source=a"],
        Kind::Macro | Kind::Name | Kind::Rollup | Kind::VirtualMta => vec!["a", "a_1"],
        Kind::Privacy => vec!["retain"],
        Kind::Rate => vec!["unlimited", "100/h", "1/5s"],
        Kind::RecordType => vec!["d", "rb"],
        Kind::RecordTypes => vec!["d,b", "d, b, tq"],
        Kind::Regex => vec!["^a b", r"a\/b", r#""x""#, ""],
        Kind::Result => vec![
            "virtual-mta=a",
            "virtual-mta=a, recipient-priority=5",
            "call-to: b",
        ],
        Kind::Routes => vec!["h1.test, h2.test; [192.0.2.1]:2525"],
        Kind::Secret => vec!["s3cret"],
        Kind::Signals => vec!["true,subaccount=5"],
        Kind::AcctSize | Kind::Size | Kind::SizeOrUnlimited => vec!["50M", "1g"],
        Kind::Text => vec!["some text", "é", "{auth}"],
        Kind::Time | Kind::TimeOrNever | Kind::Times => vec!["4d12h", "300s"],
        Kind::VolumeRate => vec!["10G/2h", "10G / 2h"],
        Kind::Word => vec!["a", "two words", r#"say \"a\""#],
    }
}

/// Holds a line against what it was made from.
fn says(line: &str, keyword: &str, found: &str, arguments: &[(Kind, &str)]) {
    assert_eq!(found, keyword);
    let mut words = Words::of(line);
    for (kind, value) in arguments {
        match take(&mut words, *kind) {
            Taken::Word(word) => assert_eq!(word.text, *value, "{line}"),
            fault => panic!("{fault:?} in {line}"),
        }
    }
    assert_eq!(words.rest(), "", "{line}");
}

fn value_of<'a>(line: &'a Line<'_>, body: &'a str) -> &'a str {
    &body[line.keyword().len()..]
}

fn same(made: &[Made], nodes: &[Node<'_>]) {
    let said: Vec<_> = nodes
        .iter()
        .filter(|node| !matches!(node, Node::Trivia(_)))
        .collect();
    assert_eq!(said.len(), made.len());
    for (made, node) in made.iter().zip(said) {
        match (made, node) {
            (Made::Directive { keyword, arguments }, Node::Directive(line)) => {
                says(line.value(), keyword, line.keyword(), arguments);
            }
            (
                Made::Section {
                    name,
                    argument,
                    before,
                    nodes,
                },
                Node::Section(section),
            ) => {
                assert_eq!(section.opening.name(), *name);
                assert_eq!(section.opening.argument(), *argument);
                if let Some((keyword, value)) = before {
                    let Opening::Inline { before, .. } = section.opening else {
                        panic!("no result of a pattern: {section:?}");
                    };
                    let arguments = [(Kind::Regex, *value)];
                    let line = value_of(&section.open, before);
                    says(line, keyword, section.open.keyword(), &arguments);
                }
                assert!(section.close.is_some(), "{section:?}");
                same(nodes, &section.nodes);
            }
            (made, node) => panic!("{made:?} is read as {node:?}"),
        }
    }
}

#[test]
fn a_value_that_is_made_is_one() {
    for directive in directives() {
        for kind in &directive.arguments {
            for value in values(*kind) {
                assert_eq!(kind.check(value), Ok(()), "{} {value}", directive.keyword);
            }
        }
    }
}

#[test]
fn hundred_thousand_random_configurations_say_what_they_were_made_from() {
    let mut generator = Generator::new(0x9e37_79b9_7f4a_7c15);
    let (mut sections, mut nested) = (0, 0);
    for _ in 0..100_000 {
        generator.text.clear();
        let made = generator.nodes(Scope::Global, 3);
        let parsed = parse("x", &generator.text, Limits::default());
        assert_eq!(parsed.errors, [], "{}", generator.text);
        same(&made, &parsed.document.nodes);
        let written = parsed.document.to_string();
        assert_eq!(written, generator.text);
        for made in &made {
            if let Made::Section { nodes, .. } = made {
                sections += 1;
                let inner = |made: &&Made| matches!(made, Made::Section { .. });
                nested += nodes.iter().filter(inner).count();
            }
        }
    }
    // Else what is made says little.
    assert!(sections > 20_000 && nested > 1_000, "{sections} {nested}");
}
