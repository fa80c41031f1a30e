use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use email_engine_protocol::desired::CertificateKey;
use email_engine_protocol::secret::{SecretBytes, SecretRef};
use email_engine_protocol::time::Timestamp;

use super::*;
use crate::certificate::pair::tests::{Authority, names};
use crate::certificate::record::Attempts;

/// Bodies by hash.
#[derive(Default)]
struct Bodies(BTreeMap<ContentHash, Vec<u8>>);

impl Contents for Bodies {
    fn body(&self, hash: &ContentHash) -> Result<Vec<u8>, ContentError> {
        let reason = || "missing".to_owned();
        let body = self.0.get(hash).cloned();
        body.ok_or_else(|| ContentError::Body {
            hash: *hash,
            reason: reason(),
        })
    }

    fn secret(&self, _: &SecretRef) -> Result<SecretBytes, ContentError> {
        unreachable!("a certificate is no secret of the cluster")
    }

    fn is_secret(&self, _: &SecretRef, _: &[u8]) -> Result<bool, ContentError> {
        Ok(false)
    }

    fn seal(&self, bytes: &[u8]) -> Result<Vec<u8>, ContentError> {
        Ok(bytes.to_vec())
    }

    fn unseal(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, ContentError> {
        Ok(Zeroizing::new(sealed.to_vec()))
    }
}

fn id() -> ResourceId {
    ResourceId::new("certificate:web").unwrap()
}

fn spec() -> CertificateSpec {
    CertificateSpec {
        path: HostPath::new("/etc/web/tls").unwrap(),
        domains: names(&["a.example.com", "b.example.com"]),
        group: None,
        source: CertificateSource::Acme(AcmeSpec {
            directory: "https://acme.example.net/dir".to_owned(),
            contact: None,
            webroot: HostPath::new("/var/www/acme").unwrap(),
            key: CertificateKey::EcdsaP256,
            agreed: true,
        }),
    }
}

fn issued(authority: &Authority, days: u64) -> Issued {
    let spec = spec();
    let all: Vec<&str> = spec.domains.iter().map(String::as_str).collect();
    let pair = authority.issue(&all, days);
    let seen = pair.judge_issued(&spec.domains, None).unwrap();
    Issued {
        pair,
        domains: spec.domains,
        directory: "https://acme.example.net/dir".to_owned(),
        not_before: seen.validity.not_before,
        not_after: seen.validity.not_after,
        issued_at: clock(),
    }
}

fn read(folder: &Path) -> Pair {
    let read = |name: &str| std::fs::read_to_string(folder.join("etc/web/tls").join(name));
    Pair {
        chain: read("chain.pem").unwrap(),
        key: read("key.pem").unwrap(),
    }
}

fn made(machine: &mut Machine, spec: &CertificateSpec) -> Finding {
    apply(machine, &Bodies::default(), &id(), spec).unwrap();
    observe(machine, &Bodies::default(), spec)
}

#[test]
fn until_one_is_issued_a_placeholder_is_there_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = Machine::with_programs(dir.path());
    let spec = spec();
    assert_eq!(
        observe(&mut machine, &Bodies::default(), &spec),
        Finding::Differs("missing".to_owned())
    );
    let Finding::Waits(reason) = made(&mut machine, &spec) else {
        panic!("it waits");
    };
    assert!(
        reason.contains("placeholder") && reason.contains("acme.example.net"),
        "{reason}"
    );
    let first = read(dir.path());
    assert_eq!(first.judge().unwrap().names, spec.domains);
    let mode = |name: &str| {
        let meta = std::fs::metadata(dir.path().join("etc/web/tls").join(name)).unwrap();
        meta.permissions().mode() & 0o7777
    };
    assert_eq!(
        (mode(""), mode("chain.pem"), mode("key.pem")),
        (0o755, 0o644, 0o600)
    );
    // What was wrong is said.
    let attempts = Attempts {
        failures: 1,
        begun_at: Some(Timestamp(1)),
        reason: "nobody answers".to_owned(),
        ..Attempts::default()
    };
    let place = Place::of(&spec.path);
    place.keep_attempts(&machine.notes, &attempts).unwrap();
    let found = observe(&mut machine, &Bodies::default(), &spec);
    assert!(
        matches!(&found, Finding::Waits(text) if text.contains("nobody answers")),
        "{found:?}"
    );
    // Without the operator's word that is the reason, whatever else went wrong.
    let mut silent = spec.clone();
    if let CertificateSource::Acme(acme) = &mut silent.source {
        acme.agreed = false;
    }
    let found = observe(&mut machine, &Bodies::default(), &silent);
    assert!(
        matches!(&found, Finding::Waits(text) if text.contains("acme-terms")),
        "{found:?}"
    );
    // It is made once.
    std::fs::remove_file(dir.path().join("etc/web/tls/key.pem")).unwrap();
    assert!(matches!(
        observe(&mut machine, &Bodies::default(), &spec),
        Finding::Differs(_)
    ));
    made(&mut machine, &spec);
    assert_eq!(read(dir.path()), first);
}

