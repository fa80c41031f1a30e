//! An offered generation on its way to being accepted: its contents are gathered first, so that an
//! accepted one can be applied with nobody's help.
//!
//! What the offer lacks and what the enforced state lost are wanted apart: an offer that cannot be
//! had does not keep the host from mending what it has.

use std::collections::BTreeSet;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::crypto::Signed;
use email_engine_protocol::desired::{HostConfig, Target};
use email_engine_protocol::observed::Stage;
use email_engine_protocol::secret::SecretRef;

use super::core::{Core, Enforced, now};
use crate::allow::Disallowed;
use crate::halves::FromExecutor;
use crate::ledger::page::Accepted;
use crate::reconciler::guard;
use crate::reconciler::order::{self, Order};

/// A well signed target whose contents are being gathered.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) target: Target,
    pub(super) signed: Signed<Target>,
    /// Its checked manifest, once it is at hand.
    content: Option<(HostConfig, Order)>,
}

/// What was asked for and has not come.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// For the offered state.
    pub(super) offer: Needs,
    /// For the enforced one.
    pub(super) enforced: Needs,
}

/// Contents that one state needs.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) bodies: BTreeSet<ContentHash>,
    pub(super) secrets: BTreeSet<SecretRef>,
}

impl Needs {
    fn new(bodies: Vec<ContentHash>, secrets: Vec<SecretRef>) -> Self {
        Self {
            bodies: bodies.into_iter().collect(),
            secrets: secrets.into_iter().collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.bodies.is_empty() && self.secrets.is_empty()
    }
}

impl Wanted {
    pub(super) fn has_body(&self, hash: &ContentHash) -> bool {
        self.offer.bodies.contains(hash) || self.enforced.bodies.contains(hash)
    }

    pub(super) fn has_secret(&self, secret: &SecretRef) -> bool {
        self.offer.secrets.contains(secret) || self.enforced.secrets.contains(secret)
    }

    /// A body came: says whether the enforced state waited for it.
    pub(super) fn body_came(&mut self, hash: &ContentHash) -> bool {
        self.offer.bodies.remove(hash);
        self.enforced.bodies.remove(hash)
    }

    /// A secret came: says whether the enforced state waited for it.
    pub(super) fn secret_came(&mut self, secret: &SecretRef) -> bool {
        self.offer.secrets.remove(secret);
        self.enforced.secrets.remove(secret)
    }
}

/// Why an offer is not taken although it is well signed.
enum Unfit {
    /// This host does not allow it.
    Disallowed(Disallowed),
    /// It is wrong in itself, or takes too much away.
    Wrong(Stage, String),
}

impl Offered {
    pub(super) const fn new(target: Target, signed: Signed<Target>) -> Self {
        Self {
            target,
            signed,
            content: None,
        }
    }
}

impl Core {
    /// Brings the offer one step further: asks for what it lacks, or accepts and applies it.
    pub(super) fn advance(&mut self) {
        if !self.wanted.offer.is_empty() {
            return;
        }
        let Some(mut offered) = self.offered.take() else {
            return;
        };
        if offered.content.is_none() {
            let digest = offered.target.digest;
            if !self.ledger.store.has_body(&digest) {
                self.want_offer(offered, Needs::new(vec![digest], Vec::new()));
                return;
            }
            let generation = offered.target.generation;
            match self.check(&offered.target) {
                Ok(content) => offered.content = Some(content),
                Err(Unfit::Disallowed(error)) => return self.disallow(generation, &error),
                Err(Unfit::Wrong(stage, reason)) => {
                    return self.attempted(generation, stage, reason);
                }
            }
        }
        let needs = offered.content.as_ref().map(|(config, _)| config);
        let (bodies, secrets) = needs
            .map(|config| self.ledger.store.missing(config))
            .unwrap_or_default();
        let needs = Needs::new(bodies, secrets);
        if needs.is_empty() {
            self.accept(offered);
        } else {
            self.want_offer(offered, needs);
        }
    }

    fn want_offer(&mut self, offered: Offered, needs: Needs) {
        if self.session.is_some() {
            self.wanted.offer = needs;
        }
        self.offered = Some(offered);
        self.say_wanted();
    }

    /// Asks for contents, when somebody is there to ask. Always for all of them: only the newest
    /// word of a kind is sure to be heard.
    fn say_wanted(&mut self) {
        let running = self.enforced.as_ref().map(|e| e.target.generation);
        let offered = self.offered.as_ref().map(|o| o.target.generation);
        if self.session.is_none() {
            return;
        }
        let Wanted { offer, enforced } = &self.wanted;
        let bodies: Vec<ContentHash> = offer.bodies.union(&enforced.bodies).copied().collect();
        let secrets: Vec<SecretRef> = offer.secrets.union(&enforced.secrets).cloned().collect();
        let generation = offered.or(running).unwrap_or_default();
        if !bodies.is_empty() {
            self.outbox.say(FromExecutor::BodiesWanted(bodies));
        }
        if !secrets.is_empty() {
            self.outbox.say(FromExecutor::SecretsWanted {
                generation,
                secrets,
            });
        }
    }

    /// Checks the manifest of an offer: is it ours and allowed here, can it be ordered, does it take
    /// too much away?
    fn check(&self, target: &Target) -> Result<(HostConfig, Order), Unfit> {
        let config = self
            .ledger
            .manifest(&target.digest)
            .map_err(|reason| Unfit::Wrong(Stage::Accept, reason))?;
        if config.cluster != target.cluster || config.host != target.host {
            let reason = format!(
                "manifest is for host {} of cluster {}",
                config.host, config.cluster
            );
            return Err(Unfit::Wrong(Stage::Accept, reason));
        }
        self.allow.judge(&config).map_err(Unfit::Disallowed)?;
        let order = order::order(&config.resources)
            .map_err(|error| Unfit::Wrong(Stage::Plan, error.to_string()))?;
        guard::check_removal(self.reconciler.inventory(), &config)
            .map_err(|error| Unfit::Wrong(Stage::Plan, error.to_string()))?;
        Ok((config, order))
    }

    fn accept(&mut self, offered: Offered) {
        let Some((config, order)) = offered.content else {
            return;
        };
        let target = offered.target;
        let accepted = Accepted {
            target: target.clone(),
            signed: offered.signed,
            at: now(),
        };
        // The floor is durable before anything is applied.
        if let Err(error) = self.turn(|page| page.accepted = Some(accepted)) {
            self.attempted(target.generation, Stage::Accept, error.to_string());
            return;
        }
        tracing::info!(generation = %target.generation, "accepted");
        self.enforce(Enforced {
            target,
            config,
            order,
        });
        self.say_standing();
        self.report_changes();
        self.pass_all();
    }

    /// Asks once more for everything that is needed and not at hand, when somebody is there.
    pub(super) fn ask_again(&mut self) {
        self.wanted = Wanted::default();
        if self.session.is_none() {
            return;
        }
        self.advance();
        if let Some(enforced) = &self.enforced {
            let (bodies, secrets) = self.ledger.store.missing(&enforced.config);
            self.wanted.enforced = Needs::new(bodies, secrets);
        } else if let Some(target) = self.accepted_target()
            && !self.ledger.store.has_body(&target.digest)
        {
            self.wanted.enforced = Needs::new(vec![target.digest], Vec::new());
        }
        if !self.wanted.enforced.is_empty() {
            self.say_wanted();
        }
    }

    pub(super) fn accepted_target(&self) -> Option<Target> {
        let accepted = self.ledger.page().accepted.as_ref();
        accepted.map(|accepted| accepted.target.clone())
    }
}
