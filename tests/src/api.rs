//! A plain HTTP client of the cluster.

use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::Value;

use email_engine_protocol::api::KEYS_UNDER_WAY;

use crate::DEADLINE;

/// An answer of the API: status and JSON body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// The body; `null` when it is not JSON.
    pub body: Value,
}

impl Answer {
    /// The body of a successful answer; any other fails the test.
    pub fn ok(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "the API refused: {self:?}"
        );
        self.body
    }

    /// Stable code of a problem.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }
}

/// Talks to one node, or to several in turn.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
    bases: Vec<String>,
    key: Option<String>,
}

impl Api {
    /// A client that trusts only this CA and shows this key.
    pub fn new(ca_pem: &str, bases: Vec<String>, key: Option<&str>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .no_proxy()
            .tls_certs_only([reqwest::Certificate::from_pem(ca_pem.as_bytes()).unwrap()])
            .connect_timeout(Duration::from_secs(2))
            .timeout(Duration::from_secs(40))
            .build()
            .unwrap();
        Self {
            client,
            bases,
            key: key.map(str::to_owned),
        }
    }

    /// The same nodes with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self.clone()
        }
    }

    /// Sends a request to the first node that can be connected to.
    ///
    /// # Errors
    /// When none can.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let answer = self.once(&method, path, body, headers).await?;
            // Nothing is changed yet, and a machine with much to do makes keys slowly.
            if answer.body["code"] != KEYS_UNDER_WAY || Instant::now() > deadline {
                return Ok(answer);
            }
        }
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, String> {
        let mut last = "no node".to_owned();
        for base in &self.bases {
            let mut request = self
                .client
                .request(method.clone(), format!("{base}/api/v1{path}"));
            if let Some(key) = &self.key {
                request = request.header("X-API-Key", key);
            }
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            match request.send().await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    let bytes = response
                        .bytes()
                        .await
                        .map_err(|error| format!("{error:?}"))?;
                    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                    return Ok(Answer { status, body });
                }
                Err(error) => last = format!("{base}: {error:?}"),
            }
        }
        Err(last)
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, &[]).await.unwrap()
    }

    /// GET that may find nobody.
    ///
    /// # Errors
    /// When no node can be connected to.
    pub async fn try_get(&self, path: &str) -> Result<Answer, String> {
        self.send(Method::GET, path, None, &[]).await
    }

    /// GET of raw bytes.
    pub async fn download(&self, path: &str) -> Vec<u8> {
        let mut request = self.client.get(format!("{}/api/v1{path}", self.bases[0]));
        if let Some(key) = &self.key {
            request = request.header("X-API-Key", key);
        }
        let response = request.send().await.unwrap();
        assert!(
            response.status().is_success(),
            "download of {path}: {}",
            response.status()
        );
        response.bytes().await.unwrap().to_vec()
    }

    /// Content type and text of what the first node answers below `/`.
    pub async fn text(&self, path: &str) -> (String, String) {
        let mut request = self.client.get(format!("{}{path}", self.bases[0]));
        if let Some(key) = &self.key {
            request = request.header("X-API-Key", key);
        }
        let response = request.send().await.unwrap().error_for_status().unwrap();
        let kind = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        (kind, response.text().await.unwrap())
    }

    /// The same nodes over HTTP/1.1 only.
    #[must_use]
    pub fn http1(&self, ca_pem: &str) -> Self {
        let client = Client::builder()
            .no_proxy()
            .tls_certs_only([reqwest::Certificate::from_pem(ca_pem.as_bytes()).unwrap()])
            .timeout(Duration::from_secs(40))
            .http1_only()
            .build()
            .unwrap();
        Self {
            client,
            ..self.clone()
        }
    }

    /// A metric of the first node, by its name and labels as they are exposed; 0 when it is not.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.metrics().await;
        let mut lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        let value = lines.find(|(found, _)| *found == name);
        value.map_or(0.0, |(_, value)| value.parse().unwrap())
    }

    /// All metrics of the first node, as they are exposed.
    pub async fn metrics(&self) -> String {
        self.ask_for_metrics().await.text().await.unwrap()
    }

    /// Status of the answer to a question for metrics.
    pub async fn metrics_status(&self) -> u16 {
        self.ask_for_metrics().await.status().as_u16()
    }

    async fn ask_for_metrics(&self) -> reqwest::Response {
        let url = format!("{}/metrics?consistency=stale", self.bases[0]);
        let mut request = self.client.get(url);
        if let Some(key) = &self.key {
            request = request.header("X-API-Key", key);
        }
        request.send().await.unwrap()
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body), &[])
            .await
            .unwrap()
    }

    /// POST under an idempotency key that may find nobody.
    ///
    /// # Errors
    /// When no node can be connected to.
    pub async fn try_post(
        &self,
        path: &str,
        body: &Value,
        request: &str,
    ) -> Result<Answer, String> {
        self.send(
            Method::POST,
            path,
            Some(body),
            &[("Idempotency-Key", request)],
        )
        .await
    }

    /// PUT with a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Some(body), &[]).await.unwrap()
    }

    /// PUT of bytes as they are.
    pub async fn put_bytes(&self, path: &str, bytes: Vec<u8>) -> Answer {
        let mut request = self.client.put(format!("{}/api/v1{path}", self.bases[0]));
        if let Some(key) = &self.key {
            request = request.header("X-API-Key", key);
        }
        let response = request.body(bytes).send().await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, body }
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None, &[]).await.unwrap()
    }
}
