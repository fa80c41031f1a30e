//! Health checks within a pass: begun once what they come after is right, read, and healed.

use email_engine_protocol::desired::{HostConfig, Spec};
use email_engine_protocol::observed::ResourceState;

use super::Reconciler;
use super::apply::Walk;
use super::under_way::UnderWay;

impl Reconciler {
    /// Whom to tell when a check has news.
    pub(crate) fn tells_of_health(&mut self, tell: impl Fn() + Send + Sync + 'static) {
        self.health.tells(tell);
    }

    /// Sees how everything is that must be well, after all has been made right. Says how many units were
    /// restarted.
    pub(super) fn check_health(
        &mut self,
        config: &HostConfig,
        walk: &mut Walk<'_>,
        under_way: &UnderWay,
    ) -> usize {
        let mut healed = 0;
        for (at, resource) in config.resources.iter().enumerate() {
            if !matches!(resource.spec, Spec::HealthCheck(_)) || walk.interrupted {
                continue;
            }
            if let Some(blocked) = walk.blocked(at) {
                self.health.leave(&resource.id);
                walk.found(at, blocked);
                continue;
            }
            self.health.keep(&mut self.machine, resource);
            let is_healed = self.health.heal(&mut self.machine, resource, under_way);
            healed += usize::from(is_healed);
            if let Some(state) = self.health.state(&resource.id) {
                // Whatever is answered by the time that the pass is told of.
                walk.untold |= matches!(state, ResourceState::Unknown(_));
                walk.found(at, state);
            }
        }
        if healed + walk.changed > 0 {
            self.health.ask_now();
        }
        healed
    }
}
