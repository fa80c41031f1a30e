//! What this room reads from its disk, with checksums that fit whatever stands behind them.

use email_engine_fuzz::fuzz;
use email_engine_protocol::id::{ClusterId, NodeId};

use super::record::{self, RecordError};
use super::slots::{self, Mark, SlotState};
use crate::raft::tests::entry;
use crate::raft::types::Vote;

#[test]
fn any_log_record_is_read_or_refused() {
    let body = record::encode(&entry(3, 17, "r1"))[4..].to_vec();
    fuzz!(vec![body], |body| {
        let _ = record::decode(17, body);
        let sum = crc32c::crc32c(body).to_be_bytes();
        match record::decode(17, &[&sum[..], body].concat()) {
            Ok(entry) => {
                assert_eq!(record::decode(17, &record::encode(&entry)), Ok(entry));
                true
            }
            Err(refused) => {
                assert!(!matches!(refused, RecordError::Checksum { .. }));
                false
            }
        }
    });
}

#[test]
fn any_slot_of_the_vote_file_is_read_or_passed_over() {
    let mut state = SlotState::new(ClusterId([1; 16]), NodeId(3), Some(Vote::new(4, 3)));
    state.mark = Some(Mark { index: 9, term: 4 });
    let sample = postcard::to_stdvec(&state).unwrap();
    fuzz!(vec![sample], |payload| {
        // As it is, it is a slot with a wrong head; and with the right one around it.
        assert_eq!(slots::read_slot(payload), None);
        slots::read_slot(&slots::framed(payload)).is_some_and(|state| {
            assert_eq!(slots::read_slot(&slots::slot_bytes(&state)), Some(state));
            true
        })
    });
}
