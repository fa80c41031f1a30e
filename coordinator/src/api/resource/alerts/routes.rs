//! `/alerts/routes`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};

use email_engine_protocol::api::{RouteSpec, RouteView};
use email_engine_protocol::id::RouteName;

use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::api::routes::Asker;
use crate::command::{Command, RemoveRoute, SetRoute};

/// All routes that the caller may know of.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
) -> Json<Vec<RouteView>> {
    Json(api.view(|state| {
        let routes = state.alerts.routes.iter();
        let own = routes.filter(|(_, route)| caller.sees(route.tenant.as_ref()));
        own.map(|(name, route)| RouteView {
            name: name.clone(),
            route: route.clone(),
        })
        .collect()
    }))
}

/// Makes a route, or changes it. What was raised before goes where it went.
pub(in crate::api) async fn set(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(name): Named<RouteName>,
    JsonBody(route): JsonBody<RouteSpec>,
) -> Result<Json<RouteView>, ApiError> {
    let command = Command::SetRoute(SetRoute {
        name: name.clone(),
        route: route.clone(),
    });
    api.commit(&write, command).await?;
    Ok(Json(RouteView { name, route }))
}

/// Removes a route.
pub(in crate::api) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(name): Named<RouteName>,
) -> Result<StatusCode, ApiError> {
    api.commit(&write, Command::RemoveRoute(RemoveRoute { name }))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
