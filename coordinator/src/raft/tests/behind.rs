//! A node that lags behind what it proposed itself.

use super::harness::{Fixture, proposal, write};
use crate::raft::handle::ProposeError;
use crate::raft::net::Answered;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_not_applied_what_was_committed_says_so() {
    let mut fixture = Fixture::new();
    let node = fixture.start(1).await;
    node.initialize(fixture.endpoint(1)).await.unwrap();
    write(&node, "before").await.unwrap();
    let answer = node.propose(proposal("known")).await.unwrap();
    let index = node.applied().borrow().index;
    let answered = |index, answer| node.core().applied_here(Answered { index, answer });
    // The leader is ahead of what this node has.
    let told = answered(index + 1, answer.clone()).await;
    let Err(ProposeError::NotAppliedHere { outcome }) = told else {
        panic!("{told:?}");
    };
    assert_eq!(Ok(*outcome), answer);
    assert_eq!(answered(index, answer.clone()).await.unwrap(), answer);
    node.shutdown().await;
}
