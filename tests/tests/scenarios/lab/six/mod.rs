//! Six bare machines become a cluster and a fleet that sends, by one command, and stay so. A seventh names them
//! and vouches for them.

mod application;
mod long;
mod mail;
mod names;
mod pages;

use email_engine_tests::lab::{self, API, MAILWIZZ, POWERMTA, WORLD, World};
use email_engine_tests::mail::alone;

/// Whether there is what the machines begin with; what is missing is said.
fn has_layers() -> bool {
    let layers = [
        lab::ground(),
        lab::sender(),
        lab::web(),
        lab::api(),
        lab::names(),
    ];
    !layers.contains(&None)
}

#[test]
fn six_bare_machines_become_a_fleet_that_sends_by_one_deploy() {
    if !has_layers() {
        return;
    }
    alone(&WORLD, async move {
        let mut world = World::bare().await.unwrap();
        names::are_the_operators(&world);
        names::tell_who_is_listed(&world).await;
        world.found().await;
        let file = pages::nobody_agreed(&world);
        deployed(&world, file).await;
        world.publish();
        pages::are_in_the_clear(&world).await;
        pages::somebody_agrees(&world);
        application::is_set_up(&world).await;
        mail::arrives(&world, 1).await;

        // All at once, as after a power cut.
        let [one, two, three] = [POWERMTA, MAILWIZZ, API].map(|(host, _)| world.guest(host));
        tokio::join!(one.reboot(), two.reboot(), three.reboot());
        pages::are_certified(&world).await;
        mail::arrives(&world, 2).await;
    });
}

/// One run brings everything about; another one has nothing to do.
async fn deployed(world: &World, file: &str) {
    let first = world.deploy(file).await;
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    let again = world.deploy(file).await;
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let said = String::from_utf8_lossy(&again.stdout);
    let nothing = "Nothing was changed: the fleet is what the file says.";
    assert!(said.contains(nothing), "{said}");
}
