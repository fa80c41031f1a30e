//! A stand-in of the application's API: it answers as its documentation says, keeps what it was sent, and
//! can be told to misbehave.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use zeroize::Zeroizing;

use email_engine_protocol::api::{CampaignRequest, CampaignStatus};
use email_engine_protocol::url::ServiceUrl;

use super::Door;

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef01234567";

/// What it does with the next requests, in their order; then it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Does what it is asked, and the answer does not come.
    DoesItAndSaysNothing,
    /// Breaks with this status.
    Breaks(u16),
    /// Sends to somewhere else.
    Redirects,
    /// Answers more than anybody wants to read.
    Floods,
}

/// What it holds.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Fields of each campaign.
    pub(crate) campaigns: Vec<BTreeMap<String, String>>,
    /// Number, name and status of delivery servers.
    pub(crate) servers: Vec<(u64, String, &'static str)>,
    /// Delivered, opened and clicked, of campaigns by their uids.
    pub(crate) figures: BTreeMap<String, [u64; 3]>,
    /// Requests so far.
    pub(crate) asked: usize,
    /// Servers of one page.
    pub(crate) per_page: usize,
    /// So many must ask for servers at the same time before any of them is answered.
    gate: Option<Arc<Barrier>>,
    moods: Vec<Mood>,
    /// What becomes of the next campaign, when it breaks.
    breaks: Option<Breaks>,
}

/// When the making of a campaign breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaks {
    Before,
    After,
    Silently,
}

/// It runs until it is dropped.
pub(crate) struct Application {
    pub(crate) held: Arc<Mutex<Held>>,
    address: SocketAddr,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Application {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A campaign that nothing is wrong with.
pub(crate) fn request() -> CampaignRequest {
    CampaignRequest {
        name: "Autumn".to_owned(),
        subject: "Hello, it is autumn".to_owned(),
        list: "ab123cd456e".to_owned(),
        segment: None,
        purpose: None,
        ips: Vec::new(),
        volume: None,
        content: Some("<p>Hello</p>".to_owned()),
        template: None,
        send_at: "2026-12-01 09:00:00".to_owned(),
        status: CampaignStatus::Draft,
        options: BTreeMap::new(),
    }
}

impl Application {
    pub(crate) async fn start() -> Self {
        let held = Arc::new(Mutex::new(Held {
            per_page: 500,
            ..Held::default()
        }));
        let router = Router::new()
            .route("/api/index.php/campaigns", get(campaigns).post(create))
            .route("/api/index.php/campaigns/{uid}/stats", get(stats))
            .route("/api/index.php/delivery-servers", get(servers))
            .with_state(Arc::clone(&held));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            held,
            address,
            serving,
        }
    }

    pub(crate) fn url(&self) -> ServiceUrl {
        ServiceUrl::new(format!("http://{}", self.address)).unwrap()
    }

    pub(crate) fn door(&self) -> Door {
        Door {
            url: self.url(),
            key: Zeroizing::new(KEY.as_bytes().to_vec()),
        }
    }

    /// The next campaign is made, and the answer is an error of the server.
    pub(crate) fn will_break_after_making(&self) {
        self.held.lock().unwrap().breaks = Some(Breaks::After);
    }

    /// The next campaign is not made, and the answer is the same error.
    pub(crate) fn will_break_before_making(&self) {
        self.held.lock().unwrap().breaks = Some(Breaks::Before);
    }

    /// The next campaign is made, and no answer comes.
    pub(crate) fn will_fall_silent_after_making(&self) {
        self.held.lock().unwrap().breaks = Some(Breaks::Silently);
    }

    /// The next so many that ask for its servers are answered together.
    pub(crate) fn will_be_asked_at_once_by(&self, many: usize) {
        self.held.lock().unwrap().gate = Some(Arc::new(Barrier::new(many)));
    }

    /// Of the next requests each is met in one of these moods.
    pub(crate) fn will(&self, moods: &[Mood]) {
        let mut held = self.held.lock().unwrap();
        held.asked = 0;
        held.moods = moods.iter().rev().copied().collect();
    }
}

type Hold = State<Arc<Mutex<Held>>>;

/// What is answered before anything is looked at.
fn met(held: &Mutex<Held>, headers: &HeaderMap) -> Result<Option<Mood>, Box<Response>> {
    let mut held = held.lock().unwrap();
    held.asked += 1;
    match held.moods.pop() {
        Some(Mood::Breaks(status)) => {
            let status = StatusCode::from_u16(status).unwrap();
            return Err(Box::new(
                (status, "<html>An error occurred</html>").into_response(),
            ));
        }
        Some(Mood::Redirects) => {
            let elsewhere = [("location", "http://127.0.0.1:1/")];
            return Err(Box::new((StatusCode::FOUND, elsewhere, "").into_response()));
        }
        Some(Mood::Floods) => return Err(Box::new(" ".repeat(3 * 1024 * 1024).into_response())),
        mood @ Some(Mood::DoesItAndSaysNothing) => return Ok(mood),
        None => {}
    }
    if headers.get("x-api-key").is_some_and(|key| key == KEY) {
        return Ok(None);
    }
    let no = json!({"status": "error", "error": "Invalid API request params. Please refer to the documentation."});
    Err(Box::new((StatusCode::FORBIDDEN, Json(no)).into_response()))
}

async fn silence() -> Response {
    // Longer than anybody waits; the connection ends with the test.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    StatusCode::OK.into_response()
}

async fn create(State(held): Hold, headers: HeaderMap, body: Bytes) -> Response {
    let mood = match met(&held, &headers) {
        Ok(mood) => mood,
        Err(answer) => return *answer,
    };
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
    let carrier = format!("form:?{}", std::str::from_utf8(&body).unwrap());
    let form = reqwest::Url::parse(&carrier).unwrap();
    let fields: BTreeMap<_, _> = form.query_pairs().into_owned().collect();
    if fields["campaign[list_uid]"] == "nobody" {
        let no = json!({"status": "error", "error": {"list_uid": ["The list does not exist."]}});
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(no)).into_response();
    }
    let (made, breaks) = {
        let mut held = held.lock().unwrap();
        let breaks = held.breaks.take();
        if breaks != Some(Breaks::Before) {
            held.campaigns.push(fields);
        }
        (held.campaigns.len(), breaks)
    };
    match breaks {
        Some(Breaks::Before | Breaks::After) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, "<html>").into_response();
        }
        Some(Breaks::Silently) => return silence().await,
        None if mood == Some(Mood::DoesItAndSaysNothing) => return silence().await,
        None => {}
    }
    let yes = json!({"status": "success", "campaign_uid": format!("uid{made}")});
    (StatusCode::CREATED, Json(yes)).into_response()
}

