//! The rules of the house, read from the source text: budgets of size, the purity of the pure rooms,
//! and words that belong to somebody's machine rather than to the project.
//!
//! Each rule is a function from text to complaints, and has a test that shows it complaining; the
//! tests here apply the rules to the repository.

#![allow(
    clippy::unwrap_used,
    reason = "everything in this crate is a test, its functions too"
)]

mod budget;
mod halves;
mod machine;
mod packages;
mod purity;
mod quickstart;
mod rooms;
mod source;
mod words;

use source::Source;

#[test]
fn no_file_is_over_budget() {
    let sources = Source::all();
    for source in sources
        .iter()
        .filter(|source| budget::lines(source) > budget::FILE_SOFT_LINES)
    {
        println!("note: {} has {} lines", source.path, budget::lines(source));
    }
    assert_none(sources.iter().filter_map(budget::over_long_file));
}

#[test]
fn no_function_is_over_budget() {
    assert_none(Source::all().iter().flat_map(budget::over_long_functions));
}

#[test]
fn no_folder_is_over_budget() {
    let sources = Source::all();
    assert_none(budget::over_full_folders(
        sources.iter().map(|source| source.path.as_str()),
    ));
}

#[test]
fn the_readme_is_short_enough_to_be_read() {
    assert_none(budget::over_long_readme(&source::read("README.md")));
}

#[test]
fn pure_rooms_import_nothing_impure() {
    let sources = Source::all();
    let pure: Vec<_> = sources
        .iter()
        .filter(|source| rooms::of(&source.path).is_some())
        .collect();
    assert!(
        !pure.is_empty(),
        "no file of a pure room was found: the paths in rooms.rs are wrong"
    );
    assert_none(pure.into_iter().flat_map(purity::impure_paths));
}

#[test]
fn every_pure_room_exists_once_its_crate_runs() {
    let paths: Vec<_> = Source::all()
        .into_iter()
        .map(|source| source.path)
        .collect();
    assert_none(rooms::missing(&paths));
}

#[test]
fn the_agents_halves_know_each_other_by_messages_alone() {
    let sources = Source::all();
    let paths: Vec<_> = sources.iter().map(|source| source.path.clone()).collect();
    assert_none(halves::missing(&paths));
    assert_none(sources.iter().flat_map(halves::crossings));
}

#[test]
fn protocol_depends_on_none_of_our_crates() {
    let manifest = source::read("protocol/Cargo.toml");
    assert_none(rooms::own_dependencies("protocol", &manifest));
}

#[test]
fn the_stand_in_depends_on_none_of_our_crates() {
    let manifest = source::read("tests/stand-ins/powermta/Cargo.toml");
    assert_none(rooms::own_dependencies("the stand-in", &manifest));
}

#[test]
fn no_file_speaks_of_one_machine() {
    assert_none(source::text_files().flat_map(|(path, text)| words::foreign(&path, &text)));
}

#[test]
fn every_locked_crate_comes_from_crates_io() {
    assert_none(words::foreign_sources(&source::read("Cargo.lock")));
}

fn assert_none(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<_> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
