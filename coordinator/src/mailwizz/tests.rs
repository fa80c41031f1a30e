//! The client against a stand-in of the application.

use std::net::TcpListener;
use std::time::Duration;

use email_engine_protocol::url::ServiceUrl;
use metrics_exporter_prometheus::PrometheusBuilder;
use zeroize::Zeroizing;

use super::testbed::{Application, Mood, request};
use super::{CallError, Client, Door, Draft, MAILWIZZ_CALLS};
use crate::command::fixture::identity;

fn draft(list: &str) -> Draft {
    let mut request = request();
    request.list = list.to_owned();
    Draft::new(&request, &identity(0), &[4, 11]).unwrap()
}

#[tokio::test]
async fn a_campaign_arrives_as_it_was_drafted() {
    let (application, client) = (Application::start().await, Client::new().unwrap());
    let mut odd = request();
    odd.subject = "50 % & more = ü + \"x\"".to_owned();
    let odd = Draft::new(&odd, &identity(0), &[4, 11]).unwrap();
    assert_eq!(
        client.create(&application.door(), &odd).await.unwrap(),
        "uid1"
    );
    let sent = &application.held.lock().unwrap().campaigns[0];
    let sent: Vec<_> = sent.iter().collect();
    let mut wanted: Vec<_> = odd
        .fields
        .iter()
        .map(|(name, value)| (name, value))
        .collect();
    wanted.sort();
    assert_eq!(sent, wanted);
}

#[tokio::test]
async fn calls_are_counted_by_what_was_asked_and_how_it_was_answered() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counted = metrics::set_default_local_recorder(&recorder);
    let (application, client) = (Application::start().await, Client::new().unwrap());
    let mut door = application.door();
    client.create(&door, &draft("ab12")).await.unwrap();
    client.servers(&door).await.unwrap();
    door.key = Zeroizing::new(b"another".to_vec());
    client.servers(&door).await.unwrap_err();
    let told = recorder.handle().render();
    for line in [
        "{endpoint=\"campaigns\",status_code=\"201\"} 1",
        "{endpoint=\"delivery-servers\",status_code=\"200\"} 1",
        "{endpoint=\"delivery-servers\",status_code=\"403\"} 1",
    ] {
        let line = format!("{MAILWIZZ_CALLS}{line}\n");
        assert!(told.contains(&line), "{told}");
    }
}

#[tokio::test]
async fn servers_are_found_on_all_pages() {
    let (application, client) = (Application::start().await, Client::new().unwrap());
    {
        let mut held = application.held.lock().unwrap();
        held.per_page = 2;
        held.servers = (1..=5)
            .map(|id| (id, format!("server {id}"), "active"))
            .collect();
    }
    let servers = client.servers(&application.door()).await.unwrap();
    let names: Vec<_> = servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(
        names,
        ["server 1", "server 2", "server 3", "server 4", "server 5"]
    );
    assert_eq!(application.held.lock().unwrap().asked, 3);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_applications_words_and_not_repeated() {
    let (application, client) = (Application::start().await, Client::new().unwrap());
    let refused = client
        .create(&application.door(), &draft("nobody"))
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "MailWizz refused it (422): list_uid: The list does not exist."
    );
    let mut door = application.door();
    door.key = Zeroizing::new(b"another".to_vec());
    let refused = client.servers(&door).await.unwrap_err();
    assert!(
        matches!(refused, CallError::Refused { status: 403, .. }),
        "{refused}"
    );
    assert_eq!(application.held.lock().unwrap().asked, 2);
    assert!(!format!("{door:?} {refused:?}").contains("another"));
}

#[tokio::test]
async fn reading_is_asked_again_and_making_is_not() {
    let (application, client) = (Application::start().await, Client::new().unwrap());
    application.will(&[Mood::Breaks(502), Mood::Breaks(500)]);
    assert!(
        client
            .servers(&application.door())
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(application.held.lock().unwrap().asked, 3);

    application.will(&[Mood::Breaks(500)]);
    let unclear = client
        .create(&application.door(), &draft("ab1"))
        .await
        .unwrap_err();
    assert!(matches!(unclear, CallError::Unclear { .. }), "{unclear}");
    assert_eq!(application.held.lock().unwrap().asked, 1);
}

#[tokio::test]
async fn what_is_not_answered_may_have_happened() {
    let (application, mut client) = (Application::start().await, Client::new().unwrap());
    client.write_within = Duration::from_millis(300);
    application.will(&[Mood::DoesItAndSaysNothing]);
    let door = application.door();
    let unclear = client.create(&door, &draft("ab1")).await.unwrap_err();
    assert!(matches!(unclear, CallError::Unclear { .. }), "{unclear}");
    assert!(
        unclear.to_string().contains("no answer in time"),
        "{unclear}"
    );
    assert_eq!(client.named(&door, "Autumn").await.unwrap(), ["uid1"]);
    assert!(client.named(&door, "Winter").await.unwrap().is_empty());
}

#[tokio::test]
async fn nobody_is_followed_elsewhere_and_no_flood_is_read() {
    let (application, client) = (Application::start().await, Client::new().unwrap());
    application.will(&[Mood::Redirects]);
    let strange = client.servers(&application.door()).await.unwrap_err();
    assert!(
        matches!(strange, CallError::Strange { status: 302, .. }),
        "{strange}"
    );
    application.will(&[Mood::Floods, Mood::Floods, Mood::Floods]);
    let flood = client.servers(&application.door()).await.unwrap_err();
    assert!(flood.to_string().contains("longer than"), "{flood}");
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_made() {
    let client = Client::new().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = ServiceUrl::new(format!("http://{}", nobody.local_addr().unwrap())).unwrap();
    drop(nobody);
    let key = Zeroizing::new(b"key".to_vec());
    let door = Door { url, key };
    let unheard = client.create(&door, &draft("ab1")).await.unwrap_err();
    assert!(
        matches!(unheard, CallError::Unreachable { .. }),
        "{unheard}"
    );
    assert!(
        unheard.to_string().contains("Connection refused"),
        "{unheard}"
    );
}
