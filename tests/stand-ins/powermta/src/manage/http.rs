//! The web monitor, read-only here: `/status`, `/queues`, `/domains`, `/vmtas`, `/jobs`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::net::TcpListener;

use super::answer::Format;
use super::command;
use crate::engine::Engine;

#[derive(Debug, Deserialize)]
struct Asked {
    format: Option<String>,
}

/// Answers for ever; port 0 switches the monitor off.
pub(crate) async fn serve(engine: Arc<Engine>) -> io::Result<()> {
    let port = engine
        .config()
        .settings
        .count("http-mgmt-port")
        .flatten()
        .unwrap_or(8_080);
    let Some(port) = u16::try_from(port).ok().filter(|&port| port > 0) else {
        return std::future::pending().await;
    };
    // The product listens on every address; a stand-in on a test machine has no reason to.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let router = Router::new().fallback(page).with_state(engine);
    axum::serve(
        listener,
        router.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .await
}

async fn page(
    State(engine): State<Arc<Engine>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    uri: Uri,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    if !may_read(&engine, client, &headers) {
        return (StatusCode::FORBIDDEN, "access denied\n").into_response();
    }
    let what = uri.path().trim_matches('/');
    let words = match what {
        "" => "status",
        "status" | "queues" | "domains" | "vmtas" | "jobs" => what,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let answer = command::run(&engine, &["show".to_owned(), words.to_owned()]);
    let (format, kind) = match asked.format.as_deref() {
        Some("json") => (Format::Json, "application/json"),
        Some("xml") => (Format::Xml, "text/xml"),
        _ => (Format::Text, "text/plain; charset=utf-8"),
    };
    ([(header::CONTENT_TYPE, kind)], answer.printed(format)).into_response()
}

/// The first `http-access` line that fits decides, or a key gives admin.
fn may_read(engine: &Engine, client: SocketAddr, headers: &HeaderMap) -> bool {
    let config = engine.config();
    let given = headers
        .get("x-api-key")
        .and_then(|value| value.to_str().ok());
    let keyed = config
        .settings
        .all_written("http-api-key")
        .any(|key| Some(key) == given);
    let level = config
        .http_access
        .iter()
        .find(|(network, _)| network.contains(&client.ip()));
    keyed || level.is_some_and(|(_, level)| level != "none")
}
