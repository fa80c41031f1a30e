//! What is to be said to the network half, newest word per kind, until it is taken.
//!
//! The executor never waits for the network half: it may be stuck, or lie.

use std::collections::VecDeque;
use std::mem::discriminant;

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use crate::accounting::posting::AT_ONCE as POSTS;
use crate::halves::FromExecutor;

/// The queue in front of the channel.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: VecDeque<FromExecutor>,
    sender: Sender<FromExecutor>,
}

impl Outbox {
    pub(super) const fn new(sender: Sender<FromExecutor>) -> Self {
        Self {
            queue: VecDeque::new(),
            sender,
        }
    }

    /// Says something, instead of anything of its kind that was not taken yet; of posts a few may wait.
    pub(super) fn say(&mut self, event: FromExecutor) {
        let (kind, most) = (discriminant(&event), places(&event));
        let is_same = |waiting: &FromExecutor| discriminant(waiting) == kind;
        while self.queue.iter().filter(|one| is_same(one)).count() >= most {
            if let Some(oldest) = self.queue.iter().position(is_same) {
                self.queue.remove(oldest);
            }
        }
        self.queue.push_back(event);
        self.flush();
    }

    /// Hands over what can be handed over; true when nothing waits.
    pub(super) fn flush(&mut self) -> bool {
        while let Some(event) = self.queue.pop_front() {
            match self.sender.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.queue.push_front(event);
                    return false;
                }
                Err(TrySendError::Closed(_)) => {
                    self.queue.clear();
                }
            }
        }
        true
    }
}

/// How many of its kind may wait. Each post is its own; one that is not said is taken for lost later.
const fn places(event: &FromExecutor) -> usize {
    match event {
        FromExecutor::PostWanted { .. } => POSTS,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn only_the_newest_of_a_kind_waits_and_nothing_blocks() {
        let (sender, mut events) = mpsc::channel(1);
        let mut outbox = Outbox::new(sender);
        outbox.say(FromExecutor::Retired);
        for _ in 0..10 {
            outbox.say(FromExecutor::BodiesWanted(Vec::new()));
        }
        let hash = email_engine_protocol::bytes::ContentHash([1; 32]);
        outbox.say(FromExecutor::BodiesWanted(vec![hash]));
        assert_eq!(events.try_recv(), Ok(FromExecutor::Retired));
        assert!(outbox.flush());
        assert_eq!(
            events.try_recv(),
            Ok(FromExecutor::BodiesWanted(vec![hash]))
        );
        assert!(events.try_recv().is_err());
    }
}
