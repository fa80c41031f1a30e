//! One transaction: MAIL, RCPT and DATA for the recipients of one message.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smtp_proto::Response;

use super::client::{Client, Patience, line};
use super::decide::{self, Verdict, Via};
use super::dkim;
use crate::config::{Config, Layered, ReplyAction};
use crate::engine::Engine;
use crate::queue::{Batch, Item, QueueKey};
use crate::{clock, headers};

/// Whether the conversation goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// With another message.
    GoOn,
    /// Elsewhere: this host is passed over, and the mail is still in the queue.
    OtherHost(Verdict),
    /// Not: the receiver, or the wire, has had enough.
    Stop,
}

/// What a transaction needs to know.
#[derive(Debug)]
pub(super) struct Transfer<'a> {
    pub(super) engine: &'a Arc<Engine>,
    pub(super) config: &'a Config,
    pub(super) key: &'a QueueKey,
    pub(super) settings: &'a Layered<'a>,
    pub(super) via: &'a Via,
    pub(super) source: Option<IpAddr>,
    pub(super) helo: &'a str,
    pub(super) patience: Patience,
    /// Recipients that this connection saw refused.
    pub(super) errors: AtomicU64,
}

impl Transfer<'_> {
    /// Sends a batch; every recipient is decided when this returns.
    pub(super) async fn run(&self, client: &mut Client, batch: Batch) -> Next {
        let items = self.lawful(batch.items).await;
        let Some(first) = items.first() else {
            return Next::GoOn;
        };
        let message = match self.message(first) {
            Ok(message) => message,
            Err(what) => {
                self.engine.log(&what);
                let verdict = Verdict::own("4.3.0", format!("smtp;{what}"));
                self.all_transient(items, &verdict);
                return Next::GoOn;
            }
        };
        let sender = first.envelope.orig.clone();
        let mut left = items;
        match self.exchange(client, &sender, &message, &mut left).await {
            Ok(next) => next,
            Err(error) => {
                let verdict = Verdict::own("4.4.2", format!("smtp;connection lost: {error}"));
                self.all_transient(left, &verdict);
                Next::Stop
            }
        }
    }

    /// With `check-spf-outbound`, mail from an address that its sender's domain does not name
    /// ends here.
    async fn lawful(&self, items: Vec<Item>) -> Vec<Item> {
        let Some(source) = self.source else {
            return items;
        };
        let orig = items.first().map_or("", |item| item.envelope.orig.as_str());
        if orig.is_empty() || !self.settings.flag("check-spf-outbound") {
            return items;
        }
        match self.engine.resolver().spf(source, self.helo, orig).await {
            Some(true) => items,
            None => {
                let verdict = Verdict::own("4.4.3", "smtp;450 SPF check: no answer");
                self.all_transient(items, &verdict);
                Vec::new()
            }
            Some(false) => {
                let what = format!("smtp;550 SPF check of {orig} from {source} did not pass");
                let verdict = Verdict::own("5.7.1", what);
                for item in &items {
                    decide::bounce(self.engine, self.key, item, &verdict, self.via);
                }
                Vec::new()
            }
        }
    }

    fn message(&self, item: &Item) -> Result<Vec<u8>, String> {
        let body = self
            .engine
            .store
            .body(item.envelope.id)
            .map_err(|error| error.to_string())?;
        let removed = self.settings.list("remove-header");
        let body = headers::without(&body, &removed);
        dkim::signed(self.config, self.settings, &self.key.vmta, body)
    }

    async fn exchange(
        &self,
        client: &mut Client,
        sender: &str,
        message: &[u8],
        left: &mut Vec<Item>,
    ) -> io::Result<Next> {
        let reply = client.say(&format!("MAIL FROM:<{sender}>")).await?;
        if reply.code != 250 {
            return self.refused(client, &reply, std::mem::take(left)).await;
        }
        let mut taken = Vec::new();
        let most = self.settings.count("max-errors-per-connection");
        while !left.is_empty() {
            let reply = client
                .say(&format!("RCPT TO:<{}>", left[0].address()))
                .await?;
            let item = left.remove(0);
            match reply.code {
                250 | 251 => taken.push(item),
                code if code == 421 || self.actions(&reply).contains(&ReplyAction::SkipMx) => {
                    left.push(item);
                    left.append(&mut taken);
                    return self.refused(client, &reply, std::mem::take(left)).await;
                }
                _ => {
                    self.recipient_refused(item, &reply);
                    let errors = 1 + self.errors.fetch_add(1, Ordering::Relaxed);
                    if most.is_some_and(|most| errors >= most) {
                        left.append(&mut taken);
                        self.keep_all(std::mem::take(left), false, &Verdict::of_reply(&reply));
                        return Ok(Next::Stop);
                    }
                }
            }
        }
        *left = taken;
        if left.is_empty() {
            client.say("RSET").await?;
            return Ok(Next::GoOn);
        }
        let reply = client.say("DATA").await?;
        if reply.code != 354 {
            return self.refused(client, &reply, std::mem::take(left)).await;
        }
        let reply = client.content(message, self.patience).await?;
        if reply.code / 100 != 2 {
            return self.refused(client, &reply, std::mem::take(left)).await;
        }
        let verdict = Verdict {
            status: "2.0.0".to_owned(),
            diagnostic: format!("smtp;{}", line(&reply)),
        };
        for item in left.drain(..) {
            decide::delivered(self.engine, self.key, &item, &verdict, self.via);
        }
        let bytes = message.len() as u64;
        self.engine
            .queues()
            .transferred(self.key, self.source, bytes, clock::now());
        Ok(Next::GoOn)
    }

    /// One recipient is refused; the others may go on.
    fn recipient_refused(&self, item: Item, reply: &Response<String>) {
        let actions = self.actions(reply);
        decide::act(self.engine, self.key, self.source, &actions);
        let verdict = Verdict::of_reply(reply);
        let mailbox = reply.code == 553 && !self.settings.flag("smtp-553-means-invalid-mailbox");
        let bounces = reply.code / 100 == 5 && !mailbox
            || actions.contains(&ReplyAction::BounceRcpt)
            || actions.contains(&ReplyAction::BounceQueue);
        if bounces {
            decide::bounce(self.engine, self.key, &item, &verdict, self.via);
        } else {
            decide::transient(self.engine, self.key, item, &verdict, self.via);
        }
        if actions.contains(&ReplyAction::DeferQueue) {
            decide::defer_queue(self.engine, self.key, &verdict, self.via);
        }
        if actions.contains(&ReplyAction::BounceQueue) {
            self.bounce_waiting(&verdict);
        }
    }

    /// The transaction is refused as a whole.
    async fn refused(
        &self,
        client: &mut Client,
        reply: &Response<String>,
        items: Vec<Item>,
    ) -> io::Result<Next> {
        let actions = self.actions(reply);
        decide::act(self.engine, self.key, self.source, &actions);
        let verdict = Verdict::of_reply(reply);
        let unavailable = reply.code == 421 && self.settings.flag("smtp-421-means-mx-unavailable");
        if unavailable || actions.contains(&ReplyAction::SkipMx) {
            self.keep_all(items, true, &verdict);
            return Ok(Next::OtherHost(verdict));
        }
        let bounces = reply.code / 100 == 5 || actions.contains(&ReplyAction::BounceQueue);
        if bounces {
            for item in &items {
                decide::bounce(self.engine, self.key, item, &verdict, self.via);
            }
        } else {
            self.all_transient(items, &verdict);
        }
        if actions.contains(&ReplyAction::BounceQueue) {
            self.bounce_waiting(&verdict);
        }
        if actions.contains(&ReplyAction::DeferQueue) {
            decide::defer_queue(self.engine, self.key, &verdict, self.via);
            return Ok(Next::Stop);
        }
        let disabled = actions
            .iter()
            .any(|one| matches!(one, ReplyAction::DisableSource(_)));
        if disabled {
            return Ok(Next::Stop);
        }
        client.say("RSET").await?;
        Ok(Next::GoOn)
    }

    fn actions(&self, reply: &Response<String>) -> Vec<ReplyAction> {
        decide::actions(self.engine, self.key, &line(reply))
    }

    /// Puts recipients back as they were, for another host or another connection.
    fn keep_all(&self, items: Vec<Item>, attempted: bool, why: &Verdict) {
        for item in items {
            let due = item.due;
            decide::keep(self.engine, self.key, item, due, attempted, why, self.via);
        }
    }

    fn all_transient(&self, items: Vec<Item>, verdict: &Verdict) {
        for item in items {
            decide::transient(self.engine, self.key, item, verdict, self.via);
        }
    }

    fn bounce_waiting(&self, verdict: &Verdict) {
        let waiting = self.engine.queues().drain(|key, _| key == self.key);
        for (key, item) in waiting {
            decide::bounce(self.engine, &key, &item, verdict, self.via);
        }
    }
}
