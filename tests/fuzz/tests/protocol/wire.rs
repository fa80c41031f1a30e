//! Frames and the messages of version 1.

use std::fmt::Debug;

use email_engine_fuzz::fuzz;
use email_engine_protocol::enroll::{EnrollReply, EnrollRequest, RenewedCertificate};
use email_engine_protocol::limits::FRAME_BYTES;
use email_engine_protocol::wire::v1::{AgentMessage, BodyReply, BodyRequest, CoordinatorMessage};
use email_engine_protocol::wire::{SUPPORTED, frame, negotiate};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::golden;

/// What decodes is printable, and encodes to something that decodes to it again.
fn round<T: Serialize + DeserializeOwned + PartialEq + Debug>(payload: &[u8]) -> Option<T> {
    let message: T = frame::decode(payload).ok()?;
    assert!(!format!("{message:?}").is_empty());
    let encoded = frame::encode(&message).unwrap();
    let (head, again) = encoded.split_first_chunk::<4>().unwrap();
    assert_eq!(frame::length(*head), Ok(again.len()));
    assert!(again.len() <= payload.len(), "an encoding is the shortest");
    assert_eq!(frame::decode::<T>(again).as_ref(), Ok(&message));
    Some(message)
}

#[test]
fn a_length_is_bounded_before_anything_is_allocated() {
    fuzz!(vec![vec![0, 0, 1, 0], vec![0, 16, 0, 0]], |input| {
        let Ok(prefix) = input.try_into() else {
            return false;
        };
        frame::length(prefix).is_ok_and(|length| {
            assert!(length <= FRAME_BYTES);
            true
        })
    });
}

#[test]
fn any_message_of_an_agent_is_read_or_refused() {
    let samples = golden("agent/").into_iter();
    let samples = samples.filter(|sample| frame::decode::<AgentMessage>(sample).is_ok());
    fuzz!(samples.collect(), |input| {
        match round::<AgentMessage>(input) {
            Some(AgentMessage::Hello(hello)) => {
                let version = negotiate(SUPPORTED, hello.versions);
                assert!(version.is_err() || version == Ok(SUPPORTED.max));
                true
            }
            Some(AgentMessage::Report(signed)) => {
                if let Ok(report) = signed.unverified() {
                    // What is shown of a report, whoever signed it.
                    let counts = report.counts;
                    assert!(counts.satisfied() <= counts.total());
                }
                true
            }
            message => message.is_some(),
        }
    });
}

#[test]
fn any_message_of_a_coordinator_is_read_or_refused() {
    let samples = golden("coordinator/").into_iter();
    let samples = samples.filter(|sample| frame::decode::<CoordinatorMessage>(sample).is_ok());
    fuzz!(samples.collect(), |input| {
        round::<CoordinatorMessage>(input).is_some()
    });
}

#[test]
fn any_question_for_a_body_is_read_or_refused() {
    fuzz!(golden("agent/body-request"), |input| {
        round::<BodyRequest>(input).is_some()
    });
}

#[test]
fn any_answer_about_a_body_is_read_or_refused() {
    fuzz!(golden("coordinator/body-"), |input| {
        round::<BodyReply>(input).is_some()
    });
}

#[test]
fn any_enrolment_is_read_or_refused_and_shows_no_secret() {
    let requests = ["enroll/host ", "enroll/node ", "enroll/renew "];
    fuzz!(requests.into_iter().flat_map(golden).collect(), |input| {
        let request = round::<EnrollRequest>(input);
        let secret = match &request {
            Some(EnrollRequest::Host(host)) => &host.secret.0,
            Some(EnrollRequest::Node(node)) => &node.secret.0,
            other => return other.is_some(),
        };
        assert!(!format!("{request:?}").contains(&format!("{secret:?}")));
        true
    });
}

#[test]
fn any_answer_to_an_enrolment_is_read_or_refused() {
    let replies = [
        "enroll/host-admitted",
        "enroll/node-admitted",
        "enroll/refused",
    ];
    fuzz!(replies.into_iter().flat_map(golden).collect(), |input| {
        round::<EnrollReply>(input).is_some()
    });
}

#[test]
fn any_renewed_certificate_is_read_or_refused() {
    fuzz!(golden("enroll/renewed"), |input| {
        round::<RenewedCertificate>(input).is_some()
    });
}
