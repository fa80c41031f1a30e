//! The same over real sockets: where an answer came from, how long it is, whether anybody listens.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::AbortHandle;

use super::world::Question;
use super::{addresses, errands, is_listed, lists, manner};
use crate::dnsbl::registry::Registry;
use crate::dnsbl::sweep::{Findings, Manner, drive};
use crate::dnsbl::verdict::Verdict;

/// Answers are quick here: what is lost is found out soon.
fn hasty() -> Manner {
    Manner {
        first_wait: Duration::from_millis(200),
        least_wait: Duration::from_millis(50),
        longest_wait: Duration::from_millis(400),
        attempts: 2,
        ..manner()
    }
}

async fn ask(registry: &Registry, resolver: SocketAddr, count: u32) -> Findings {
    let subjects = addresses(count);
    let findings = drive(registry, errands(registry, &subjects), resolver, hasty()).await;
    findings.unwrap().remove(0)
}

fn is_right(findings: &Findings) -> bool {
    findings.found.iter().all(|found| match &found.verdict {
        Verdict::Listed(_) => is_listed(&found.subject),
        Verdict::Clean => !is_listed(&found.subject),
        Verdict::Unknown(_) => false,
    })
}

/// A server of packets; ends with the test.
async fn packets<F>(answer: F) -> (SocketAddr, Ends)
where
    F: Fn(&Question) -> Vec<u8> + Send + 'static,
{
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut packet = [0; 2_048];
        while let Ok((length, from)) = socket.recv_from(&mut packet).await {
            let answer = answer(&Question::read(&packet[..length], 0));
            let _ = socket.send_to(&answer, from).await;
        }
    });
    (address, Ends(task.abort_handle()))
}

struct Ends(AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test]
async fn answers_from_the_resolver_are_read() {
    let registry = lists(&[("one", 64, None)]);
    let (resolver, _ends) = packets(Question::right).await;
    let findings = ask(&registry, resolver, 30).await;
    assert!(is_right(&findings), "{findings:?}");
    // Not the first packet of a socket either.
    assert_eq!(findings.repeated, 0);
    let findings = ask(&registry, resolver, 500).await;
    assert!(is_right(&findings), "{findings:?}");
}

#[tokio::test]
async fn answers_from_elsewhere_are_not() {
    let registry = lists(&[("one", 64, None)]);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = socket.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut packet = [0; 2_048];
        while let Ok((length, from)) = socket.recv_from(&mut packet).await {
            let answer = Question::read(&packet[..length], 0).right();
            let _ = elsewhere.send_to(&answer, from).await;
        }
    });
    let findings = ask(&registry, resolver, 20).await;
    assert!(!findings.health().is_healthy());
    assert!(
        findings
            .found
            .iter()
            .all(|found| matches!(found.verdict, Verdict::Unknown(_)))
    );
    task.abort();
}

#[tokio::test]
async fn an_answer_without_end_is_no_answer() {
    let registry = lists(&[("one", 64, None)]);
    let (resolver, _ends) = packets(|question| {
        let mut answer = question.right();
        let is_point = question.address.is_some_and(|one| one.octets()[0] == 127);
        if !is_point {
            // Three thousand addresses, of which only as much as fits is read.
            answer = question.addresses(&vec![[127, 0, 0, 2]; 3_000]);
        }
        answer
    })
    .await;
    let findings = ask(&registry, resolver, 3).await;
    assert!(findings.health().is_healthy(), "{findings:?}");
    assert!(
        findings
            .found
            .iter()
            .all(|found| matches!(found.verdict, Verdict::Unknown(_)))
    );
}

#[tokio::test]
async fn where_nobody_listens_nothing_is_known() {
    let registry = lists(&[("one", 64, None)]);
    let resolver = {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.local_addr().unwrap()
    };
    let findings = ask(&registry, resolver, 20).await;
    assert!(!findings.health().is_healthy());
    assert!(
        findings
            .found
            .iter()
            .all(|found| matches!(found.verdict, Verdict::Unknown(_)))
    );
}

#[tokio::test]
async fn what_is_truncated_is_asked_for_over_tcp() {
    let registry = lists(&[("one", 64, None)]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(address).await.unwrap();
    let cuts = tokio::spawn(async move {
        let mut packet = [0; 2_048];
        while let Ok((length, from)) = socket.recv_from(&mut packet).await {
            let answer = Question::read(&packet[..length], 0).truncated();
            let _ = socket.send_to(&answer, from).await;
        }
    });
    let serves = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let length = stream.read_u16().await.unwrap();
                let mut question = vec![0; usize::from(length)];
                stream.read_exact(&mut question).await.unwrap();
                let answer = Question::read(&question, 0).right();
                stream
                    .write_u16(answer.len().try_into().unwrap())
                    .await
                    .unwrap();
                stream.write_all(&answer).await.unwrap();
            });
        }
    });
    let findings = ask(&registry, address, 60).await;
    assert!(is_right(&findings), "{findings:?}");
    cuts.abort();
    serves.abort();
}
