//! What was read before comes back, whatever happens in between.

use super::*;

const SILENT: &str = "it does not answer";

/// Another address and another key.
fn other() -> PackageRepositorySpec {
    let mut other = spec("https://packages.example.com/new/");
    OTHER_KEY.clone_into(&mut other.apt.as_mut().unwrap().key);
    other
}

/// Both files as they are meant.
fn meant(spec: &PackageRepositorySpec) -> [Option<String>; 2] {
    let meant = written(spec, PackageForm::Deb).unwrap();
    [Some(meant.source_text), Some(meant.key_text)]
}

/// One whose source was read.
fn good() -> Bed {
    let mut bed = Bed::debian();
    assert_eq!(bed.apply(&spec(URI)), Ok(Finding::Right));
    bed.calls();
    bed
}

/// What stands beside both files.
fn beside(bed: &Bed) -> Vec<String> {
    let mut names = Vec::new();
    for path in [SOURCE, KEYRING] {
        let folder = bed.at(path).parent().unwrap().to_owned();
        let own = Path::new(path).file_name().unwrap();
        let all = fs::read_dir(folder).into_iter().flatten().flatten();
        let others = all.map(|one| one.file_name()).filter(|name| name != own);
        names.extend(others.map(|name| name.to_string_lossy().into_owned()));
    }
    names
}

/// Everything that is written is counted, and at some step the agent is dead. Says whether it was.
fn killed_after(bed: &mut Bed, steps: u32, wish: &PackageRepositorySpec) -> bool {
    let machine = bed.life();
    let notes = machine.notes.clone();
    bed.machine = machine.dies_with(&notes);
    notes.die_after(steps);
    let _ = bed.apply(wish);
    notes.is_dead()
}

#[test]
fn killed_at_any_step_the_next_life_still_has_what_was_read_before() {
    let (mut whole, mut mixed, mut alive) = (0, 0, false);
    for steps in 0..100 {
        let mut bed = good();
        bed.refuses(Some(SILENT));
        alive = !killed_after(&mut bed, steps, &other());
        whole += u32::from(bed.pair() == meant(&other()));
        mixed += u32::from(bed.pair() != meant(&other()) && bed.pair() != meant(&spec(URI)));
        bed.machine = bed.life();
        bed.calls();
        let refused = bed.apply(&other()).unwrap_err();
        assert!(refused.contains(SILENT), "{refused}");
        assert!(bed.calls().contains("update"));
        assert_eq!(bed.pair(), meant(&spec(URI)), "after {steps} steps");
        assert_eq!(beside(&bed), [""; 0], "after {steps} steps");
        assert_eq!(observe(&mut bed.machine, &spec(URI)), Finding::Right);
        if alive {
            break;
        }
    }
    assert!(alive, "no life reached its end");
    assert!(whole > 0, "none was cut off between writing and reading");
    assert!(mixed > 0, "none was cut off between both files");
}

#[test]
fn killed_at_any_step_the_old_wish_needs_no_answer_and_the_new_one_is_read() {
    let mut alive = false;
    for steps in 0..100 {
        for (wish, needs) in [(spec(URI), false), (other(), true)] {
            let mut bed = good();
            bed.refuses(Some(SILENT));
            alive = !killed_after(&mut bed, steps, &other());
            bed.machine = bed.life();
            bed.calls();
            if needs {
                bed.refuses(None);
            }
            assert_eq!(bed.apply(&wish), Ok(Finding::Right), "after {steps} steps");
            assert_eq!(bed.calls().contains("update"), needs);
            assert_eq!(bed.pair(), meant(&wish), "after {steps} steps");
            assert_eq!(beside(&bed), [""; 0], "after {steps} steps");
        }
        if alive {
            break;
        }
    }
    assert!(alive, "no life reached its end");
}

#[test]
fn a_first_source_that_was_cut_off_does_not_stay_when_it_cannot_be_read() {
    let mut whole = 0;
    for steps in 0..100 {
        let mut bed = Bed::debian();
        bed.refuses(Some(SILENT));
        let is_dead = killed_after(&mut bed, steps, &other());
        whole += u32::from(bed.pair() == meant(&other()));
        bed.machine = bed.life();
        bed.apply(&other()).unwrap_err();
        assert_eq!(bed.pair(), [None, None], "after {steps} steps");
        assert_eq!(beside(&bed), [""; 0], "after {steps} steps");
        if !is_dead {
            break;
        }
    }
    assert!(whole > 0, "none was cut off between writing and reading");
}

