//! Packages of operators, as role files name them.

mod repository;

use email_engine_protocol::desired::{FileContent, Resource, Spec};

use crate::artifacts::{call, put};
use crate::fixture::Fleet;

const ROLE: &str = "powermta/role.toml";

fn with(more: &str) -> Fleet {
    let files = email_engine_coordinator::planner::builtin_bundle();
    Fleet::sos_holidays().with_file(ROLE, &format!("{}\n{more}", files[ROLE]))
}

fn find(fleet: &Fleet, id: &str) -> Option<Resource> {
    let planned = fleet.plan("pmta1");
    let mut all = planned.config.resources.into_iter();
    all.find(|one| one.id.as_str() == id)
}

#[test]
fn a_sending_host_gets_the_operators_package_and_licence_where_their_names_stand_for_files() {
    let mut fleet = Fleet::sos_holidays();
    for id in ["package:powermta", "group:pmta", "file:/etc/pmta/license"] {
        assert_eq!(
            find(&fleet, id),
            None,
            "without a name it is somebody else's"
        );
    }
    let (product, licence) = (put(&mut fleet, "product"), put(&mut fleet, "licence"));
    call(&mut fleet, &[("powermta", product)]);
    let package = find(&fleet, "package:powermta").unwrap();
    let Spec::VendorPackage(spec) = &package.spec else {
        panic!("a package of a vendor's");
    };
    assert_eq!(spec.artifact.as_ref().unwrap().sha256, product);
    assert_eq!((&spec.package.version, spec.downgrade), (&None, false));
    assert!(spec.verify);
    assert!(package.after.is_empty());
    assert_eq!(find(&fleet, "group:pmta"), None);
    let together = find(&fleet, "transaction:pmta").unwrap();
    assert!(together.after.contains(&package.id), "{together:?}");

    call(
        &mut fleet,
        &[("powermta", product), ("powermta-license", licence)],
    );
    let file = find(&fleet, "file:/etc/pmta/license").unwrap();
    let Spec::File(spec) = &file.spec else {
        panic!("a file");
    };
    assert!(matches!(&spec.content, FileContent::Artifact(one) if one.sha256 == licence));
    assert_eq!((spec.mode, spec.group.as_deref()), (0o640, Some("pmta")));
    let package = find(&fleet, "package:powermta").unwrap();
    assert_eq!(package.after, [file.id], "an upgrade asks for the licence");
    assert!(find(&fleet, "group:pmta").is_some());

    // One host of another family has its own file.
    let rpm = put(&mut fleet, "rpm");
    let fleet = fleet.labelled("artifact-powermta", &rpm.to_string());
    let bodies = fleet.plan("pmta1").config.bodies();
    assert!(bodies.contains(&rpm) && !bodies.contains(&product));
}

#[test]
fn versions_holds_and_edges_of_packages_are_planned() {
    let more = "[[package]]\nname = \"nginx\"\nversion = \"1.22.1-9\"\nhold = true\n\
                on_remove = \"leave\"\nnotify = [\"service:pmta.service\"]\n\
                after = [\"package:nftables\"]\n";
    let made = find(&with(more), "package:nginx").unwrap();
    let Spec::Package(spec) = &made.spec else {
        panic!("a package of the distribution's");
    };
    assert_eq!(
        (spec.version.as_deref(), spec.hold),
        (Some("1.22.1-9"), true)
    );
    assert_eq!((made.after.len(), made.notify.len()), (1, 1));
}

#[test]
fn a_package_of_a_repository_can_be_verified_as_well() {
    let more = "[[package]]\nname = \"nginx\"\nverify = true\non_remove = \"leave\"\n";
    let made = find(&with(more), "package:nginx").unwrap();
    let Spec::VendorPackage(spec) = &made.spec else {
        panic!("a package that is looked through");
    };
    assert!(spec.verify && spec.artifact.is_none());
}

#[test]
fn a_package_that_cannot_be_is_refused_by_its_name() {
    for (more, words) in [
        ("downgrade = true", "a version is accepted there"),
        ("version = \"1/2\"", "version is \"1/2\""),
        ("artifact = \"nowhere\"", "artifact put FILE --use"),
    ] {
        let more = format!("[[package]]\nname = \"nginx\"\non_remove = \"leave\"\n{more}\n");
        let refused = with(&more).refusal().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}