fn page(records: &[Value], query: &BTreeMap<String, String>, per_page: usize) -> Response {
    let at: usize = query["page"].parse().unwrap();
    let pages = records.len().div_ceil(per_page).max(1);
    let own: Vec<_> = records
        .chunks(per_page)
        .nth(at - 1)
        .unwrap_or_default()
        .to_vec();
    let data = json!({"count": records.len().to_string(), "total_pages": pages, "current_page": at, "records": own});
    Json(json!({"status": "success", "data": data})).into_response()
}

async fn campaigns(
    State(held): Hold,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    match met(&held, &headers) {
        Ok(None) => {}
        Ok(Some(_)) => return silence().await,
        Err(answer) => return *answer,
    }
    let held = held.lock().unwrap();
    let records = held.campaigns.iter().enumerate().rev();
    let records = records.map(|(at, fields)| {
        json!({"campaign_uid": format!("uid{}", at + 1), "name": fields["campaign[name]"], "status": "draft"})
    });
    page(&records.collect::<Vec<_>>(), &query, held.per_page)
}

async fn stats(State(held): Hold, headers: HeaderMap, Path(uid): Path<String>) -> Response {
    match met(&held, &headers) {
        Ok(None) => {}
        Ok(Some(_)) => return silence().await,
        Err(answer) => return *answer,
    }
    let Some([delivered, opened, clicked]) = held.lock().unwrap().figures.get(&uid).copied() else {
        let no = json!({"status": "error", "error": "The campaign does not exist."});
        return (StatusCode::NOT_FOUND, Json(no)).into_response();
    };
    let data = json!({
        "campaign_status": "sent",
        "subscribers_count": delivered,
        "processed_count": delivered,
        "delivery_success_count": delivered,
        "delivery_success_rate": 100,
        "opens_count": opened * 2,
        "unique_opens_count": opened,
        "clicks_count": clicked * 2,
        "unique_clicks_count": clicked.to_string(),
    });
    Json(json!({"status": "success", "data": data})).into_response()
}

async fn servers(
    State(held): Hold,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    match met(&held, &headers) {
        Ok(None) => {}
        Ok(Some(_)) => return silence().await,
        Err(answer) => return *answer,
    }
    let gate = held.lock().unwrap().gate.clone();
    if let Some(gate) = gate {
        gate.wait().await;
        held.lock().unwrap().gate = None;
    }
    let held = held.lock().unwrap();
    let records = held.servers.iter().map(|(id, name, status)| {
        json!({"server_id": id.to_string(), "type": "smtp-pmta", "name": name, "hostname": "192.0.2.1", "status": status})
    });
    page(&records.collect::<Vec<_>>(), &query, held.per_page)
}
