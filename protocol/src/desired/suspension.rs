//! What is kept from working although its files stay: by the product's own commands and by the kernel,
//! at once.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::config::at_most;
use super::{CommandCheck, CommandLine, ConfigError, Resource};
use crate::limits;

/// Something of a product that stands still for as long as a state names it. It is set before any
/// file of that state goes live, and unset once the state that names it no more is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspensionSpec {
    /// Everything that makes it stand still; each is set by itself.
    pub halts: Vec<HaltSpec>,
    /// What the kernel refuses it, before any command is run.
    pub bars: Vec<BarSpec>,
}

/// An address from which no new connection goes to these ports. One that is open goes on, so that what
/// is on its way arrives whole; whoever tries a new one is refused at once, and may try again later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BarSpec {
    /// Of this machine.
    pub address: IpAddr,
    /// TCP ports of other machines, in order.
    pub ports: Vec<u16>,
}

/// One command that halts something, its reverse, and how to tell which of the two was last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltSpec {
    /// Halts it; may be run again at any time.
    pub set: CommandCheck,
    /// Lets it go. Two halts with the same command are one halt.
    pub unset: CommandCheck,
    /// Whether it is set.
    pub is_set: Question,
    /// Whether somebody else had set it before: asked once, before it is set for the first time. What
    /// is theirs is never unset.
    pub theirs: Option<Question>,
}

/// A command that answers in JSON, and what is sought in a list of its answer. An answer without that
/// list is of an unknown form, and none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What is run, without a shell. Success is code 0.
    pub command: CommandLine,
    /// Ended and failed after this many seconds, bounded as those of a probe.
    pub seconds: u32,
    /// Where the list is: a JSON pointer (RFC 6901).
    pub list: String,
    /// What the list must be for a yes.
    pub sought: Sought,
}

/// What a list must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sought {
    /// Empty.
    Nothing,
    /// Not empty.
    Something,
    /// With this text as a whole value, anywhere in it, whatever its case.
    Text(String),
}

impl SuspensionSpec {
    /// Every command that it would run.
    pub fn commands(&self) -> impl Iterator<Item = &CommandLine> {
        self.halts.iter().flat_map(|halt| {
            let asked = halt.theirs.iter().chain([&halt.is_set]);
            let done = [&halt.set.command, &halt.unset.command];
            done.into_iter()
                .chain(asked.map(|question| &question.command))
        })
    }
}

