//! Pages of the hosts, as visitors meet them: under their names, by certificates that an ACME server issued.

use email_engine_tests::lab::{API, MAILWIZZ, World};
use email_engine_tests::wait_for;
use serde_json::Value;

/// A page that a host serves.
struct Page {
    name: &'static str,
    address: &'static str,
    path: &'static str,
    /// Stands in it.
    says: &'static str,
}

const APPLICATION: Page = Page {
    name: "news.example.com",
    address: MAILWIZZ.1,
    path: "/customer/",
    says: "customer",
};
const SERVICE: Page = Page {
    name: "api.example.com",
    address: API.1,
    path: "/",
    says: "version",
};

/// The fleet file of whoever has not agreed to anybody's terms for the application's page, in the operator's
/// folder.
pub(super) fn nobody_agreed(world: &World) -> &'static str {
    let mut document = World::document();
    let hosts = document["hosts"].as_array_mut().unwrap();
    let host = hosts.iter_mut().find(|host| host["id"] == MAILWIZZ.0);
    let labels = host.unwrap()["labels"].as_object_mut().unwrap();
    let taken = labels.remove("acme-terms");
    assert_eq!(taken, Some(Value::from("agreed")));
    world.operator().file("not-agreed.toml", &document)
}

/// Until there is a certificate a page is served without one, and who wants to be sure of it is not deceived.
pub(super) async fn are_in_the_clear(world: &World) {
    let Page { name, address, .. } = APPLICATION;
    let visitor = world.authorities.visitor(name, address);
    let clear = visitor.get(format!("http://{name}/")).send().await.unwrap();
    // It sends on whoever comes before it is set up.
    assert_eq!(clear.status().as_u16(), 302, "{clear:?}");
    let secured = visitor.get(format!("https://{name}/")).send().await;
    let refused = format!("{:?}", secured.unwrap_err());
    assert!(refused.contains("UnknownIssuer"), "{refused}");
}

/// The operator's word for the application's page.
pub(super) fn somebody_agrees(world: &World) {
    let _ = world
        .operator()
        .prints(0, &["apply", "-f", World::FLEET, "--yes"]);
}

/// They come over TLS under their names, and the ACME server's own authority vouches for that.
pub(super) async fn are_certified(world: &World) {
    for page in [APPLICATION, SERVICE] {
        let visitor = world.authorities.visitor(page.name, page.address);
        let url = format!("https://{}{}", page.name, page.path);
        wait_for(&format!("{url} answers by its certificate"), async || {
            let said = |error: reqwest::Error| format!("{error:?}");
            let answer = visitor.get(&url).send().await.map_err(said)?;
            let status = answer.status().as_u16();
            let text = answer.text().await.map_err(said)?;
            if status == 200 && text.contains(page.says) {
                Ok(())
            } else {
                Err(format!("{status}: {text}"))
            }
        })
        .await;
    }
}
