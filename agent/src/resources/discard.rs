//! What waits in a product and shall never leave it: written down, then thrown away.
//!
//! Not made right with everything else: the reconciler has it [`settle`]d at the end of a pass, when the content
//! that takes nothing new is in force and all that shall stand still does.
//!
//! It is in the file, on disk, before the product is told. One file is for one time (`DiscardSpec::since`), and
//! what comes later is added; whoever is cut off between the two adds only what is not in it yet. It holds
//! addresses of people: it is the agent's own (0600), nothing of it is in an error, and it goes [`KEPT_DAYS`] after
//! it was written last.

use std::collections::BTreeMap;

use email_engine_protocol::desired::{DiscardSpec, HostPath, Listing};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::limits;
use email_engine_protocol::observed::Told;
use email_engine_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{CheckError, check, time_limit};
use crate::host::{Cabinet, Machine, RecordError, SystemError, clock};

/// The folder of the files, in the agent's own.
const FOLDER: &str = "discarded";
/// What is known of them.
const RECORD: &str = "discards";
/// How long one is kept.
const KEPT_DAYS: u64 = 30;
/// Largest file: what is added to one is bounded by what a product is asked for at once.
const LIMIT: u64 = 4 * limits::DISCARDED_BYTES as u64;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// What it is for.
    since: Timestamp,
    /// Its lines.
    lines: u64,
    /// Its size in bytes.
    bytes: u64,
    /// Up to here all of it is surely gone from the product, in bytes.
    gone: u64,
    /// When it was written last.
    at: Timestamp,
}

/// By the names of the files.
type Files = BTreeMap<String, Kept>;

/// Why something waits still, without anything of what waits; or it is gone, and perhaps listed again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Unsettled {
    /// For people.
    pub(crate) reason: String,
    /// The product did not answer in time: it would not answer another question either.
    pub(crate) is_silent: bool,
}

impl From<String> for Unsettled {
    fn from(reason: String) -> Self {
        let is_silent = false;
        Self { reason, is_silent }
    }
}

/// Throws away what waits, if anything does, and says what was thrown away since the time that it is about:
/// how much, where it is written down, and that time.
///
/// # Errors
/// With the reason.
pub(crate) fn settle(
    machine: &mut Machine,
    id: &ResourceId,
    spec: &DiscardSpec,
) -> Result<Option<Told>, Unsettled> {
    if machine.system.is_simulated() {
        // A simulated command makes nothing: that it ran must do.
        if !machine.system.has_run(&part(id, "discard")) {
            discard(machine, id, spec)?;
        }
        return Ok(None);
    }
    let name = name_of(id, spec.since);
    if !listed(machine, &part(id, "ask"), &spec.is_any)?.is_empty() {
        throw_away(machine, id, spec, &name)?;
        if !listed(machine, &part(id, "ask"), &spec.is_any)?.is_empty() {
            return Err("it was thrown away, and something waits still"
                .to_owned()
                .into());
        }
    }
    // Nothing is there: what is written down is gone, whoever was cut off before this.
    let mut files = files(machine)?;
    let Some(kept) = files.get_mut(&name) else {
        return Ok(None);
    };
    let row = vec![
        kept.lines.to_string(),
        place(machine, &name),
        kept.since.0.to_string(),
    ];
    if kept.gone < kept.bytes {
        kept.gone = kept.bytes;
        machine
            .notes
            .write(RECORD, &files)
            .map_err(|error| unwritten(&error))?;
    }
    Ok(Some(Told::new([row])))
}

/// Where a file is on the machine.
fn place(machine: &Machine, name: &str) -> String {
    let path = HostPath::new(format!("/{name}")).ok();
    let path = path.and_then(|path| machine.notes.location(&path).ok());
    path.map_or_else(|| name.to_owned(), |path| path.display().to_string())
}

fn unwritten(error: &RecordError) -> Unsettled {
    format!("what waits cannot be written down: {error}").into()
}

