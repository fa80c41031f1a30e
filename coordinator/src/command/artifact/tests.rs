//! Uploads and what keeps an artifact.

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{ArtifactName, Role};
use email_engine_protocol::limits::ARTIFACT_PIECE_BYTES;
use email_engine_protocol::time::Timestamp;

use super::*;
use crate::command::fixture::{Fleet, host, host_id};
use crate::command::{
    BodyChange, ChangeHost, Command, Effect, PutSettings, RejectionCode, SetRelease,
};

/// Two whole pieces that are alike, one that is not, and a short one.
fn file(seed: u8) -> Vec<u8> {
    let piece = usize::try_from(ARTIFACT_PIECE_BYTES).unwrap();
    let mut bytes = vec![seed; 2 * piece];
    bytes.extend(vec![seed.wrapping_add(1); piece]);
    bytes.extend(b"the end");
    bytes
}

fn cut(bytes: &[u8]) -> Vec<&[u8]> {
    bytes
        .chunks(usize::try_from(ARTIFACT_PIECE_BYTES).unwrap())
        .collect()
}

fn begin(bytes: &[u8]) -> BeginArtifact {
    BeginArtifact {
        name: "product.zip".to_owned(),
        length: bytes.len() as u64,
        sha256: ContentHash::of(bytes),
        pieces: cut(bytes).into_iter().map(ContentHash::of).collect(),
        secret: false,
        total_limit: 1 << 30,
    }
}

fn put(bytes: &[u8], at: usize) -> Command {
    Command::PutArtifactPiece(PutArtifactPiece {
        sha256: ContentHash::of(bytes),
        at: u32::try_from(at).unwrap(),
        bytes: Piece(cut(bytes)[at].to_vec()),
    })
}

fn finish(bytes: &[u8]) -> Command {
    let sha256 = ContentHash::of(bytes);
    Command::FinishArtifact(FinishArtifact { sha256 })
}

fn remove(bytes: &[u8], expired: bool) -> Command {
    let sha256 = ContentHash::of(bytes);
    Command::RemoveArtifact(RemoveArtifact { sha256, expired })
}

fn name(name: &str, bytes: Option<&[u8]>, release: bool) -> Command {
    Command::NameArtifact(NameArtifact {
        name: ArtifactName::new(name).unwrap(),
        artifact: bytes.map(ContentHash::of),
        release,
    })
}

fn upload(fleet: &mut Fleet, bytes: &[u8]) {
    fleet.accept(Command::BeginArtifact(begin(bytes)));
    for at in 0..cut(bytes).len() {
        fleet.accept(put(bytes, at));
    }
    fleet.accept(finish(bytes));
}

#[test]
fn pieces_come_in_any_order_and_as_often_as_need_be() {
    let mut fleet = Fleet::with_content();
    let bytes = file(7);
    fleet.accept(Command::BeginArtifact(begin(&bytes)));
    let refused = fleet.refuse(finish(&bytes));
    assert_eq!(refused.code, RejectionCode::WrongState);
    for at in [3, 1, 2] {
        fleet.accept(put(&bytes, at));
    }
    // Piece 0 is the same as piece 1.
    assert_eq!(fleet.accept(put(&bytes, 0)).effect, Effect::Unchanged);
    let stored = fleet.bodies.len();
    assert_eq!(stored, 3, "each piece once");
    let again = fleet.accept(Command::BeginArtifact(begin(&bytes)));
    assert_eq!(again.effect, Effect::Unchanged);
    fleet.accept(finish(&bytes));
    assert_eq!(fleet.accept(finish(&bytes)).effect, Effect::Unchanged);
    let artifact = &fleet.state.artifacts[&ContentHash::of(&bytes)];
    assert!(artifact.missing.is_empty() && artifact.finished_at.is_some());
}

#[test]
fn a_piece_is_no_entry_of_the_audit_and_no_revision() {
    let mut fleet = Fleet::with_content();
    let bytes = file(7);
    fleet.accept(Command::BeginArtifact(begin(&bytes)));
    let (entries, revision) = (fleet.state.audit.len(), fleet.state.revision);
    let remembered = fleet.state.remembered.len();
    fleet.accept(put(&bytes, 0));
    assert_eq!(fleet.state.audit.len(), entries);
    assert_eq!(fleet.state.revision, revision);
    assert_eq!(fleet.state.remembered.len(), remembered);
}

