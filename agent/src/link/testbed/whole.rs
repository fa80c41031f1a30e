//! Both halves together, in a sandbox, against a coordinator on loopback.

use email_engine_protocol::enroll::{EnrollReply, EnrollRequest};
use email_engine_protocol::id::{HostId, Role, TokenId};
use email_engine_protocol::join::{Admission, JoinToken};
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::v1::{AgentMessage, CoordinatorMessage};
use email_engine_protocol::wire::{Refusal, RefusalCode};

use super::coordinator::{TestCoordinator, wait_for};
use super::{NodeNames, TestCluster};
use crate::config::{Config, Overrides};
use crate::run::{End, Task, run};

#[tokio::test]
async fn a_machine_enrols_reports_and_stops_when_it_is_revoked() {
    let cluster = TestCluster::new(1);
    let mut coordinator = TestCoordinator::start(&cluster, &NodeNames::default());
    let dir = tempfile::tempdir().unwrap();
    let token = JoinToken {
        id: TokenId::new("t-1").unwrap(),
        cluster: cluster.id,
        ca_pin: cluster.pin(),
        trust: cluster.trust_pin(),
        endpoints: vec![coordinator.name()],
        admission: Admission::Host {
            host: HostId::new("pmta1").unwrap(),
            role: Role::Powermta,
        },
        expires_at: TestCluster::now().plus(Timestamp::HOUR),
        secret: [0xa7; 32],
    };
    let file = dir.path().join("token");
    std::fs::write(&file, token.to_text().as_bytes()).unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let settings = format!(
        "data_dir = {:?}\nsandbox_root = {root:?}\njoin_token_file = {file:?}\n",
        dir.path().join("data")
    );
    let path = dir.path().join("agent.toml");
    std::fs::write(&path, settings).unwrap();
    let config = Config::load(Some(&path), Overrides::default()).unwrap();
    let agent = tokio::task::spawn_blocking(move || run(&config, Task::Run));

    let call = coordinator.enrolling().await;
    let EnrollRequest::Host(request) = call.request.clone() else {
        panic!("not a host's request: {:?}", call.request);
    };
    let list = vec![coordinator.name()];
    let admission = cluster.admission(&request.request, "pmta1", list);
    call.answer(&EnrollReply::Host(Box::new(admission))).await;
    let mut session = coordinator.session(&cluster, &[]).await;
    let report = loop {
        if let AgentMessage::Report(report) = session.heard().await {
            break report.verify(&request.report_key).unwrap();
        }
    };
    assert_eq!(
        (report.cluster, report.host.as_str()),
        (cluster.id, "pmta1")
    );
    let refusal = Refusal {
        code: RefusalCode::Revoked,
        reason: "revoked by an operator".to_owned(),
        retry_after_millis: None,
    };
    session.say(&CoordinatorMessage::Refused(refusal)).await;
    let end = wait_for(agent, "the agent ends").await.unwrap();
    assert_eq!(end.unwrap(), End::Revoked);
}
