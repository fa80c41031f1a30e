//! Answers what a judgement lacks.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::api::{DnsPart, DnsVerdict};

use super::AskConfig;
use super::exchange::exchange;
use super::message::{Said, name, query, read, record_type};
use super::zones::{Server, Zone, resolve, zone_of};
use crate::dns::verdict::{Answers, Need, Progress, Question, Reply, Subject, Told, judge};

/// Rounds of questions of one judgement: each look-up of SPF may lead to the next.
const ROUNDS: usize = 24;
/// Questions of one judgement. SPF has ten look-ups at most, with ten exchangers each.
const QUESTIONS: usize = 200;

/// Asks for one look.
#[derive(Debug)]
pub struct Asker<'a> {
    config: &'a AskConfig,
    zones: BTreeMap<String, Result<Zone, String>>,
}

impl<'a> Asker<'a> {
    /// One that knows nothing yet.
    #[must_use]
    pub const fn new(config: &'a AskConfig) -> Self {
        Self {
            config,
            zones: BTreeMap::new(),
        }
    }

    /// The zone that holds a name.
    ///
    /// # Errors
    /// When it cannot be found out; why, in words.
    pub async fn zone(&mut self, name: &str) -> Result<Zone, String> {
        if let Some(known) = self.zones.get(name) {
            return known.clone();
        }
        let found = zone_of(self.config, name).await;
        self.zones.insert(name.to_owned(), found.clone());
        found
    }

    /// What is said to a question.
    pub async fn answer(&mut self, need: &Need) -> Vec<Told> {
        if need.of_all {
            return self.of_all(&need.question).await;
        }
        vec![self.of_resolver(&need.question).await]
    }

    async fn of_all(&mut self, question: &Question) -> Vec<Told> {
        let zone = match self.zone(&question.name).await {
            Ok(zone) => zone,
            Err(why) => {
                let by = format!("the search for the zone of {}:", question.name);
                let reply = Reply::Unreadable { why };
                return vec![Told { by, reply }];
            }
        };
        let mut told = Vec::new();
        for server in &zone.servers {
            told.push(self.of_server(server, question).await);
        }
        told.extend(zone.lost.iter().map(|server| Told {
            by: server.clone(),
            reply: Reply::Unreadable {
                why: "has no address that anybody knows".to_owned(),
            },
        }));
        told
    }

    async fn of_server(&self, server: &Server, question: &Question) -> Told {
        let by = server.to_string();
        let unreadable = |why: String| Reply::Unreadable { why };
        let Some(asked) = name(&question.name) else {
            let reply = unreadable("cannot be asked for such a name".to_owned());
            return Told { by, reply };
        };
        let message = query(asked, record_type(question.kind), false);
        let answer = exchange(server.address, &message, self.config.patience).await;
        let reply = match answer.map(|answer| read(&answer, question, true)) {
            Err(error) => unreadable(error.to_string()),
            Ok(Said::Reply(reply)) => reply,
            // Whatever the alias leads to is in another zone.
            Ok(Said::Alias(target)) => {
                let question = Question {
                    name: target,
                    kind: question.kind,
                };
                self.of_resolver(&question).await.reply
            }
        };
        Told { by, reply }
    }

    async fn of_resolver(&self, question: &Question) -> Told {
        let answer = resolve(self.config, &question.name, record_type(question.kind)).await;
        let by = format!("a resolver, of {},", question.name);
        let reply = match answer.map(|answer| read(&answer, question, false)) {
            Err(why) => Reply::Unreadable { why },
            Ok(Said::Reply(reply)) => reply,
            Ok(Said::Alias(target)) => Reply::Unreadable {
                why: format!("leads to {target} and no further"),
            },
        };
        Told { by, reply }
    }
}

/// Looks at all records of an identity.
pub async fn look(config: &AskConfig, subject: &Subject) -> BTreeMap<DnsPart, DnsVerdict> {
    let mut asker = Asker::new(config);
    let mut answers = Answers::default();
    let mut asked: BTreeSet<Need> = BTreeSet::new();
    for _ in 0..ROUNDS {
        let lacking = match judge(subject, &answers) {
            Progress::Done(verdicts) => return verdicts,
            Progress::Lacking(lacking) => lacking,
        };
        for need in lacking {
            // A question that was asked of anybody may later be asked of all.
            if asked.len() < QUESTIONS && asked.insert(need.clone()) {
                let told = asker.answer(&need).await;
                answers.take(&need, told);
            }
        }
    }
    let why = format!("its records lead to more than {ROUNDS} rounds of questions");
    let unknown = |part| (part, DnsVerdict::Unknown { why: why.clone() });
    DnsPart::ALL.into_iter().map(unknown).collect()
}