/// Checks the bounds of one.
pub(super) fn check(resource: &Resource, spec: &SuspensionSpec) -> Result<(), ConfigError> {
    let refused = |reason: String| {
        Err(ConfigError::Transaction {
            resource: resource.id.clone(),
            reason,
        })
    };
    let count = spec.halts.len();
    if count == 0 || count > limits::HALTS {
        let most = limits::HALTS;
        return refused(format!("it has {count} halts, 1 to {most} are accepted"));
    }
    at_most(
        "count of bars of a suspension",
        spec.bars.len(),
        limits::BARS,
    )?;
    for BarSpec { address, ports } in &spec.bars {
        let count = ports.len();
        if count == 0 || count > limits::BARRED_PORTS {
            let most = limits::BARRED_PORTS;
            return refused(format!(
                "it bars {count} ports for {address}, 1 to {most} are accepted"
            ));
        }
        if ports.contains(&0) || !ports.is_sorted_by(|one, two| one < two) {
            return refused(format!(
                "it bars the ports {ports:?} for {address}; 1 to 65535 are accepted, each once and in order"
            ));
        }
    }
    for halt in &spec.halts {
        let judged = halt.set.texts()?.chain(halt.unset.texts()?);
        let questions = halt.theirs.iter().chain([&halt.is_set]);
        let sought = questions.flat_map(|question| {
            let text = match &question.sought {
                Sought::Text(text) => Some(text),
                Sought::Nothing | Sought::Something => None,
            };
            text.into_iter().chain([&question.list])
        });
        let longest = judged.chain(sought).map(String::len).max().unwrap_or(0);
        at_most(
            "length of a text of a suspension",
            longest,
            limits::EXPECTED_BYTES,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{HostPath, OnRemove, Policy, Spec};
    use super::*;
    use crate::id::ResourceId;

    fn command(words: &[&str]) -> CommandLine {
        CommandLine {
            program: HostPath::new("/usr/sbin/pmta").unwrap(),
            arguments: words.iter().map(|word| (*word).to_owned()).collect(),
        }
    }

    fn halt() -> HaltSpec {
        let check = |word: &str| CommandCheck {
            command: command(&[word, "queue", "*/vmta-mail1"]),
            seconds: 5,
            refused_by: Vec::new(),
            must_say: Vec::new(),
        };
        HaltSpec {
            set: check("pause"),
            unset: check("resume"),
            is_set: Question {
                command: command(&["--json", "show", "queues"]),
                seconds: 5,
                list: "/data/queue".to_owned(),
                sought: Sought::Nothing,
            },
            theirs: None,
        }
    }

    fn checked(halts: Vec<HaltSpec>) -> Result<(), String> {
        checked_with(halts, Vec::new())
    }

    fn checked_with(halts: Vec<HaltSpec>, bars: Vec<BarSpec>) -> Result<(), String> {
        let spec = SuspensionSpec { halts, bars };
        let resource = Resource {
            id: ResourceId::new("suspension:vmta-mail1").unwrap(),
            spec: Spec::Suspension(spec.clone()),
            on_remove: OnRemove::Leave,
            policy: Policy::Enforce,
            after: Vec::new(),
            notify: Vec::new(),
        };
        check(&resource, &spec).map_err(|error| error.to_string())
    }

    #[test]
    fn what_nothing_halts_or_says_too_much_is_refused() {
        assert_eq!(checked(vec![halt()]), Ok(()));
        let none = checked(Vec::new()).unwrap_err();
        assert!(none.contains("has 0 halts, 1 to 16"), "{none}");
        assert!(checked(vec![halt(); 17]).is_err());
        let mut long = halt();
        long.is_set.sought = Sought::Text("x".repeat(2_000));
        let long = checked(vec![long]).unwrap_err();
        assert!(long.contains("is 2000, at most 1024"), "{long}");
        let mut many = halt();
        many.unset.refused_by = vec![String::new(); 300];
        assert!(checked(vec![many]).is_err());
    }

    #[test]
    fn ports_that_cannot_be_barred_are_refused() {
        let bar = |ports: &[u16]| BarSpec {
            address: "192.0.2.3".parse().unwrap(),
            ports: ports.to_vec(),
        };
        let barred = |bars| checked_with(vec![halt()], bars);
        assert_eq!(barred(vec![bar(&[25, 2525]), bar(&[25])]), Ok(()));
        for (ports, reason) in [
            (&[][..], "it bars 0 ports for 192.0.2.3, 1 to 16"),
            (&[0][..], "the ports [0] for 192.0.2.3; 1 to 65535"),
            (&[25, 25][..], "each once and in order"),
            (&[26, 25][..], "each once and in order"),
        ] {
            let refused = barred(vec![bar(ports)]).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
        let many: Vec<u16> = (1..=17).collect();
        assert!(barred(vec![bar(&many)]).is_err());
        let most = barred(vec![bar(&[25]); 17]).unwrap_err();
        assert!(most.contains("count of bars of a suspension"), "{most}");
    }

    #[test]
    fn every_command_is_named() {
        let mut asked = halt();
        asked.theirs = Some(Question {
            command: command(&["--json", "show", "disabled", "sources"]),
            ..asked.is_set.clone()
        });
        let spec = SuspensionSpec {
            halts: vec![asked],
            bars: Vec::new(),
        };
        let words: Vec<&str> = spec
            .commands()
            .map(|one| one.arguments.last().unwrap().as_str())
            .collect();
        assert_eq!(words, ["*/vmta-mail1", "*/vmta-mail1", "sources", "queues"]);
    }
}
