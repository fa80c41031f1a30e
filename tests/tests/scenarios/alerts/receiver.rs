//! A web service that takes alerts, as somebody would write one from the documentation.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What was posted, in its order.
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    posts: Arc<Mutex<Vec<Value>>>,
    signed: Arc<Mutex<bool>>,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            posts: Arc::default(),
            signed: Arc::new(Mutex::new(true)),
        };
        let own = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let own = own.clone();
                tokio::spawn(async move { own.take(stream).await });
            }
        });
        receiver
    }

    /// Every alert that came, doubles too.
    pub(super) fn alerts(&self) -> Vec<Value> {
        let posts = self.posts.lock().unwrap();
        let alerts = posts.iter().flat_map(|post| post["alerts"].as_array());
        alerts.flatten().cloned().collect()
    }

    /// Whether every post had a signature.
    pub(super) fn all_signed(&self) -> bool {
        *self.signed.lock().unwrap()
    }

    async fn take(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let (mut length, mut signed) = (0, false);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            signed |= line.starts_with("email-engine-signature: v1=");
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let post = serde_json::from_slice(&body).ok()?;
        *self.signed.lock().unwrap() &= signed;
        self.posts.lock().unwrap().push(post);
        let answer = "HTTP/1.1 204 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.ok()?;
        stream.flush().await.ok()
    }
}
