//! An API over a fleet in memory, and requests that read as prose.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt as _;
use zeroize::Zeroizing;

use email_engine_protocol::api::AccessRole;
use email_engine_protocol::id::{ApiKeyId, TenantId};

use super::memory::{MemoryFleet, NOW, Planner, vault};
use crate::api::{Api, ApiKeyText, Fleet, router};
use crate::command::{Command, CreateApiKey, CreateTenant};
use crate::fleet::warmup::Evidence;
use crate::mailwizz::{self, Applications};

/// An API over a founded fleet, with a key of each kind.
pub(super) struct Testbed {
    pub(super) fleet: Arc<MemoryFleet>,
    pub(super) api: Arc<Api>,
    keys: BTreeMap<&'static str, String>,
}

/// What was answered.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
    pub(super) text: String,
}

impl Answered {
    #[track_caller]
    pub(super) fn gives(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        if status >= 400 {
            let kind = &self.headers["content-type"];
            assert_eq!(kind, "application/problem+json", "{}", self.text);
            assert_eq!(self.body["status"], status, "{}", self.text);
            let request = self.headers["x-request-id"].to_str().unwrap();
            assert_eq!(self.body["request_id"], request, "{}", self.text);
        }
        self
    }

    #[track_caller]
    pub(super) fn refuses(self, status: u16, code: &str) -> Self {
        let answered = self.gives(status);
        assert_eq!(answered.body["code"], code, "{}", answered.text);
        answered
    }
}

impl Testbed {
    pub(super) fn new() -> Self {
        let fleet = Arc::new(MemoryFleet::founded());
        for tenant in ["red", "blue"] {
            let tenant = serde_json::from_value(serde_json::json!({"id": tenant, "name": tenant}));
            let tenant = tenant.unwrap();
            fleet
                .apply(Command::CreateTenant(CreateTenant { tenant }))
                .unwrap();
        }
        let mut keys = BTreeMap::new();
        for (name, role, tenant) in [
            ("admin", AccessRole::Admin, None),
            ("operator", AccessRole::Operator, None),
            ("metrics", AccessRole::Metrics, None),
            ("viewer", AccessRole::Viewer, None),
            ("red-operator", AccessRole::Operator, Some("red")),
            ("blue-viewer", AccessRole::Viewer, Some("blue")),
        ] {
            let id = ApiKeyId::new(name).unwrap();
            let secret = Zeroizing::new([u8::try_from(keys.len()).unwrap() + 1; 32]);
            let key = ApiKeyText {
                id: id.clone(),
                secret,
            };
            let command = CreateApiKey {
                id,
                secret: key.secret_hash(),
                role,
                tenant: tenant.map(|tenant| TenantId::new(tenant).unwrap()),
            };
            fleet.apply(Command::CreateApiKey(command)).unwrap();
            keys.insert(name, key.to_text().to_string());
        }
        let planning = Arc::new(Planner(Arc::clone(&fleet)));
        let client = mailwizz::Client::new().unwrap();
        let applications = Applications::new(client, Arc::new(vault()));
        let api = Api::new(Arc::clone(&fleet) as Arc<dyn Fleet>, planning, None, || NOW)
            .with_applications(applications);
        Self {
            fleet,
            api: Arc::new(api),
            keys,
        }
    }

    /// The same with another bound on the time that a request may take.
    pub(super) fn answering_within(mut self, time: Duration) -> Self {
        let api = Arc::get_mut(&mut self.api).expect("nobody asked yet");
        assert_eq!(api.request_time, Duration::from_secs(30));
        api.request_time = time;
        self
    }

    /// The same, going by what somebody else counted.
    pub(super) fn knowing(mut self, evidence: impl Evidence + 'static) -> Self {
        let api = Arc::get_mut(&mut self.api).expect("nobody asked yet");
        api.evidence = Arc::new(evidence);
        self
    }

    pub(super) fn key(&self, name: &str) -> &str {
        &self.keys[name]
    }

    /// A request as one of the testbed's keys.
    pub(super) fn ask(&self, key: &str, method: &str, path: &str) -> Ask<'_> {
        let request = Request::builder().method(method).uri(path);
        Ask {
            testbed: self,
            request: request.header("x-api-key", self.key(key)),
            body: Vec::new(),
        }
    }

    /// A request without a key.
    pub(super) fn ask_unknown(&self, method: &str, path: &str) -> Ask<'_> {
        Ask {
            testbed: self,
            request: Request::builder().method(method).uri(path),
            body: Vec::new(),
        }
    }
}

/// A request in the making.
pub(super) struct Ask<'a> {
    testbed: &'a Testbed,
    request: axum::http::request::Builder,
    body: Vec<u8>,
}

impl Ask<'_> {
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(super) fn text(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", "application/json")
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "reads better with json! at the call"
    )]
    pub(super) fn json(self, body: Value) -> Self {
        let text = body.to_string();
        self.text(text)
    }

    pub(super) async fn send(self) -> Answered {
        let request = self.request.body(Body::from(self.body)).unwrap();
        let service = router(Arc::clone(&self.testbed.api));
        let response = service.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answered {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        }
    }
}
