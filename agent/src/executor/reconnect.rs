//! Asks the network half for a new connection, and waits for its answer: the executor has no network
//! of its own to try.
//!
//! The answer does not go through the thread's inbox, because it is the thread that waits. It is
//! believed no more than anything else that the network half says: one that lies can have rules
//! confirmed that cut this host off from its cluster, which it could do by being silent as well.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;

use crate::halves::FromExecutor;
use crate::host::{Reconnect, Unreached};
use crate::reconciler::UnderWay;

/// A question or its answer may be lost with a network half that ends.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// After an answer that says that nobody was reached.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// So often it is seen that the agent is to end.
const LOOK_UP: Duration = Duration::from_millis(100);

type Answer = (u64, Result<SocketAddr, String>);

/// Where answers are put.
#[derive(Debug, Default)]
pub(super) struct Answers {
    newest: Mutex<Option<Answer>>,
    bell: Condvar,
}

impl Answers {
    pub(super) fn put(&self, number: u64, answer: Result<SocketAddr, String>) {
        *self.lock() = Some((number, answer));
        self.bell.notify_all();
    }

    /// The answer to a question, when it comes in time.
    fn wait(&self, number: u64, limit: Duration) -> Option<Result<SocketAddr, String>> {
        let other = |newest: &mut Option<Answer>| newest.as_ref().is_none_or(|one| one.0 != number);
        let waited = self.bell.wait_timeout_while(self.lock(), limit, other);
        let mut newest = waited.unwrap_or_else(PoisonError::into_inner).0;
        newest.take_if(|one| one.0 == number).map(|one| one.1)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Answer>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks.
#[derive(Debug)]
pub(super) struct Asking {
    events: Sender<FromExecutor>,
    answers: Arc<Answers>,
    under_way: Arc<UnderWay>,
    /// Of the newest question: an answer to an older one says nothing about now.
    number: u64,
}

impl Asking {
    pub(super) const fn new(
        events: Sender<FromExecutor>,
        answers: Arc<Answers>,
        under_way: Arc<UnderWay>,
    ) -> Self {
        Self {
            events,
            answers,
            under_way,
            number: 0,
        }
    }
}

impl Reconnect for Asking {
    fn anew(&mut self, patience: Duration) -> Result<SocketAddr, Unreached> {
        self.number += 1;
        let number = self.number;
        let deadline = Instant::now() + patience;
        let mut reason = "the network half does not answer".to_owned();
        let mut due = Instant::now();
        loop {
            let now = Instant::now();
            if self.under_way.is_stopping() {
                return Err(Unreached::Stopping);
            }
            if now >= deadline {
                return Err(Unreached::Silent(reason));
            }
            if now >= due {
                // Full: whoever reads it so slowly is asked again.
                let _ = self
                    .events
                    .try_send(FromExecutor::ReconnectWanted { number });
                due = now + ASK_AGAIN;
            }
            let limit = LOOK_UP.min(deadline - now);
            match self.answers.wait(number, limit) {
                Some(Ok(address)) => return Ok(address),
                Some(Err(why)) => {
                    reason = why;
                    due = Instant::now() + TRY_AGAIN;
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn asking(room: usize) -> (Asking, mpsc::Receiver<FromExecutor>) {
        let (sender, events) = mpsc::channel(room);
        (Asking::new(sender, Arc::default(), Arc::default()), events)
    }

    #[test]
    fn only_the_answer_to_this_question_counts_and_after_a_bad_one_it_is_asked_again() {
        let (mut asking, mut events) = asking(4);
        let answers = Arc::clone(&asking.answers);
        let address: SocketAddr = "203.0.113.1:7443".parse().unwrap();
        answers.put(1, Ok(address));
        assert_eq!(asking.anew(LONG), Ok(address));
        let told = std::thread::spawn(move || {
            let asked = |events: &mut mpsc::Receiver<_>| match events.blocking_recv() {
                Some(FromExecutor::ReconnectWanted { number }) => number,
                other => panic!("{other:?}"),
            };
            assert_eq!(asked(&mut events), 1);
            assert_eq!(asked(&mut events), 2);
            answers.put(1, Ok(address));
            answers.put(2, Err("nobody is there".to_owned()));
            assert_eq!(asked(&mut events), 2);
            answers.put(2, Ok(address));
        });
        assert_eq!(asking.anew(LONG), Ok(address));
        told.join().unwrap();
    }

    #[test]
    fn whoever_never_answers_is_waited_for_no_longer_than_asked_and_not_at_all_at_the_end() {
        let (mut asking, _events) = asking(1);
        let short = Duration::from_millis(20);
        let silent = Unreached::Silent("the network half does not answer".to_owned());
        assert_eq!(asking.anew(short), Err(silent.clone()));
        // The room for questions is full now, and nobody reads.
        assert_eq!(asking.anew(short), Err(silent));
        asking.under_way.stop();
        assert_eq!(asking.anew(LONG), Err(Unreached::Stopping));
    }
}