#[test]
fn where_one_file_cannot_be_written_the_other_is_as_it_was() {
    let mut bed = good();
    let folder = bed.at("etc/apt/sources.list.d");
    let aside = bed.at("aside");
    fs::rename(&folder, &aside).unwrap();
    fs::write(&folder, "").unwrap();
    let refused = bed.apply(&other()).unwrap_err();
    assert!(refused.contains("sources.list.d"), "{refused}");
    assert_eq!(bed.calls(), "", "half a source is not read");
    fs::remove_file(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    assert_eq!(bed.pair(), meant(&spec(URI)));
    assert_eq!(beside(&bed), [""; 0]);
    assert_eq!(bed.apply(&other()), Ok(Finding::Right), "at once");
}

#[test]
fn what_a_life_before_left_goes_also_where_the_rest_cannot_be_written() {
    let mut bed = Bed::debian();
    let key = bed.at(KEYRING);
    fs::create_dir_all(key.parent().unwrap()).unwrap();
    fs::write(&key, KEY).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(bed.at("etc/apt/sources.list.d"), "").unwrap();
    bed.apply(&spec(URI)).unwrap_err();
    assert!(!key.exists());
}

#[test]
fn what_cannot_be_read_goes_although_the_one_before_cannot_come_back_and_that_comes_when_it_can() {
    let mut bed = good();
    let keys = bed.at("etc/apt/keyrings");
    let aside = bed.at("aside");
    let (from, to) = (keys.display(), aside.display());
    let script = format!("echo called >> {}/calls\n", bed.dir.path().display());
    let breaks = format!("{script}mv {from} {to}; touch {from}; echo '{SILENT}' >&2; exit 100\n");
    program(&bed.dir.path().join("tools"), "apt-get", &breaks);
    let wish = spec("https://packages.example.com/new/");
    let refused = bed.apply(&wish).unwrap_err();
    assert!(refused.contains(SILENT), "why it is so: {refused}");
    assert_eq!(bed.pair(), [None, None]);
    fs::remove_file(&keys).unwrap();
    fs::rename(&aside, &keys).unwrap();
    bed.calls();
    assert_eq!(bed.apply(&wish).unwrap_err(), refused);
    assert_eq!(bed.calls(), "", "it is not its time");
    assert_eq!(bed.pair(), meant(&spec(URI)));
}

#[test]
fn one_that_was_turned_off_or_taken_away_comes_not_back() {
    type Ending = fn(&mut Bed);
    let off = |bed: &mut Bed| {
        let mut off = spec(URI);
        off.enabled = false;
        assert_eq!(bed.apply(&off), Ok(Finding::Right));
    };
    let endings: [Ending; 3] = [
        off,
        |bed| bed.remove(OnRemove::Disable),
        |bed| bed.remove(OnRemove::Delete),
    ];
    for (at, end) in endings.into_iter().enumerate() {
        let mut bed = good();
        end(&mut bed);
        bed.refuses(Some(SILENT));
        bed.apply(&other()).unwrap_err();
        assert_eq!(bed.pair(), [None, None], "ending {at}");
    }
}

#[test]
fn a_damaged_record_or_one_of_another_tool_is_as_none() {
    let mut bed = good();
    let place = bed.at("notes/sources-read/vendor");
    let mut bytes = fs::read(&place).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&place, bytes).unwrap();
    let found = observe(&mut bed.machine, &spec(URI));
    assert!(
        matches!(&found, Finding::Differs(text) if text.contains("not read yet")),
        "{found:?}"
    );
    assert_eq!(bed.apply(&spec(URI)), Ok(Finding::Right));
    assert!(bed.calls().contains("update"), "it is read again");
    let mut theirs = spec(URI);
    theirs.dnf = Some(DnfSource {
        uris: texts(&[URI]),
        signed_lists: false,
        key: KEY.to_owned(),
    });
    let theirs = written(&theirs, PackageForm::Rpm).unwrap();
    record::keep(&bed.machine.notes, "vendor", &theirs);
    bed.refuses(Some(SILENT));
    bed.apply(&other()).unwrap_err();
    assert_eq!(bed.pair(), [None, None]);
    assert!(!bed.at("etc/yum.repos.d").exists());
}
