//! An offered generation on its way to being accepted: its contents are gathered first, so that an
//! accepted one can be applied with nobody's help.

use std::collections::BTreeSet;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::crypto::Signed;
use email_engine_protocol::desired::{HostConfig, Target};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::observed::Stage;
use email_engine_protocol::secret::SecretRef;

use super::core::{Core, Enforced, now};
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
    pub(super) bodies: BTreeSet<ContentHash>,
    pub(super) secrets: BTreeSet<SecretRef>,
}

impl Wanted {
    fn is_empty(&self) -> bool {
        self.bodies.is_empty() && self.secrets.is_empty()
    }
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
        if !self.wanted.is_empty() {
            return;
        }
        let Some(mut offered) = self.offered.take() else {
            return;
        };
        if offered.content.is_none() {
            let digest = offered.target.digest;
            if !self.ledger.store.has_body(&digest) {
                self.want(offered.target.generation, vec![digest], Vec::new());
                self.offered = Some(offered);
                return;
            }
            match self.check(&offered.target) {
                Ok(content) => offered.content = Some(content),
                Err((stage, reason)) => {
                    self.attempted(offered.target.generation, stage, reason);
                    return;
                }
            }
        }
        let needs = offered.content.as_ref().map(|(config, _)| config);
        let (bodies, secrets) = needs
            .map(|config| self.ledger.store.missing(config))
            .unwrap_or_default();
        if bodies.is_empty() && secrets.is_empty() {
            self.accept(offered);
        } else {
            self.want(offered.target.generation, bodies, secrets);
            self.offered = Some(offered);
        }
    }

    /// Asks for contents, when somebody is there to ask.
    fn want(&mut self, generation: Generation, bodies: Vec<ContentHash>, secrets: Vec<SecretRef>) {
        if self.session.is_none() {
            return;
        }
        self.wanted.bodies.extend(&bodies);
        self.wanted.secrets.extend(secrets.iter().cloned());
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

    /// Checks the manifest of an offer: is it ours, can it be ordered, does it take too much away?
    fn check(&self, target: &Target) -> Result<(HostConfig, Order), (Stage, String)> {
        let config = self
            .ledger
            .manifest(&target.digest)
            .map_err(|reason| (Stage::Accept, reason))?;
        if config.cluster != target.cluster || config.host != target.host {
            let reason = format!(
                "manifest is for host {} of cluster {}",
                config.host, config.cluster
            );
            return Err((Stage::Accept, reason));
        }
        let order =
            order::order(&config.resources).map_err(|error| (Stage::Plan, error.to_string()))?;
        guard::check_removal(self.reconciler.inventory(), &config)
            .map_err(|error| (Stage::Plan, error.to_string()))?;
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
        self.pass_all();
    }

    /// Asks once more for everything that is needed and not at hand, when somebody is there.
    pub(super) fn ask_again(&mut self) {
        self.wanted = Wanted::default();
        if self.session.is_none() {
            return;
        }
        if self.offered.is_some() {
            self.advance();
        } else if let Some(enforced) = &self.enforced {
            let (bodies, secrets) = self.ledger.store.missing(&enforced.config);
            self.want(enforced.target.generation, bodies, secrets);
        } else if let Some(target) = self.accepted_target()
            && !self.ledger.store.has_body(&target.digest)
        {
            self.want(target.generation, vec![target.digest], Vec::new());
        }
    }

    pub(super) fn accepted_target(&self) -> Option<Target> {
        let accepted = self.ledger.page().accepted.as_ref();
        accepted.map(|accepted| accepted.target.clone())
    }
}