#[test]
fn a_damaged_piece_is_refused_by_its_hash_its_length_and_its_place() {
    let mut fleet = Fleet::with_content();
    let bytes = file(7);
    fleet.accept(Command::BeginArtifact(begin(&bytes)));
    let sha256 = ContentHash::of(&bytes);
    let mut damaged = cut(&bytes)[0].to_vec();
    damaged[5] ^= 1;
    let wrong = |at: u32, bytes: Vec<u8>| {
        let bytes = Piece(bytes);
        Command::PutArtifactPiece(PutArtifactPiece { sha256, at, bytes })
    };
    for (command, field) in [
        (wrong(0, damaged), "bytes"),
        (wrong(0, b"short".to_vec()), "bytes"),
        (wrong(2, cut(&bytes)[0].to_vec()), "bytes"),
        (wrong(4, Vec::new()), "at"),
    ] {
        let refused = fleet.refuse(command);
        assert_eq!(
            (refused.code, &*refused.field),
            (RejectionCode::Invalid, field)
        );
    }
    let unknown = fleet.refuse(put(&file(9), 0));
    assert_eq!(unknown.code, RejectionCode::NotFound);
}

#[test]
fn what_is_announced_must_fit_itself_and_the_room() {
    let mut fleet = Fleet::with_content();
    let bytes = file(7);
    let good = begin(&bytes);
    let with = |change: &dyn Fn(&mut BeginArtifact)| {
        let mut command = good.clone();
        change(&mut command);
        Command::BeginArtifact(command)
    };
    for (command, code, field) in [
        (
            with(&|one| one.name.clear()),
            RejectionCode::Invalid,
            "name",
        ),
        (with(&|one| one.length = 0), RejectionCode::Limit, "length"),
        (
            with(&|one| one.length = u64::MAX),
            RejectionCode::Limit,
            "length",
        ),
        (
            with(&|one| one.length = 5),
            RejectionCode::Invalid,
            "pieces",
        ),
        (
            with(&|one| one.pieces[0] = one.pieces[3]),
            RejectionCode::Invalid,
            "pieces",
        ),
        (
            with(&|one| one.total_limit = one.length - 1),
            RejectionCode::StorageFull,
            "length",
        ),
    ] {
        let refused = fleet.refuse(command);
        assert_eq!((refused.code, &*refused.field), (code, field), "{refused}");
    }
    fleet.accept(with(&|_| ()));
    let other = fleet.refuse(with(&|one| one.secret = true));
    assert_eq!(
        (other.code, &*other.field),
        (RejectionCode::AlreadyExists, "secret")
    );
    let other = fleet.refuse(with(&|one| one.pieces[0] = ContentHash::of(b"other")));
    assert_eq!(
        (other.code, &*other.field),
        (RejectionCode::AlreadyExists, "sha256")
    );
    let mut second = begin(&file(9));
    second.total_limit = good.length + second.length - 1;
    let full = fleet.refuse(Command::BeginArtifact(second.clone()));
    assert!(full.accepted.contains("are taken"), "{full}");
    second.total_limit += 1;
    fleet.accept(Command::BeginArtifact(second));
}

#[test]
fn artifacts_share_pieces_and_the_last_one_takes_them_along() {
    let mut fleet = Fleet::with_content();
    let (first, mut second) = (file(7), file(7));
    second.push(b'!');
    upload(&mut fleet, &first);
    fleet.bodies.clear();
    fleet.accept(Command::BeginArtifact(begin(&second)));
    let missing = &fleet.state.artifacts[&ContentHash::of(&second)].missing;
    assert_eq!(missing.len(), 1, "only the end is another");
    fleet.accept(remove(&first, false));
    let end = ContentHash::of(b"the end");
    assert_eq!(fleet.bodies, [BodyChange::Drop(end)]);
    fleet.accept(remove(&second, false));
    assert!(fleet.state.bodies.is_empty(), "nobody needs the rest");
}

