//! Random lives, under a clock that goes where it wants.

use proptest::prelude::*;

use super::*;

/// What comes to an identity.
#[derive(Clone, Copy, Debug)]
enum What {
    /// One of the events.
    Happens(usize),
    /// A declaration, up and down.
    Declares(IpStatus, Phase, bool),
    /// A look at the lists.
    IsSwept(bool),
    /// A mail.
    Sends,
}

#[derive(Clone, Copy, Debug)]
struct Happening {
    what: What,
    now: Timestamp,
    /// Whether preflight is ok.
    fit: bool,
}

fn turns() -> impl Strategy<Value = Happening> {
    let status = prop::sample::select(STATUSES.to_vec());
    let declares = (status, phases(), any::<bool>());
    let what = prop_oneof![
        5 => (0..events().len()).prop_map(What::Happens),
        3 => declares.prop_map(|(status, phase, reserve)| What::Declares(status, phase, reserve)),
        2 => any::<bool>().prop_map(What::IsSwept),
        1 => Just(What::Sends),
    ];
    let turn = |(what, now, fit)| Happening { what, now, fit };
    (what, moments(), any::<bool>()).prop_map(turn)
}

/// A moment near the beginning of time, near its end, or some days around now.
fn moments() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        Just(Timestamp(0)),
        Just(Timestamp(u64::MAX)),
        (0..800_u64).prop_map(|days| Timestamp(BEGIN.0 - 400 * DAY + days * DAY)),
    ]
}

fn phases() -> impl Strategy<Value = Phase> {
    prop::sample::select(Phase::ALL.to_vec())
}

proptest! {
    #[test]
    fn no_life_has_weight_where_it_takes_no_mail_or_reaches_what_it_never_earned(
        turns in prop::collection::vec(turns(), 1..60),
    ) {
        let mut spec = identity(0);
        (spec.status, spec.phase) = (Standby, Phase::Week1);
        let mut life = Life::new(&spec, BEGIN);
        // The furthest that evidence, or an admin's word instead of it, says that it came.
        let mut earned = Phase::Week1;
        for turn in turns {
            let (now, fit) = (turn.now, turn.fit);
            let before = Standing::with(&spec, &life);
            let checks = all_valid(now);
            let preflight = match fit {
                true => Preflight::of(&checks, now),
                false => Preflight::default(),
            };
            let turned = match turn.what {
                What::Happens(event) => {
                    let event = &events()[event];
                    let turned = next(&before, event, now, &preflight);
                    if turned.is_ok() && *event == Event::Graduate {
                        earned = Phase::Active;
                    }
                    turned
                }
                What::Declares(status, phase, reserve) => {
                    let wanted = Declared { status, phase, reserve };
                    let turned = declare(&before, wanted, now, &preflight);
                    prop_assert!(turned.is_err() || status != Retiring || before.status == Retiring);
                    if turned.is_ok() {
                        earned = earned.max(phase);
                    }
                    turned
                }
                What::IsSwept(is_clean) => {
                    let what = "listed".to_owned();
                    let verdict = match is_clean {
                        true => Verdict::Valid,
                        false => Verdict::Invalid { what },
                    };
                    if let Some(out) = &mut life.quarantine {
                        state_listing(out, &verdict, now);
                    }
                    continue;
                }
                What::Sends => {
                    life.last_sent = Some(life.last_sent.map_or(now, |last| last.max(now)));
                    continue;
                }
            };
            let Ok(Turned { standing, .. }) = turned else { continue };
            let from_to = (before.status, standing.status);
            prop_assert!(from_to.0 == from_to.1 || is_in_the_specification(from_to.0, from_to.1));
            prop_assert!(fit || before.sends() || !standing.sends(), "unseen it sends");
            prop_assert!(standing.phase <= earned, "{:?}, and earned {earned:?}", standing.phase);
            prop_assert!(standing.status != Quarantine || standing.quarantine.is_some());
            if let (Some(out), false) = (&before.quarantine, matches!(standing.status, Quarantine | Retiring)) {
                prop_assert!(now >= out.last_sighting.plus(7 * DAY), "it left quarantine early");
                prop_assert!(out.clean_sweeps >= 2, "it left quarantine unseen");
            }
            if standing.status != before.status {
                prop_assert_eq!(standing.since, now);
            }
            if standing.sends() && !before.sends() && standing.last_sent.is_some() {
                let idle = (idle_millis(&before, now), idle_millis(&standing, now));
                prop_assert!(idle.0 / (30 * DAY) > 0 || idle.0 == idle.1, "to be taken up is no mail");
                let is_asked = matches!(turn.what, What::Happens(_));
                prop_assert!(!is_asked || standing.phase <= resumes_at(&before, now));
            }
            standing.put(&mut spec, &mut life);
            let sends = matches!(spec.status, Active | Warming);
            prop_assert_eq!(warmup::weight(spec.status, spec.phase, spec.reserve) > 0, sends);
            prop_assert!(!spec.reserve || spec.status == Active);
            // Asked at any other time, nothing overflows and nothing is given.
            for other in [Timestamp(0), now, Timestamp(u64::MAX)] {
                let standing = Standing::with(&spec, &life);
                prop_assert!(resumes_at(&standing, other) <= standing.phase);
                let _ = due(&standing, other);
            }
        }
    }

    #[test]
    fn a_clock_that_went_back_never_ends_a_quarantine_or_warms_anybody(
        days in 0..4_000_u64, sweeps in 0..5_u64,
    ) {
        let mut out = after(&standing(Active, Phase::Active), &listed(), 0).unwrap();
        for sweep in 0..sweeps {
            let at = BEGIN.plus(sweep * DAY);
            state_listing(out.quarantine.as_mut().unwrap(), &Verdict::Valid, at);
        }
        let back = Timestamp(BEGIN.0.saturating_sub(days * DAY));
        prop_assert!(next(&out, &Event::Release, back, &fit()).is_err());
        let released = after(&out, &Event::Release, days);
        prop_assert_eq!(released.is_ok(), days >= 7 && sweeps >= 2);
        let cold = standing(Standby, Phase::Week2);
        let taken_up = next(&cold, &Event::Activate, back, &fit()).unwrap().standing;
        prop_assert_eq!(taken_up.phase, Phase::Week2);
    }
}
