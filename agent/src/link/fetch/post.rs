//! Posts bounces and complaints to tenants' applications, in the executor's words.
//!
//! Only what that needs: an address of a service as the signed state has them (https, or this very machine),
//! one method, one type of body, no redirects, no proxy; sizes, times and numbers are bounded, and of the
//! answer nothing but its status is looked at.

use email_engine_protocol::url::ServiceUrl;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use rustls::RootCertStore;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{REASON_BYTES, add_systems_list, builder, unusable, with_causes};
use crate::halves::{FETCHES, POST_BYTES, Post, ToExecutor};

/// Posts, a few at a time.
#[derive(Debug, Default)]
pub(crate) struct Posts {
    client: Option<Client>,
    running: JoinSet<()>,
}

impl Posts {
    /// Begins, or says at once why not.
    pub(crate) fn begin(&mut self, number: u64, post: Post, to: mpsc::Sender<ToExecutor>) {
        while self.running.try_join_next().is_some() {}
        let ready = match self.running.len() < FETCHES {
            true => admit(&post).and_then(|()| self.client()),
            false => Err(format!("{FETCHES} posts are under way already")),
        };
        if ready.is_err() && self.running.len() >= 2 * FETCHES {
            // The executor takes it for lost after a while.
            return;
        }
        self.running.spawn(async move {
            let answer = match ready {
                Ok(client) => send(&client, post).await,
                Err(reason) => Err(reason),
            };
            let answer = answer.map_err(|mut reason| {
                reason.truncate(reason.floor_char_boundary(REASON_BYTES));
                reason
            });
            let _ = to.send(ToExecutor::Posted { number, answer }).await;
        });
    }

    /// Made when it is needed first, and again after a failure.
    fn client(&mut self) -> Result<Client, String> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = client()?;
        self.client = Some(client.clone());
        Ok(client)
    }
}

fn admit(post: &Post) -> Result<(), String> {
    let is_short = post.body.len() <= POST_BYTES;
    match ServiceUrl::new(&post.url) {
        Ok(_) if is_short => Ok(()),
        _ => {
            Err("the executor's post is refused: it is too long, or its address is none".to_owned())
        }
    }
}

fn client() -> Result<Client, String> {
    let mut roots = RootCertStore::empty();
    add_systems_list(&mut roots);
    builder(roots)?.build().map_err(|error| unusable(&error))
}

async fn send(client: &Client, post: Post) -> Result<u16, String> {
    let request = client
        .post(post.url)
        .header(CONTENT_TYPE, "application/json")
        .body(post.body);
    let answer = request.send().await.map_err(|error| with_causes(&error))?;
    Ok(answer.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_services_are_posted_to_and_no_more_than_a_post_may_have() {
        for (url, length) in [
            ("http://192.0.2.1/dswh/pmta", 1),
            ("https://user@app.example.com/dswh/pmta", 1),
            ("file:///etc/passwd", 1),
            ("https://app.example.com/dswh/pmta", POST_BYTES + 1),
        ] {
            let (to, mut answers) = mpsc::channel(1);
            let post = Post {
                url: url.to_owned(),
                body: vec![b' '; length],
            };
            let mut posts = Posts::default();
            posts.begin(7, post, to);
            let answered = answers.recv().await;
            let Some(ToExecutor::Posted {
                number: 7,
                answer: Err(reason),
            }) = answered
            else {
                panic!("{url}: {answered:?}");
            };
            assert!(reason.contains("refused"), "{url}: {reason}");
        }
    }
}
