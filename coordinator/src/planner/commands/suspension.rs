//! Makes suspensions of a role file: what stands still at once, one for each identity that shall send
//! nothing.

use std::collections::BTreeSet;

use email_engine_protocol::desired::{
    BarSpec, CommandCheck, CommandLine, HaltSpec, Question, Sought, SuspensionSpec,
};
use minijinja::Value;

use super::super::build::Build;
use super::super::error::BundleFault;
use super::super::role::{
    BarEntry, CheckEntry, HaltEntry, QuestionEntry, SoughtEntry, SuspensionEntry,
};
use super::super::values::Item;

/// Templates among the texts of these entries, each once.
pub(in crate::planner) fn texts(entries: &[SuspensionEntry]) -> impl Iterator<Item = &str> {
    let mut texts: BTreeSet<&str> = BTreeSet::new();
    for entry in entries {
        texts.insert(&entry.name);
        for bar in &entry.bars {
            texts.extend([bar.address.as_str(), &bar.ports]);
        }
        for halt in &entry.halts {
            for check in [&halt.set, &halt.unset] {
                texts.extend(check.arguments.iter().map(String::as_str));
            }
            for question in halt.theirs.iter().chain([&halt.is_set]) {
                texts.extend(question.arguments.iter().map(String::as_str));
                if let SoughtEntry::Text(text) = &question.sought {
                    texts.insert(text);
                }
            }
        }
    }
    texts.into_iter()
}

/// The suspensions of a host, by name.
pub(in crate::planner) fn specs(
    build: &Build<'_>,
) -> Result<Vec<(String, SuspensionSpec)>, BundleFault> {
    let mut made = Vec::new();
    for entry in &build.role.suspensions {
        // What drains in quarantine is not set free by its removal.
        for item in build.values.identities.iter().chain(&build.values.leaving) {
            if item
                .status
                .is_some_and(|status| entry.status.contains(&status))
            {
                let making = Making::of(build, item);
                let halts = entry.halts.iter().map(|halt| making.halt(halt));
                let halts = halts.collect::<Result<_, _>>()?;
                let bars = entry.bars.iter().map(|bar| making.bar(bar));
                let bars = bars.collect::<Result<_, _>>()?;
                made.push((making.text(&entry.name)?, SuspensionSpec { halts, bars }));
            }
        }
    }
    Ok(made)
}

/// One of them, or of what else is run for an identity.
pub(super) struct Making<'a> {
    build: &'a Build<'a>,
    context: Value,
}

impl<'a> Making<'a> {
    pub(super) fn of(build: &'a Build<'a>, item: &Item) -> Self {
        Self {
            build,
            context: build.context(Some(item)),
        }
    }

    pub(super) fn text(&self, template: &str) -> Result<String, BundleFault> {
        let build = self.build;
        build
            .templates
            .text(template, &build.role.path, &self.context)
    }

    pub(super) fn command(
        &self,
        program: &str,
        arguments: &[String],
    ) -> Result<CommandLine, BundleFault> {
        let arguments = arguments.iter().map(|text| self.text(text));
        Ok(CommandLine {
            program: self.build.path(program)?,
            arguments: arguments.collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn check(&self, entry: &CheckEntry) -> Result<CommandCheck, BundleFault> {
        Ok(CommandCheck {
            command: self.command(&entry.program, &entry.arguments)?,
            seconds: entry.timeout_seconds,
            refused_by: entry.refused_by.clone(),
            must_say: entry.must_say.clone(),
        })
    }

    fn question(&self, entry: &QuestionEntry) -> Result<Question, BundleFault> {
        Ok(Question {
            command: self.command(&entry.program, &entry.arguments)?,
            seconds: entry.timeout_seconds,
            list: entry.list.clone(),
            sought: match &entry.sought {
                SoughtEntry::Nothing => Sought::Nothing,
                SoughtEntry::Something => Sought::Something,
                SoughtEntry::Text(text) => Sought::Text(self.text(text)?),
            },
        })
    }

    fn bar(&self, entry: &BarEntry) -> Result<BarSpec, BundleFault> {
        let (address, ports) = (self.text(&entry.address)?, self.text(&entry.ports)?);
        let fault = |text: &str, what: &str| {
            let text: String = text.chars().take(120).collect();
            self.build.fault(&format!("bar: {text:?} is not {what}"))
        };
        let parsed = ports.split_whitespace().map(str::parse);
        let parsed: Result<BTreeSet<u16>, _> = parsed.collect();
        Ok(BarSpec {
            address: (address.trim().parse())
                .map_err(|_| fault(&address, "an IPv4 or IPv6 address"))?,
            ports: parsed
                .map_err(|_| fault(&ports, "a list of ports (0 to 65535) with blanks between"))?
                .into_iter()
                .collect(),
        })
    }

    fn halt(&self, entry: &HaltEntry) -> Result<HaltSpec, BundleFault> {
        let theirs = entry.theirs.as_ref().map(|asked| self.question(asked));
        Ok(HaltSpec {
            set: self.check(&entry.set)?,
            unset: self.check(&entry.unset)?,
            is_set: self.question(&entry.is_set)?,
            theirs: theirs.transpose()?,
        })
    }
}
