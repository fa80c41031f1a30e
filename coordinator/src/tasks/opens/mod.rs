//! Reads what tenants' applications count of campaigns that were asked for here: opens and clicks are known
//! of nowhere else.
//!
//! Each application is asked a few questions in each look, those first that were put off longest, and left
//! alone for a while when it does not answer; what it does not say is unknown. What is read are whole figures,
//! said only when they are news, so that another leader, or one that forgot what it asked, does no harm.

mod due;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::time::sleep;

use email_engine_protocol::id::{RequestId, TenantId};

use super::{leads, say};
use crate::command::{Command, READINGS, RecordReadings, is_news_reading};
use crate::fleet::warmup::day_of;
use crate::mailwizz::{Applications, CallError};
use crate::push::{Fleet, now};
use crate::state::Figures;

use due::{Questions, questions};

/// Between two looks.
const AGAIN: Duration = Duration::from_secs(60);
/// Applications that are asked at the same time.
const AT_ONCE: usize = 8;
/// Time for the questions of one look to one of them; the rest waits for the next look.
const WITHIN: Duration = Duration::from_secs(60);
/// An application that does not answer is left alone for so long, then for twice as long.
const AWAY: Duration = Duration::from_secs(5 * 60);
const LONGEST_AWAY: Duration = Duration::from_secs(60 * 60);

/// Reads while this node leads.
pub(super) async fn run<F: Fleet>(fleet: F, applications: Applications) {
    let mut leadership = fleet.leadership();
    let mut memory = Memory::default();
    while leads(&mut leadership).await {
        look(&fleet, &applications, &mut memory, Instant::now()).await;
        sleep(AGAIN).await;
    }
}

/// What was asked, and who did not answer. A new leader begins without.
#[derive(Debug, Default)]
struct Memory {
    asked: BTreeMap<RequestId, Instant>,
    away: BTreeMap<TenantId, Away>,
}

/// An application that did not answer.
#[derive(Clone, Copy, Debug)]
struct Away {
    until: Instant,
    wait: Duration,
}

impl Memory {
    fn is_away(&self, tenant: &TenantId, at: Instant) -> bool {
        self.away.get(tenant).is_some_and(|away| at < away.until)
    }

    /// It did not answer, once more or for the first time.
    fn leave(&mut self, tenant: &TenantId, at: Instant) {
        let before = self.away.get(tenant).map(|away| away.wait);
        let wait = before.map_or(AWAY, |wait| (wait * 2).min(LONGEST_AWAY));
        let until = at + wait;
        self.away.insert(tenant.clone(), Away { until, wait });
    }
}

async fn look<F: Fleet>(fleet: &F, applications: &Applications, memory: &mut Memory, at: Instant) {
    let asked = fleet.view(|state| questions(state, memory, now().max(state.now), at));
    memory
        .asked
        .retain(|request, _| asked.followed.contains(request));
    let answers = futures::stream::iter(asked.tenants)
        .map(|one| ask(applications, one))
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let mut read = BTreeMap::new();
    for answers in answers {
        for (request, figures) in answers.heard {
            memory.asked.insert(request.clone(), at);
            read.extend(figures.map(|figures| (request, figures)));
        }
        if let Some(error) = answers.silence {
            memory.leave(&answers.tenant, at);
            let tenant = &answers.tenant;
            tracing::warn!(%tenant, %error, "its campaigns' opens are not read");
        } else {
            memory.away.remove(&answers.tenant);
        }
    }
    for readings in news(fleet, read) {
        let command = Command::RecordReadings(RecordReadings { readings });
        say(fleet, "as MailWizz counts", command).await;
    }
}

/// What one application said.
struct Answers {
    tenant: TenantId,
    /// Figures of those that it knows.
    heard: Vec<(RequestId, Option<Figures>)>,
    /// Why it was asked no further.
    silence: Option<CallError>,
}

async fn ask(applications: &Applications, questions: Questions) -> Answers {
    let Questions { tenant, door, uids } = questions;
    let (mut heard, mut silence) = (Vec::new(), None);
    let began = Instant::now();
    for (request, uid) in uids {
        if began.elapsed() > WITHIN {
            break;
        }
        match applications.figures(&door, &uid).await {
            Ok(figures) => heard.push((request, Some(figures))),
            // Somebody deleted it.
            Err(CallError::Refused { status: 404, .. }) => heard.push((request, None)),
            Err(error) => {
                silence = Some(error);
                break;
            }
        }
    }
    Answers {
        tenant,
        heard,
        silence,
    }
}

/// What is not known yet, in pieces of one command each.
fn news<F: Fleet>(
    fleet: &F,
    read: BTreeMap<RequestId, Figures>,
) -> Vec<BTreeMap<RequestId, Figures>> {
    let new: Vec<_> = fleet.view(|state| {
        let today = day_of(now().max(state.now));
        let is_new = |request: &RequestId, figures| {
            let campaign = state.campaigns.get(request);
            campaign.is_some_and(|campaign| is_news_reading(campaign, today, figures))
        };
        let new = read.into_iter();
        new.filter(|(request, figures)| is_new(request, *figures))
            .collect()
    });
    let pieces = new.chunks(READINGS);
    pieces
        .map(|piece| piece.iter().cloned().collect())
        .collect()
}
