//! Files of an operator: one of each kind.

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{
    ArchiveForm, ArchiveSpec, ArtifactRef, FileContent, FileSpec, HostPath, OnRemove, PackageSpec,
    Policy, Resource, Spec, VendorPackageSpec,
};

use super::samples::resource;

/// A secret behind a variable's name.
pub(crate) fn variable() -> FileContent {
    FileContent::Variable {
        name: "API_KEY".to_owned(),
        secret: super::samples::secret(),
    }
}

pub(crate) fn all() -> Vec<Resource> {
    let path = |text: &str| HostPath::new(text).unwrap();
    let made = |id: &str, spec| resource(id, spec, OnRemove::Delete, Policy::Enforce);
    let artifact = |secret| ArtifactRef {
        sha256: ContentHash([7; 32]),
        length: (1 << 20) + 1,
        pieces: vec![ContentHash([8; 32]), ContentHash([9; 32])],
        secret,
    };
    let archive = |form| ArchiveSpec {
        path: path("/srv/app"),
        artifact: artifact(false),
        form,
        strip: 1,
        mode: 0o755,
        owner: Some("app".to_owned()),
        group: Some("app".to_owned()),
        creates: Some(path("/srv/app/index")),
    };
    let licence = FileSpec {
        path: path("/etc/licence"),
        content: FileContent::Artifact(artifact(true)),
        mode: 0o640,
        owner: None,
        group: None,
        validate: None,
    };
    let vendor = VendorPackageSpec {
        package: PackageSpec {
            name: "powermta".to_owned(),
            version: Some("5.0r8".to_owned()),
            hold: false,
        },
        artifact: Some(artifact(false)),
        downgrade: true,
        verify: true,
    };
    vec![
        made("archive:/one", Spec::Archive(archive(ArchiveForm::TarGz))),
        made("archive:/three", Spec::Archive(archive(ArchiveForm::Zip))),
        made("archive:/two", Spec::Archive(archive(ArchiveForm::TarZst))),
        made("file:/etc/licence", Spec::File(licence)),
        made("package:powermta", Spec::VendorPackage(vendor)),
    ]
}
