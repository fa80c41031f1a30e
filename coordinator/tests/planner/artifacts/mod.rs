//! Files of an operator, as a role file names them.

use std::sync::Arc;

use email_engine_coordinator::planner::PlanError;
use email_engine_coordinator::state::Artifact;
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{ArchiveForm, FileContent, Spec};
use email_engine_protocol::id::ArtifactName;
use email_engine_protocol::time::Timestamp;

use crate::fixture::Fleet;

const ROLE: &str = "powermta/role.toml";

const MORE: &str = r#"
[[archive]]
path = "/opt/app"
artifact = "product"
form = "zip"
strip = 1
mode = "0755"
creates = "/opt/app/index.php"
on_remove = "leave"
notify = ["service:pmta.service"]

[[file]]
path = "/opt/licence"
artifact = "licence"
mode = "0640"
on_remove = "delete"
"#;

fn with(more: &str) -> Fleet {
    let files = email_engine_coordinator::planner::builtin_bundle();
    Fleet::sos_holidays().with_file(ROLE, &format!("{}\n{more}", files[ROLE]))
}

fn name(text: &str) -> ArtifactName {
    ArtifactName::new(text).unwrap()
}

/// A whole artifact of one piece, and its hash.
pub(crate) fn put(fleet: &mut Fleet, text: &str) -> ContentHash {
    let sha256 = ContentHash::of(text.as_bytes());
    let artifact = Artifact {
        name: text.to_owned(),
        length: text.len() as u64,
        pieces: vec![sha256],
        missing: [].into(),
        secret: text == "licence",
        begun_at: Timestamp(0),
        touched_at: Timestamp(0),
        finished_at: Some(Timestamp(0)),
    };
    fleet.state.artifacts.insert(sha256, Arc::new(artifact));
    sha256
}

pub(crate) fn call(fleet: &mut Fleet, names: &[(&str, ContentHash)]) {
    let names = names.iter().map(|(text, sha256)| (name(text), *sha256));
    let revisions: Vec<u64> = fleet.state.settings.keys().copied().collect();
    let names = Arc::new(names.collect());
    for revision in revisions {
        fleet
            .state
            .artifact_names
            .insert(revision, Arc::clone(&names));
    }
}

#[test]
fn a_role_names_artifacts_and_a_hosts_label_outranks_the_settings() {
    let mut fleet = with(MORE);
    let (product, licence) = (put(&mut fleet, "product"), put(&mut fleet, "licence"));
    call(&mut fleet, &[("product", product), ("licence", licence)]);
    let planned = fleet.plan("pmta1");
    let of = |id: &str| {
        let mut all = planned.config.resources.iter();
        all.find(|one| one.id.as_str() == id).unwrap()
    };
    let Spec::Archive(archive) = &of("archive:/opt/app").spec else {
        panic!("an archive");
    };
    assert_eq!(
        (archive.artifact.sha256, archive.form),
        (product, ArchiveForm::Zip)
    );
    assert_eq!(of("archive:/opt/app").notify.len(), 1);
    let Spec::File(file) = &of("file:/opt/licence").spec else {
        panic!("a file");
    };
    assert!(matches!(&file.content, FileContent::Artifact(one) if one.secret));
    assert!(planned.config.bodies().contains(&product));
    assert!(
        !planned.bodies.contains_key(&product),
        "it is stored already"
    );

    let other = put(&mut fleet, "other");
    let fleet = fleet.labelled("artifact-product", &other.to_string());
    let bodies = fleet.plan("pmta1").config.bodies();
    assert!(bodies.contains(&other) && !bodies.contains(&product));
}

#[test]
fn a_host_whose_artifact_is_missing_says_how_to_upload_it() {
    let mut fleet = with(MORE);
    let refused = fleet.refusal();
    assert!(
        matches!(refused, PlanError::UnnamedArtifact { .. }),
        "{refused}"
    );
    assert!(
        refused
            .to_string()
            .contains("email-engine artifact put FILE --use")
    );
    let sha256 = put(&mut fleet, "product");
    call(&mut fleet, &[("product", sha256), ("licence", sha256)]);
    let artifact = fleet.state.artifacts.get_mut(&sha256).unwrap();
    Arc::make_mut(artifact).finished_at = None;
    let refused = fleet.refusal();
    assert!(
        matches!(refused, PlanError::MissingArtifact { .. }),
        "{refused}"
    );
    assert!(
        refused
            .to_string()
            .contains("email-engine artifact put FILE")
    );
}

#[test]
fn an_entry_that_cannot_be_is_refused_by_its_path() {
    let both = MORE.replace("[[file]]", "[[file]]\ntemplate = \"powermta/x\"");
    let mut fleet = with(&both).with_file("powermta/x", "x");
    let sha256 = put(&mut fleet, "product");
    call(&mut fleet, &[("product", sha256), ("licence", sha256)]);
    let refused = fleet.refusal().to_string();
    assert!(
        refused.contains("/opt/licence") && refused.contains("artifact"),
        "{refused}"
    );
}