#[test]
fn what_was_issued_takes_the_place_of_the_placeholder_and_stays_whatever_the_clock_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = Machine::with_programs(dir.path());
    let (spec, authority) = (spec(), Authority::new());
    made(&mut machine, &spec);
    let one = issued(&authority, 90);
    let place = Place::of(&spec.path);
    place.keep_issued(&machine.notes, &one).unwrap();
    assert!(matches!(
        observe(&mut machine, &Bodies::default(), &spec),
        Finding::Differs(_)
    ));
    assert_eq!(made(&mut machine, &spec), Finding::Right);
    assert_eq!(read(dir.path()), one.pair);
    // As with a clock that is years ahead.
    let mut ended = one.clone();
    ended.not_after = Timestamp(2);
    place.keep_issued(&machine.notes, &ended).unwrap();
    let found = observe(&mut machine, &Bodies::default(), &spec);
    assert!(
        matches!(&found, Finding::Waits(text) if text.contains("ended at")),
        "{found:?}"
    );
    assert_eq!(read(dir.path()), one.pair, "it is still there");
    // For other names it serves until there is another.
    place.keep_issued(&machine.notes, &one).unwrap();
    let mut more = spec.clone();
    more.domains.push("c.example.com".to_owned());
    let found = observe(&mut machine, &Bodies::default(), &more);
    assert!(
        matches!(&found, Finding::Waits(text) if text.contains("an earlier one")),
        "{found:?}"
    );
    // A renewal that does not come is no reason to be wrong.
    let attempts = Attempts {
        failures: 3,
        reason: "away".to_owned(),
        ..Attempts::default()
    };
    place.keep_attempts(&machine.notes, &attempts).unwrap();
    let found = observe(&mut machine, &Bodies::default(), &spec);
    assert!(
        found.is_satisfied()
            && matches!(&found, Finding::Unverified(text) if text.contains("away"))
    );
}

#[test]
fn a_crash_at_any_step_leaves_the_old_pair_or_the_new_one_and_never_a_mixture() {
    let authority = Authority::new();
    let (old, new) = (issued(&authority, 60), issued(&authority, 90));
    let spec = spec();
    let mut crashes = 0;
    for step in 0..60 {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::with_programs(dir.path());
        let place = Place::of(&spec.path);
        place.keep_issued(&machine.notes, &old).unwrap();
        made(&mut machine, &spec);
        place.keep_issued(&machine.notes, &new).unwrap();
        let notes = machine.notes.clone();
        machine = machine.dies_with(&notes);
        notes.die_after(step);
        let done = apply(&mut machine, &Bodies::default(), &id(), &spec);
        crashes += usize::from(notes.is_dead());
        let left = read(dir.path());
        assert!(
            left == old.pair || left == new.pair,
            "a mixture after step {step}"
        );
        // The next life puts the new one there, when it is not yet.
        let mut again = Machine::with_programs(dir.path());
        sweep(&again, &spec.path).unwrap();
        if observe(&mut again, &Bodies::default(), &spec) != Finding::Right {
            assert_eq!(made(&mut again, &spec), Finding::Right);
        }
        assert_eq!(read(dir.path()), new.pair);
        let beside: Vec<_> = std::fs::read_dir(dir.path().join("etc/web"))
            .unwrap()
            .collect();
        assert_eq!(beside.len(), 1, "nothing is left beside it");
        if done.is_ok() && !notes.is_dead() {
            break;
        }
    }
    assert!(crashes >= 2, "{crashes} steps were crashed in");
}

#[test]
fn an_operators_own_is_put_there_when_it_fits_and_refused_with_the_reason_when_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = Machine::with_programs(dir.path());
    let authority = Authority::new();
    let supply = |pair: &Pair| {
        let text = format!("{}{}", pair.key, pair.chain).into_bytes();
        let sha256 = ContentHash::of(&text);
        let mut spec = spec();
        spec.source = CertificateSource::Supplied(ArtifactRef {
            sha256,
            length: text.len() as u64,
            pieces: vec![sha256],
            secret: true,
        });
        (spec, Bodies([(sha256, text)].into()))
    };
    let good = authority.issue(&["a.example.com", "b.example.com", "c.example.com"], 90);
    let (wanted, bodies) = supply(&good);
    apply(&mut machine, &bodies, &id(), &wanted).unwrap();
    assert_eq!(observe(&mut machine, &bodies, &wanted), Finding::Right);
    assert_eq!(read(dir.path()), good);
    let (other, bodies) = supply(&authority.issue(&["a.example.com"], 90));
    let refused = apply(&mut machine, &bodies, &id(), &other)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("b.example.com is wanted"), "{refused}");
    assert_eq!(read(dir.path()), good, "what is there stays");
    let missing = observe(&mut machine, &Bodies::default(), &other);
    assert!(matches!(missing, Finding::Differs(_)));
}

