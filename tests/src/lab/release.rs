//! What an operator brings to the lab: the project's programs as a release has them, and files of others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binary;

const STAND_INS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/stand-ins");
const PROGRAMS: [&str; 3] = [
    "email-engine-agent",
    "email-engine-bootstrap",
    "email-engine-coordinator",
];

/// Where the programs lie, without what only a debugger reads: below this folder, made there once.
pub(super) fn programs(folder: &Path) -> PathBuf {
    let folder = folder.join("programs");
    if !folder.exists() {
        fs::create_dir(&folder).unwrap();
        for program in PROGRAMS {
            let strip = ["--strip-debug", "-o"];
            let words = [folder.join(program), binary(program)];
            succeeds(Command::new("strip").args(strip).args(words));
        }
    }
    folder
}

/// What an operator brings: the product's package and licence, the application's archive, and the bundle of
/// the API's service, made here once. Each with its name in front.
pub(super) fn artifacts(folder: &Path) -> [String; 4] {
    let (packages, archive) = (folder.join("packages"), folder.join("mailwizz.zip"));
    let bundle = folder.join("bundle.tar.gz");
    if !archive.exists() {
        let build = format!("{STAND_INS}/powermta/packaging/build");
        let programs = binary("pmtad");
        succeeds(
            Command::new(build)
                .arg(programs.parent().unwrap())
                .arg(&packages),
        );
        let pack = format!("{STAND_INS}/api-bundle/pack");
        succeeds(Command::new(pack).arg(&bundle).arg("1"));
        succeeds(Command::new(format!("{STAND_INS}/mailwizz/pack")).arg(&archive));
    }
    [
        format!("powermta={}/PowerMTA-5.0r1.deb", packages.display()),
        format!("powermta-license={STAND_INS}/powermta/packaging/license"),
        format!("mailwizz={}", archive.display()),
        format!("api-bundle={}", bundle.display()),
    ]
}

pub(super) fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
