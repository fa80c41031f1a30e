//! What the executor believes. Pure: every answer follows from its arguments.
//!
//! The recovery key, pinned at enrolment, stands above all: it grants plan keys, by monotone version,
//! and epochs. The plan key signs targets. A target is for this cluster and host, of an epoch that is
//! known to be granted, and not below the floor.

use email_engine_protocol::bytes::VerifyingKey;
use email_engine_protocol::crypto::{Signed, VerifyError};
use email_engine_protocol::desired::{EpochGrant, PlanKeyGrant, Target};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::wire::Floor;

/// Where an executor stands when something is offered to it.
#[derive(Clone, Debug)]
pub struct Standpoint<'a> {
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// The host that it keeps.
    pub host: &'a HostId,
    /// Verifies grants.
    pub recovery: &'a VerifyingKey,
    /// The plan key that it trusts.
    pub plan_key: &'a PlanKeyGrant,
    /// The epoch in which it was enrolled.
    pub enrolled_epoch: u64,
    /// The newest epoch that the recovery key granted.
    pub granted_epoch: Option<u64>,
    /// What it will not go below.
    pub floor: Option<Floor>,
}

/// A target that may be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The accepted one, signed again perhaps.
    Known,
    /// One above the floor.
    New(Target),
}

/// Why a target is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferRefused {
    /// For another cluster.
    #[error("target is for cluster {got}, this host belongs to {expected}")]
    Cluster {
        /// Whom it is for.
        got: ClusterId,
        /// Who we are.
        expected: ClusterId,
    },
    /// The accepted generation with other content.
    #[error("generation {0} was accepted with other content")]
    Content(Generation),
    /// An epoch that nobody granted.
    #[error("epoch {got} is not granted by the recovery key: {known} is")]
    Epoch {
        /// The target's epoch.
        got: u64,
        /// The newest known one.
        known: u64,
    },
    /// For another host.
    #[error("target is for host {got}, this is {expected}")]
    Host {
        /// Whom it is for.
        got: HostId,
        /// Who we are.
        expected: HostId,
    },
    /// Below the floor.
    #[error("generation {got} is older than the accepted {floor}")]
    Old {
        /// The target's generation.
        got: Generation,
        /// The floor.
        floor: Generation,
    },
    /// Signed with a plan key of another version.
    #[error("target names plan key version {got}, version {trusted} is trusted")]
    PlanKeyVersion {
        /// What it names.
        got: u32,
        /// What is trusted.
        trusted: u32,
    },
    /// Not signed by the plan key.
    #[error("target: {0}")]
    Signature(VerifyError),
}

impl OfferRefused {
    /// Whether what was refused is rightly signed and for this host: otherwise its generation is
    /// no more than a claim.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        matches!(
            self,
            Self::Content(_) | Self::Epoch { .. } | Self::Old { .. }
        )
    }
}

/// Judges a target.
///
/// # Errors
/// Why it is not taken.
pub fn judge_target(at: &Standpoint<'_>, signed: &Signed<Target>) -> Result<Verdict, OfferRefused> {
    let target = match signed.verify(&at.plan_key.key) {
        Ok(target) => target,
        Err(error) => {
            return Err(name_version(at, signed).unwrap_or(OfferRefused::Signature(error)));
        }
    };
    if target.plan_key_version != at.plan_key.version {
        return Err(OfferRefused::PlanKeyVersion {
            got: target.plan_key_version,
            trusted: at.plan_key.version,
        });
    }
    if target.cluster != at.cluster {
        return Err(OfferRefused::Cluster {
            got: target.cluster,
            expected: at.cluster,
        });
    }
    if target.host != *at.host {
        return Err(OfferRefused::Host {
            got: target.host,
            expected: at.host.clone(),
        });
    }
    judge_generation(at, target)
}