#[test]
fn an_artifact_that_is_named_stays() {
    let mut fleet = Fleet::with_declared_host();
    let (first, second) = (file(7), file(9));
    upload(&mut fleet, &first);
    upload(&mut fleet, &second);
    let unknown = fleet.refuse(name("product", Some(b"unknown"), true));
    assert_eq!(unknown.code, RejectionCode::NotFound);
    fleet.accept(name("product", Some(&first), true));
    let again = fleet.accept(name("product", Some(&first), true));
    assert_eq!(again.effect, Effect::Unchanged);
    let refused = fleet.refuse(remove(&first, false));
    assert_eq!(refused.code, RejectionCode::InUse);
    assert!(refused.accepted.contains("names it product"), "{refused}");
    // Hosts that wait for a release still have the older one.
    fleet.accept(name("product", Some(&second), false));
    assert_eq!(
        fleet.refuse(remove(&first, false)).code,
        RejectionCode::InUse
    );
    let host_now = &fleet.state.hosts[&host_id("pmta1")];
    let product = ArtifactName::new("product").unwrap();
    let named = fleet.state.artifact_of(host_now, &product);
    assert_eq!(named, Some(ContentHash::of(&first)));
    let newest = fleet.state.newest_settings().map(|(revision, _)| revision);
    fleet.accept(Command::SetRelease(SetRelease {
        hosts: None,
        bundle: None,
        planner_version: None,
        settings: newest,
    }));
    fleet.accept(remove(&first, false));
    // A host's own word outranks the settings, and keeps it too.
    fleet.accept(name("product", None, true));
    let mut spec = host("pmta1", Role::Powermta, 1);
    let digest = ContentHash::of(&second).to_string();
    spec.labels.insert("artifact-product".to_owned(), digest);
    fleet.accept(Command::ChangeHost(ChangeHost { host: spec.clone() }));
    let refused = fleet.refuse(remove(&second, false));
    assert!(refused.accepted.contains("artifact-product"), "{refused}");
    spec.labels
        .insert("artifact-product".to_owned(), "new".to_owned());
    let refused = fleet.refuse(Command::ChangeHost(ChangeHost { host: spec }));
    assert_eq!(&*refused.field, "labels.artifact-product");
}

#[test]
fn names_outlive_other_changes_of_the_settings() {
    let mut fleet = Fleet::with_declared_host();
    let bytes = file(7);
    upload(&mut fleet, &bytes);
    fleet.accept(name("product", Some(&bytes), true));
    let settings = email_engine_protocol::api::Settings {
        management_port: 2000,
        ..Default::default()
    };
    let release = true;
    fleet.accept(Command::PutSettings(PutSettings { settings, release }));
    let names = fleet.state.newest_artifact_names();
    assert_eq!(names.len(), 1);
    assert_eq!(fleet.state.artifact_names.len(), 1, "older revisions went");
}

#[test]
fn an_upload_that_stands_still_for_a_day_may_be_given_up() {
    let mut fleet = Fleet::with_content();
    let bytes = file(7);
    fleet.accept(Command::BeginArtifact(begin(&bytes)));
    fleet.wait(Timestamp::DAY - 10);
    fleet.accept(put(&bytes, 0));
    fleet.wait(Timestamp::DAY - 10);
    let refused = fleet.refuse(remove(&bytes, true));
    assert_eq!(refused.code, RejectionCode::WrongState);
    // A piece that is there already is no sign of life, but moves the clock.
    assert_eq!(fleet.accept(put(&bytes, 0)).effect, Effect::Unchanged);
    fleet.wait(20);
    fleet.accept(remove(&bytes, true));
    assert!(fleet.state.artifacts.is_empty() && fleet.state.bodies.is_empty());
    upload(&mut fleet, &bytes);
    fleet.wait(Timestamp::DAY - 1);
    let refused = fleet.refuse(remove(&bytes, true));
    assert_eq!(refused.code, RejectionCode::WrongState, "it is finished");
}

#[test]
fn a_piece_is_written_as_bytes_and_never_shown() {
    let piece = Piece(b"a licence".to_vec());
    let written = postcard::to_stdvec(&piece).unwrap();
    assert_eq!(written, postcard::to_stdvec(&piece.0).unwrap());
    assert_eq!(postcard::from_bytes::<Piece>(&written).unwrap(), piece);
    assert_eq!(format!("{piece:?}"), "Piece(9 bytes)");
}