#[test]
fn what_is_removed_leaves_no_key_and_what_is_somebodys_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = Machine::with_programs(dir.path());
    let spec = spec();
    made(&mut machine, &spec);
    remove(&mut machine, &id(), &spec.path, true).unwrap();
    assert!(!dir.path().join("etc/web/tls").exists());
    let place = Place::of(&spec.path);
    assert_eq!(place.placeholder(&machine.notes).unwrap(), None);
    // To be left: the folder stays, what is known of it goes.
    made(&mut machine, &spec);
    remove(&mut machine, &id(), &spec.path, false).unwrap();
    assert!(dir.path().join("etc/web/tls/key.pem").exists());
    assert_eq!(place.placeholder(&machine.notes).unwrap(), None);
    // Somebody works in it: that stays and is said, the key goes, and the rest once they have done.
    let notes = dir.path().join("etc/web/tls/notes");
    std::fs::write(&notes, "mine").unwrap();
    for _ in 0..2 {
        let error = remove(&mut machine, &id(), &spec.path, true).unwrap_err();
        let is_said = matches!(error, ApplyError::File(FileError::NotEmpty(_)));
        assert!(is_said, "{error}");
        assert!(notes.exists());
        assert!(!dir.path().join("etc/web/tls/key.pem").exists());
        assert!(!dir.path().join("etc/web/tls/chain.pem").exists());
    }
    std::fs::remove_file(&notes).unwrap();
    remove(&mut machine, &id(), &spec.path, true).unwrap();
    assert!(!dir.path().join("etc/web/tls").exists());
    // So does what looks like one of ours and is not.
    let theirs = dir.path().join("etc/web/theirs");
    std::fs::create_dir_all(&theirs).unwrap();
    std::fs::write(theirs.join("key.pem"), "an operator's").unwrap();
    remove(
        &mut machine,
        &id(),
        &HostPath::new("/etc/web/theirs").unwrap(),
        true,
    )
    .unwrap();
    assert!(theirs.join("key.pem").exists());
    // And is moved aside when a certificate shall be there.
    std::fs::create_dir(dir.path().join("etc/web/tls")).unwrap();
    std::fs::write(&notes, "mine").unwrap();
    made(&mut machine, &spec);
    let beside = std::fs::read_dir(dir.path().join("etc/web")).unwrap();
    let mut beside = beside.map(|entry| entry.unwrap().path().join("notes"));
    assert!(beside.any(|notes| notes.exists()));
}

/// Every name below a folder.
fn all_below(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        names.push(entry.file_name().to_string_lossy().into_owned());
        names.extend(all_below(&entry.path()));
    }
    names
}

#[test]
fn a_crash_at_any_step_of_a_removal_leaves_no_key_once_it_was_done_again() {
    let authority = Authority::new();
    let spec = spec();
    for theirs in [None, Some("dhparam.pem")] {
        let mut crashes = 0;
        for step in 0..60 {
            let dir = tempfile::tempdir().unwrap();
            let mut machine = Machine::with_programs(dir.path());
            let place = Place::of(&spec.path);
            let one = issued(&authority, 60);
            place.keep_issued(&machine.notes, &one).unwrap();
            made(&mut machine, &spec);
            if let Some(name) = theirs {
                std::fs::write(dir.path().join("etc/web/tls").join(name), "theirs").unwrap();
            }
            let notes = machine.notes.clone();
            machine = machine.dies_with(&notes);
            notes.die_after(step);
            let _ = remove(&mut machine, &id(), &spec.path, true);
            let is_dead = notes.is_dead();
            crashes += usize::from(is_dead);
            let mut again = Machine::with_programs(dir.path());
            let done = remove(&mut again, &id(), &spec.path, true);
            assert_eq!(done.is_ok(), theirs.is_none(), "after step {step}");
            let left = all_below(&dir.path().join("etc/web"));
            match theirs {
                None => assert!(left.is_empty(), "after step {step}: {left:?}"),
                Some(name) => {
                    let mut left = left;
                    left.sort();
                    assert_eq!(left, [MARKER, name, "tls"], "after step {step}");
                }
            }
            assert_eq!(place.issued(&again.notes).unwrap(), None);
            if !is_dead {
                break;
            }
        }
        assert!(crashes >= 5, "{crashes} steps were crashed in");
    }
}
