//! Six bare machines become a cluster and a fleet that sends, by one command, and stay so.

mod application;
mod long;
mod mail;

use email_engine_tests::lab::{API, MAILWIZZ, POWERMTA, WORLD, World, api, ground, sender, web};
use email_engine_tests::mail::alone;

#[test]
fn six_bare_machines_become_a_fleet_that_sends_by_one_deploy() {
    if [ground(), sender(), web(), api()].contains(&None) {
        return;
    }
    alone(&WORLD, async move {
        let mut world = World::bare().await.unwrap();
        world.found().await;
        deployed(&world).await;
        world.publish().await;
        application::is_set_up(&world).await;
        mail::arrives(&world, 1).await;

        for (host, _) in [POWERMTA, MAILWIZZ, API] {
            world.guest(host).reboot().await;
        }
        application::answers(&world).await;
        mail::arrives(&world, 2).await;
    });
}

/// One run brings everything about; another one has nothing to do.
async fn deployed(world: &World) {
    let first = world.deploy().await;
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    let again = world.deploy().await;
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let said = String::from_utf8_lossy(&again.stdout);
    let nothing = "Nothing was changed: the fleet is what the file says.";
    assert!(said.contains(nothing), "{said}");
}