fn judge_generation(at: &Standpoint<'_>, target: Target) -> Result<Verdict, OfferRefused> {
    let floor_epoch = at.floor.map(|floor| floor.generation.epoch);
    let known = [Some(at.enrolled_epoch), at.granted_epoch, floor_epoch];
    let epoch = target.generation.epoch;
    // A grant from before the enrolment does not bring its epoch back.
    if !known.contains(&Some(epoch)) || epoch < at.enrolled_epoch {
        return Err(OfferRefused::Epoch {
            got: epoch,
            known: known.into_iter().flatten().max().unwrap_or_default(),
        });
    }
    match at.floor {
        Some(floor) if target.generation < floor.generation => Err(OfferRefused::Old {
            got: target.generation,
            floor: floor.generation,
        }),
        Some(floor) if target.generation > floor.generation => Ok(Verdict::New(target)),
        Some(floor) if target.digest == floor.digest => Ok(Verdict::Known),
        Some(_) => Err(OfferRefused::Content(target.generation)),
        None => Ok(Verdict::New(target)),
    }
}

/// A wrong signature with another version in it is most likely that version's: a better answer.
fn name_version(at: &Standpoint<'_>, signed: &Signed<Target>) -> Option<OfferRefused> {
    let got = signed.unverified().ok()?.plan_key_version;
    (got != at.plan_key.version).then_some(OfferRefused::PlanKeyVersion {
        got,
        trusted: at.plan_key.version,
    })
}

/// Why a grant is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefused {
    /// For another cluster.
    #[error("grant is for cluster {got}, this host belongs to {expected}")]
    Cluster {
        /// Whom it is for.
        got: ClusterId,
        /// Who we are.
        expected: ClusterId,
    },
    /// Another key under a version that is trusted already.
    #[error("plan key version {0} was granted with another key")]
    Key(u32),
    /// Older than what is trusted.
    #[error("{what} {got} is below the trusted {trusted}")]
    Old {
        /// What it grants.
        what: &'static str,
        /// What it grants, as a number.
        got: u64,
        /// What is trusted.
        trusted: u64,
    },
    /// Not signed by the recovery key.
    #[error("grant: {0}")]
    Signature(#[from] VerifyError),
}

/// Judges a plan key grant; nothing when it says what is known.
///
/// # Errors
/// Why it is not believed.
pub fn judge_plan_key(
    cluster: ClusterId,
    recovery: &VerifyingKey,
    trusted: Option<&PlanKeyGrant>,
    signed: &Signed<PlanKeyGrant>,
) -> Result<Option<PlanKeyGrant>, GrantRefused> {
    let grant = signed.verify(recovery)?;
    check_cluster(cluster, grant.cluster)?;
    match trusted {
        Some(trusted) if grant.version < trusted.version => Err(GrantRefused::Old {
            what: "plan key version",
            got: u64::from(grant.version),
            trusted: u64::from(trusted.version),
        }),
        Some(trusted) if grant.version == trusted.version => {
            if grant.key == trusted.key {
                Ok(None)
            } else {
                Err(GrantRefused::Key(grant.version))
            }
        }
        _ => Ok(Some(grant)),
    }
}

/// Judges an epoch grant; nothing when it says what is known.
///
/// # Errors
/// Why it is not believed.
pub fn judge_epoch(
    cluster: ClusterId,
    recovery: &VerifyingKey,
    trusted: Option<&EpochGrant>,
    signed: &Signed<EpochGrant>,
) -> Result<Option<EpochGrant>, GrantRefused> {
    let grant = signed.verify(recovery)?;
    check_cluster(cluster, grant.cluster)?;
    match trusted {
        Some(trusted) if grant.epoch < trusted.epoch => Err(GrantRefused::Old {
            what: "epoch",
            got: grant.epoch,
            trusted: trusted.epoch,
        }),
        Some(trusted) if grant.epoch == trusted.epoch => Ok(None),
        _ => Ok(Some(grant)),
    }
}