fn throw_away(
    machine: &mut Machine,
    id: &ResourceId,
    spec: &DiscardSpec,
    name: &str,
) -> Result<(), Unsettled> {
    let found = listed(machine, &part(id, "list"), &spec.all)?;
    if found.is_empty() {
        let reason = "something waits, and is not listed: nothing is thrown away";
        return Err(reason.to_owned().into());
    }
    if found.len() >= spec.most as usize {
        let reason = format!(
            "{} and perhaps more wait, which is more than is listed at once: nothing is thrown away",
            spec.most
        );
        return Err(reason.into());
    }
    let mut files = files(machine)?;
    let gone = files.get(name).map_or(0, |kept| kept.gone);
    let text = machine
        .notes
        .read_plain(name, LIMIT)
        .map_err(|error| unwritten(&error))?;
    let text = String::from_utf8(text.unwrap_or_default())
        .map_err(|_| format!("{name} is not what was written"))?;
    let text = with(text, gone, found);
    let bytes = text.len() as u64;
    if bytes > LIMIT {
        return Err(format!("{name} would have {bytes} bytes, at most {LIMIT}").into());
    }
    let lines = text.lines().count() as u64;
    let kept = Kept {
        since: spec.since,
        lines,
        bytes,
        gone,
        at: clock(),
    };
    files.insert(name.to_owned(), kept);
    machine
        .notes
        .write(RECORD, &files)
        .map_err(|error| unwritten(&error))?;
    machine
        .notes
        .write_plain(name, text.as_bytes())
        .map_err(|error| unwritten(&error))?;
    discard(machine, id, spec)?;
    tracing::info!(discard = %id, lines, "written down and thrown away");
    Ok(())
}

/// What a program says is not told: it may name people.
fn discard(machine: &mut Machine, id: &ResourceId, spec: &DiscardSpec) -> Result<(), Unsettled> {
    let ran = check(machine.system.as_mut(), &part(id, "discard"), &spec.discard);
    ran.map_err(|error| match error {
        CheckError::Refused { command, code, .. } => {
            format!("{command} ended with code {code}").into()
        }
        CheckError::Silent { command, text, .. } => {
            format!("{command} did not say {text:?}").into()
        }
        CheckError::System(error) => unsaid(error),
    })
}

fn unsaid(error: SystemError) -> Unsettled {
    match error {
        SystemError::Failed { program, code, .. } => format!("{program} ended with {code}").into(),
        SystemError::Timeout {
            program, seconds, ..
        } => Unsettled {
            reason: format!("{program} was ended after {seconds} s"),
            is_silent: true,
        },
        other => other.to_string().into(),
    }
}

/// Forgets every list: the host is nobody's any more.
///
/// # Errors
/// When one stays.
pub(crate) fn forget_all(cabinet: &Cabinet) -> Result<(), RecordError> {
    for name in cabinet.list(FOLDER)? {
        cabinet.wipe(&format!("{FOLDER}/{name}"))?;
    }
    cabinet.remove(RECORD)
}

/// Removes files that are too old, and says nothing of those that cannot be: that is tried again.
pub(super) fn sweep(machine: &Machine) {
    let Ok(mut files) = files(machine) else {
        return;
    };
    let before = files.len();
    files.retain(|name, kept| {
        let is_old = clock().since(kept.at) > KEPT_DAYS * Timestamp::DAY;
        !is_old || machine.notes.remove(name).is_err()
    });
    if files.len() < before
        && let Err(error) = machine.notes.write(RECORD, &files)
    {
        tracing::warn!(%error, "lists of what was thrown away are gone, and still known");
    }
}

fn files(machine: &Machine) -> Result<Files, String> {
    let files = machine.notes.read(RECORD);
    files
        .map(Option::unwrap_or_default)
        .map_err(|error| error.to_string())
}

/// The entries of a list, each on one line, as the product writes them.
fn listed(
    machine: &mut Machine,
    id: &ResourceId,
    listing: &Listing,
) -> Result<Vec<String>, Unsettled> {
    let limit = time_limit(listing.seconds);
    let most = limits::DISCARDED_BYTES;
    let answer = machine
        .system
        .ask_up_to(id, &listing.command, limit, most)
        .map_err(unsaid)?;
    Ok(entries(&answer, &listing.list)?)
}

fn entries(answer: &str, pointer: &str) -> Result<Vec<String>, String> {
    let unknown = |what: &str| format!("the answer is of an unknown form: {what}");
    let mut at: &RawValue = serde_json::from_str(answer).map_err(|_| unknown("no JSON"))?;
    // RFC 6901; values are borrowed, because a list may be most of the agent's memory.
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let fields: Result<BTreeMap<String, &RawValue>, _> = serde_json::from_str(at.get());
        let field = fields.ok().and_then(|fields| fields.get(&token).copied());
        at = field.ok_or_else(|| unknown(&format!("nothing is at {pointer}")))?;
    }
    let entries: Vec<&RawValue> = serde_json::from_str(at.get())
        .map_err(|_| unknown(&format!("what is at {pointer} is no list")))?;
    // Strings of JSON hold no ends of lines.
    let line = |entry: &RawValue| entry.get().replace(['\n', '\r'], " ");
    Ok(entries.into_iter().map(line).collect())
}

