//! What a state with artifacts must be.

use super::*;
use crate::desired::{
    CommandCheck, CommandLine, Disposition, FileSpec, HostPath, OnRemove, Policy, RestartSpec,
    TransactionSpec,
};
use crate::id::{ClusterId, HostId, ResourceId, Role};

fn artifact() -> ArtifactRef {
    let piece = ContentHash::of(b"piece");
    ArtifactRef {
        sha256: piece,
        length: 5,
        pieces: vec![piece],
        secret: false,
    }
}

fn resource(spec: Spec) -> Resource {
    Resource {
        id: ResourceId::new("a").unwrap(),
        spec,
        on_remove: OnRemove::Leave,
        policy: Policy::Enforce,
        after: Vec::new(),
        notify: Vec::new(),
    }
}

fn file(artifact: ArtifactRef, mode: u32) -> Resource {
    resource(Spec::File(FileSpec {
        path: HostPath::new("/etc/licence").unwrap(),
        content: FileContent::Artifact(artifact),
        mode,
        owner: None,
        group: None,
        validate: None,
    }))
}

fn archive(change: impl FnOnce(&mut ArchiveSpec)) -> Resource {
    let mut spec = ArchiveSpec {
        path: HostPath::new("/srv/app").unwrap(),
        artifact: artifact(),
        form: ArchiveForm::Zip,
        strip: 1,
        mode: 0o755,
        owner: None,
        group: None,
        creates: None,
    };
    change(&mut spec);
    resource(Spec::Archive(spec))
}

fn config(resources: Vec<Resource>) -> HostConfig {
    HostConfig {
        cluster: ClusterId([1; 16]),
        host: HostId::new("h").unwrap(),
        role: Role::Api,
        disposition: Disposition::Active,
        resources,
        large_removal: false,
        accounting: None,
    }
}

#[test]
fn an_artifact_has_the_pieces_that_its_length_says() {
    assert_eq!(config(vec![file(artifact(), 0o644)]).check(), Ok(()));
    for (length, pieces) in [(0, 1), (u64::MAX, 1), (5, 2), (5, 0), (2 << 20, 1)] {
        let mut wrong = artifact();
        wrong.length = length;
        wrong.pieces = vec![ContentHash::of(b"piece"); pieces];
        let refused = config(vec![file(wrong, 0o644)]).check().unwrap_err();
        assert!(refused.to_string().contains("accepted"), "{refused}");
    }
}

#[test]
fn what_is_secret_is_readable_to_owner_and_group_alone() {
    let secret = ArtifactRef {
        secret: true,
        ..artifact()
    };
    assert_eq!(config(vec![file(secret.clone(), 0o640)]).check(), Ok(()));
    for mode in [0o644, 0o660, 0o750, 0o604] {
        let refused = config(vec![file(secret.clone(), mode)])
            .check()
            .unwrap_err();
        assert!(refused.to_string().contains("0640"), "{refused}");
    }
    let shown = archive(|spec| spec.artifact.secret = true);
    assert!(config(vec![shown]).check().is_err());
}

#[test]
fn an_archive_has_plain_modes_and_strips_little() {
    assert_eq!(config(vec![archive(|_| ())]).check(), Ok(()));
    for wrong in [
        archive(|spec| spec.mode = 0o4755),
        archive(|spec| spec.mode = 0o644),
        archive(|spec| spec.strip = 17),
    ] {
        assert!(config(vec![wrong]).check().is_err());
    }
}

#[test]
fn pieces_are_bodies_that_the_state_needs() {
    let needed = config(vec![archive(|_| ())]).bodies();
    assert_eq!(needed, [ContentHash::of(b"piece")].into());
}

#[test]
fn a_transaction_has_no_artifact_among_its_files() {
    let mut licence = file(artifact(), 0o644);
    licence.id = ResourceId::new("file:/etc/licence").unwrap();
    let nothing = || CommandCheck {
        command: CommandLine {
            program: HostPath::new("/bin/true").unwrap(),
            arguments: Vec::new(),
        },
        seconds: 1,
        refused_by: Vec::new(),
        must_say: Vec::new(),
    };
    let mut together = resource(Spec::Transaction(TransactionSpec {
        members: vec![licence.id.clone()],
        test: nothing(),
        activate: nothing(),
        unit: None,
        read_back: Vec::new(),
        health: Vec::new(),
        restart: RestartSpec::default(),
        attempt: 0,
        drain: None,
    }));
    together.id = ResourceId::new("transaction:t").unwrap();
    let refused = check_all(&config(vec![licence, together])).unwrap_err();
    assert!(refused.to_string().contains("is an artifact"), "{refused}");
}