fn check_cluster(expected: ClusterId, got: ClusterId) -> Result<(), GrantRefused> {
    if got == expected {
        Ok(())
    } else {
        Err(GrantRefused::Cluster { got, expected })
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::ContentHash;
    use email_engine_protocol::crypto::SigningKey;
    use email_engine_protocol::time::Timestamp;
    use proptest::prelude::*;

    use super::*;

    const CLUSTER: ClusterId = ClusterId([1; 16]);
    const OTHER: ClusterId = ClusterId([2; 16]);

    struct World {
        recovery: SigningKey,
        plan: SigningKey,
        grant: PlanKeyGrant,
        host: HostId,
    }

    fn world() -> World {
        let plan = SigningKey::from_seed([2; 32]);
        World {
            recovery: SigningKey::from_seed([1; 32]),
            grant: PlanKeyGrant {
                cluster: CLUSTER,
                version: 3,
                key: plan.verifying_key(),
            },
            plan,
            host: HostId::new("pmta1").unwrap(),
        }
    }

    fn generation(epoch: u64, number: u64) -> Generation {
        Generation { epoch, number }
    }

    impl World {
        fn target(&self, epoch: u64, number: u64, content: u8) -> Target {
            Target {
                cluster: CLUSTER,
                host: self.host.clone(),
                generation: generation(epoch, number),
                digest: ContentHash([content; 32]),
                plan_key_version: 3,
                issued_at: Timestamp(0),
            }
        }

        fn judge(
            &self,
            floor: Option<(u64, u64, u8)>,
            granted: Option<u64>,
            target: &Target,
        ) -> Result<Verdict, OfferRefused> {
            let recovery = self.recovery.verifying_key();
            let at = Standpoint {
                cluster: CLUSTER,
                host: &self.host,
                recovery: &recovery,
                plan_key: &self.grant,
                enrolled_epoch: 1,
                granted_epoch: granted,
                floor: floor.map(|(epoch, number, content)| Floor {
                    generation: generation(epoch, number),
                    digest: ContentHash([content; 32]),
                }),
            };
            judge_target(&at, &self.plan.sign(target))
        }
    }

    #[test]
    fn the_table_of_generations() {
        let world = world();
        let known = Ok("known");
        let new = Ok("new");
        let table = [
            // floor, granted epoch, target (epoch, number, content), verdict
            (None, None, (1, 1, 1), new),
            (None, None, (2, 1, 1), Err("epoch 2 is not granted")),
            (None, Some(2), (2, 1, 1), new),
            (None, Some(0), (0, 1, 1), Err("epoch 0 is not granted")),
            (None, Some(3), (2, 1, 1), Err("epoch 2 is not granted")),
            (Some((1, 5, 1)), None, (1, 6, 2), new),
            (Some((1, 5, 1)), None, (1, 5, 1), known),
            (Some((1, 5, 1)), None, (1, 5, 2), Err("other content")),
            (
                Some((1, 5, 1)),
                None,
                (1, 4, 1),
                Err("older than the accepted"),
            ),
            (Some((1, 5, 1)), Some(2), (2, 3, 1), new),
            (Some((2, 5, 1)), None, (2, 6, 1), new),
            (
                Some((2, 5, 1)),
                None,
                (1, 900, 1),
                Err("older than the accepted"),
            ),
            (
                Some((2, 5, 1)),
                None,
                (3, 6, 1),
                Err("epoch 3 is not granted"),
            ),
        ];
        for (floor, granted, (epoch, number, content), expected) in table {
            let target = world.target(epoch, number, content);
            let got = world.judge(floor, granted, &target);
            match (&got, expected) {
                (Ok(Verdict::Known), Ok("known")) => {}
                (Ok(Verdict::New(taken)), Ok("new")) => assert_eq!(*taken, target),
                (Err(error), Err(text)) if error.to_string().contains(text) => {}
                _ => panic!("{floor:?} {granted:?} {target:?}: {got:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn who_is_spoken_to_and_with_which_key() {
        let world = world();
        let foreign = Target {
            cluster: OTHER,
            ..world.target(1, 1, 1)
        };
        let refused = world.judge(None, None, &foreign);
        assert!(matches!(refused, Err(OfferRefused::Cluster { .. })));
        let neighbour = Target {
            host: HostId::new("pmta2").unwrap(),
            ..world.target(1, 1, 1)
        };
        let refused = world.judge(None, None, &neighbour);
        assert!(matches!(refused, Err(OfferRefused::Host { .. })));
        for version in [2, 4] {
            let other = Target {
                plan_key_version: version,
                ..world.target(1, 1, 1)
            };
            let refused = world.judge(None, None, &other);
            assert!(matches!(refused, Err(OfferRefused::PlanKeyVersion { .. })));
        }
    }

    #[test]
    fn grants_are_the_recovery_keys_and_go_up_only() {
        let world = world();
        let recovery = world.recovery.verifying_key();
        let grant = |version: u32, seed: u8| PlanKeyGrant {
            cluster: CLUSTER,
            version,
            key: SigningKey::from_seed([seed; 32]).verifying_key(),
        };
        let judge = |signed: &Signed<PlanKeyGrant>| {
            judge_plan_key(CLUSTER, &recovery, Some(&world.grant), signed)
        };
        let newer = grant(4, 9);
        assert_eq!(judge(&world.recovery.sign(&newer)), Ok(Some(newer.clone())));
        assert_eq!(judge(&world.recovery.sign(&world.grant)), Ok(None));
        let refused = [
            judge(&world.plan.sign(&newer)),
            judge(&world.recovery.sign(&grant(3, 9))),
            judge(&world.recovery.sign(&grant(2, 2))),
            judge(&world.recovery.sign(&PlanKeyGrant {
                cluster: OTHER,
                ..newer
            })),
        ];
        assert!(matches!(refused[0], Err(GrantRefused::Signature(_))));
        assert!(matches!(refused[1], Err(GrantRefused::Key(3))));
        assert!(matches!(refused[2], Err(GrantRefused::Old { .. })));
        assert!(matches!(refused[3], Err(GrantRefused::Cluster { .. })));
        let epoch = |epoch| EpochGrant {
            cluster: CLUSTER,
            epoch,
            issued_at: Timestamp(0),
        };
        let judge =
            |signed: &Signed<EpochGrant>| judge_epoch(CLUSTER, &recovery, Some(&epoch(4)), signed);
        assert_eq!(judge(&world.recovery.sign(&epoch(5))), Ok(Some(epoch(5))));
        assert_eq!(judge(&world.recovery.sign(&epoch(4))), Ok(None));
        assert!(judge(&world.recovery.sign(&epoch(3))).is_err());
        assert!(judge(&world.plan.sign(&epoch(5))).is_err());
    }

    proptest! {
        /// Whatever is offered in whatever order, the floor never sinks and never changes content.
        #[test]
        fn the_floor_only_rises(offers in proptest::collection::vec((1_u64..4, 0_u64..6, 0_u8..3), 1..40)) {
            let world = world();
            let mut floor: Option<(u64, u64, u8)> = None;
            for (epoch, number, content) in offers {
                let target = world.target(epoch, number, content);
                match world.judge(floor, Some(2), &target) {
                    Ok(Verdict::New(taken)) => {
                        prop_assert!(epoch <= 2);
                        if let Some((epoch, number, _)) = floor {
                            prop_assert!(taken.generation > generation(epoch, number));
                        }
                        floor = Some((epoch, number, content));
                    }
                    Ok(Verdict::Known) => prop_assert_eq!(floor, Some((epoch, number, content))),
                    Err(_) => {}
                }
            }
        }

        /// No bit of a signed target can be changed.
        #[test]
        fn a_changed_byte_is_refused(at in 0_usize..200, bit in 0_u8..8) {
            let world = world();
            let signed = world.plan.sign(&world.target(1, 1, 1));
            let mut bytes = postcard::to_stdvec(&signed).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(forged) = postcard::from_bytes::<Signed<Target>>(&bytes) {
                prop_assert!(forged.verify(&world.grant.key).is_err() || forged == signed);
            }
        }
    }
}