/// What is written down, with those that are not in it as often. What is gone is no longer meant by any line.
fn with(mut text: String, gone: u64, found: Vec<String>) -> String {
    let open = usize::try_from(gone).ok().and_then(|gone| text.get(gone..));
    let mut there: BTreeMap<&str, usize> = BTreeMap::new();
    for line in open.unwrap_or_default().lines() {
        *there.entry(line).or_default() += 1;
    }
    let is_new = |line: &String| match there.get_mut(line.as_str()) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    };
    let news: Vec<String> = found.into_iter().filter(is_new).collect();
    for line in news {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Such as `discarded/vmta-mail3-1795240800000.jsonl`.
fn name_of(id: &ResourceId, since: Timestamp) -> String {
    let of = id
        .as_str()
        .split_once(':')
        .map_or(id.as_str(), |(_, of)| of);
    let plain = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => c,
        _ => '_',
    };
    let of: String = of.chars().map(plain).collect();
    format!("{FOLDER}/{of}-{}.jsonl", since.0)
}

fn part(id: &ResourceId, what: &str) -> ResourceId {
    ResourceId::new(format!("{id}/{what}")).unwrap_or_else(|_| id.clone())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use email_engine_protocol::desired::{CommandCheck, CommandLine};

    use super::*;

    const NOW: &str = "[{\"rcpt\":\"a@rcpt.example\"},\n {\"rcpt\":\"b@rcpt.example\"}]";

    fn command(script: String) -> CommandLine {
        CommandLine {
            program: HostPath::new("/bin/sh").unwrap(),
            arguments: vec!["-c".to_owned(), script],
        }
    }

    /// A product that holds what stands in a file, and forgets it by a command.
    fn spec(folder: &Path, discard: &str) -> DiscardSpec {
        let queue = folder.join("queue");
        let listing = || Listing {
            command: command(format!(
                "printf '{{\"data\":{{\"rcpt\":'; cat {}; printf '}}}}'",
                queue.display()
            )),
            seconds: 10,
            list: "/data/rcpt".to_owned(),
        };
        DiscardSpec {
            since: clock(),
            is_any: listing(),
            all: listing(),
            most: 4,
            discard: CommandCheck {
                command: command(discard.replace("QUEUE", queue.to_str().unwrap())),
                seconds: 10,
                refused_by: Vec::new(),
                must_say: Vec::new(),
            },
        }
    }

    struct Bed {
        folder: tempfile::TempDir,
        machine: Machine,
        id: ResourceId,
    }

    fn bed() -> Bed {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::with_programs(folder.path());
        let id = ResourceId::new("discard:vmta-mail3").unwrap();
        Bed {
            folder,
            machine,
            id,
        }
    }

    impl Bed {
        fn waits(&self, queue: &str) {
            fs::write(self.folder.path().join("queue"), queue).unwrap();
        }

        fn settle(&mut self, spec: &DiscardSpec) -> Result<Option<Told>, String> {
            settle(&mut self.machine, &self.id, spec).map_err(|error| error.to_string())
        }

        fn text(&self, spec: &DiscardSpec) -> String {
            let bytes = self
                .machine
                .notes
                .read_plain(&name_of(&self.id, spec.since), LIMIT);
            String::from_utf8(bytes.unwrap().unwrap_or_default()).unwrap()
        }
    }

    #[test]
    fn what_waits_is_written_down_then_thrown_away_and_told() {
        let mut bed = bed();
        let spec = spec(bed.folder.path(), "echo '[]' > QUEUE");
        bed.waits("[]");
        assert_eq!(bed.settle(&spec), Ok(None));
        bed.waits(NOW);
        let told = bed.settle(&spec).unwrap().unwrap();
        let [lines, path, since] = &told.rows[0][..] else {
            panic!("{told:?}");
        };
        assert_eq!((lines.as_str(), since), ("2", &spec.since.0.to_string()));
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(
            text,
            "{\"rcpt\":\"a@rcpt.example\"}\n{\"rcpt\":\"b@rcpt.example\"}\n"
        );
        assert_eq!(bed.settle(&spec), Ok(Some(told)));
        // Another mail to one of them, later: it is gone as well, and two were.
        bed.waits("[{\"rcpt\":\"b@rcpt.example\"}]");
        let told = bed.settle(&spec).unwrap().unwrap();
        assert_eq!(told.rows[0][0], "3");
        assert_eq!(bed.text(&spec).matches("b@rcpt").count(), 2);
    }

    #[test]
    fn who_is_cut_off_before_it_is_thrown_away_lists_nobody_twice_and_nobody_never() {
        let mut bed = bed();
        let refuses = spec(bed.folder.path(), "echo to b@rcpt.example; exit 1");
        bed.waits(NOW);
        let refused = bed.settle(&refuses).unwrap_err();
        assert!(refused.ends_with("ended with code 1"), "{refused}");
        assert_eq!(bed.text(&refuses).lines().count(), 2, "written down before");
        bed.waits("[{\"rcpt\":\"b@rcpt.example\"}, {\"rcpt\":\"b@rcpt.example\"}]");
        bed.settle(&refuses).unwrap_err();
        let text = bed.text(&refuses);
        let of = |who: &str| text.lines().filter(|line| line.contains(who)).count();
        assert_eq!((of("a@rcpt"), of("b@rcpt")), (1, 2), "two mails to one");
        // One that says that it does and does not, again and again.
        let deaf = DiscardSpec {
            discard: spec(bed.folder.path(), "true").discard,
            ..refuses
        };
        for _ in 0..3 {
            let still = bed.settle(&deaf).unwrap_err();
            assert!(still.contains("waits still"), "{still}");
            assert_eq!(bed.text(&deaf).lines().count(), 3);
        }
        // It is gone at last, and nobody was there to note it: a later mail is another one.
        bed.waits("[]");
        assert_eq!(bed.settle(&deaf).unwrap().unwrap().rows[0][0], "3");
        bed.waits("[{\"rcpt\":\"b@rcpt.example\"}]");
        bed.settle(&deaf).unwrap_err();
        assert_eq!(bed.text(&deaf).lines().count(), 4);
        forget_all(&bed.machine.notes).unwrap();
        assert_eq!(bed.text(&deaf), "");
    }

    #[test]
    fn nothing_is_thrown_away_that_cannot_be_written_down_and_nobody_is_named_for_it() {
        let one = "{\"rcpt\":\"a@rcpt.example\"}";
        let many = format!("[{}]", [one; 4].join(","));
        for queue in ["", "\"a@rcpt.example\"", "[", one, &many, NOW] {
            let mut bed = bed();
            let gone = bed.folder.path().join("gone");
            let spec = spec(bed.folder.path(), &format!("touch {}", gone.display()));
            bed.waits(queue);
            if queue == NOW {
                bed.machine.notes.die_after(0);
            }
            let refused = bed.settle(&spec).unwrap_err();
            assert!(!gone.exists(), "{queue:?}");
            assert!(!refused.contains("a@rcpt"), "{refused}");
        }
    }

    #[test]
    fn a_list_goes_a_month_after_it_was_written_whatever_it_is_about() {
        let mut bed = bed();
        let spec = DiscardSpec {
            since: Timestamp(7),
            ..spec(bed.folder.path(), "echo '[]' > QUEUE")
        };
        bed.waits(NOW);
        bed.settle(&spec).unwrap().unwrap();
        sweep(&bed.machine);
        assert_eq!(bed.text(&spec).lines().count(), 2);
        let mut files = files(&bed.machine).unwrap();
        let kept = files.values_mut().next().unwrap();
        kept.at = Timestamp(clock().0 - (KEPT_DAYS + 1) * Timestamp::DAY);
        bed.machine.notes.write(RECORD, &files).unwrap();
        sweep(&bed.machine);
        assert_eq!(bed.text(&spec), "");
        assert_eq!(bed.settle(&spec), Ok(None));
    }

    #[test]
    fn entries_are_found_by_pointer_and_other_forms_are_refused() {
        let answer = r#"{"data":{"a/b":[{"x":1}, 2]}}"#;
        assert_eq!(entries(answer, "/data/a~1b").unwrap(), ["{\"x\":1}", "2"]);
        for pointer in ["/data", "/data/c", "/data/a~1b/0", "data"] {
            assert!(entries(answer, pointer).is_err(), "{pointer}");
        }
        assert!(entries("Queue is empty", "/data").is_err());
    }
}
