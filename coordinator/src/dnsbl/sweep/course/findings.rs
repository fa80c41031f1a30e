//! What came of a list's run.

use std::time::Duration;

use super::Course;
use crate::dnsbl::registry::Registry;
use crate::dnsbl::sweep::{Findings, Found};
use crate::dnsbl::verdict::{Verdict, Why, judge};

impl Course<'_> {
    /// What came of it.
    pub(in super::super) fn findings(mut self, registry: &Registry) -> Findings {
        let zone = self.errand.door.zone;
        if !self.before.is_healthy() {
            self.after = self.before.clone();
        }
        let trouble = [&self.before, &self.after]
            .into_iter()
            .find(|health| !health.is_healthy());
        let trouble = trouble.map(|health| Why::Unhealthy(health.words().to_owned()));
        let answers = self.answers.iter().zip(self.errand.subjects);
        let found = answers.enumerate().map(|(at, (answer, subject))| {
            let verdict = match (answer, &trouble) {
                (None, None) => Verdict::Unknown(Why::GivenUp),
                (_, Some(why)) => Verdict::Unknown(why.clone()),
                (Some(answer), None) => judge(registry, zone, answer),
            };
            let is_listed = matches!(verdict, Verdict::Listed(_));
            let reason = self.reasons.remove(&at).filter(|_| is_listed);
            Found {
                subject,
                verdict,
                reason,
            }
        });
        Findings {
            list: zone.id.clone(),
            found: found.collect(),
            before: self.before,
            after: self.after,
            asked: self.asked,
            repeated: self.repeated,
            took: Duration::from_micros(self.stage_at),
        }
    }
}
