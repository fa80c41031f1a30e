//! What campaigns say of the identities that sent them.

use std::sync::Arc;

use email_engine_protocol::id::{RequestId, TenantId};
use email_engine_protocol::time::Timestamp;
use proptest::prelude::*;

use crate::command::fixture::{Fleet, address, identity};
use crate::fleet::warmup::{Opens, day_begins, opens_before, opens_by_day};
use crate::state::{Campaign, CampaignEnd, Figures, FleetState, Reading, Readings, Subject};

const DAY: u32 = 20_000;

/// What was read so many hours after the beginning of [`DAY`]: delivered, opened, clicked.
type Read = (i64, [u64; 3]);

fn campaign(state: &mut FleetState, name: &str, parts: &[u32], read: &[Read]) {
    let readings = read.iter().map(|(hours, [delivered, opened, clicked])| {
        let begin = i64::try_from(day_begins(DAY).0).unwrap();
        let hour = i64::try_from(Timestamp::HOUR).unwrap();
        let at = Timestamp(u64::try_from(begin + hours * hour).unwrap());
        let figures = Figures {
            delivered: *delivered,
            opened: *opened,
            clicked: *clicked,
        };
        (crate::fleet::warmup::day_of(at), Reading { at, figures })
    });
    let campaign = Campaign {
        tenant: identity(0).tenant,
        name: name.to_owned(),
        parts: parts.iter().map(|at| (address(*at), 100)).collect(),
        asker: [1; 16],
        known: [].into(),
        begun_at: day_begins(DAY),
        end: Some(CampaignEnd::Created {
            uid: name.to_owned(),
        }),
        readings: Readings(readings.collect()),
    };
    let request = RequestId::new(name).unwrap();
    state.campaigns.insert(request, Arc::new(campaign));
}

fn opens(opened: u64, delivered: u64) -> Opens {
    Opens { opened, delivered }
}

#[test]
fn only_who_sent_a_campaign_alone_has_its_opens() {
    let mut state = Fleet::with_identities(3).state;
    let read = [(-40, [80, 2, 1]), (-10, [90, 30, 4])];
    campaign(&mut state, "alone", &[0], &read);
    campaign(
        &mut state,
        "also-alone",
        &[0],
        &[(-30, [20, 0, 0]), (-5, [20, 5, 0])],
    );
    campaign(&mut state, "shared", &[0, 1], &read);
    // What was out for 24 hours is what opens are of.
    let known = opens_before(&state, DAY);
    assert_eq!(known, [(address(0), opens(35, 100))].into());
    // Of somebody else by now.
    let other = TenantId::new("other").unwrap();
    Arc::make_mut(state.identities.get_mut(&address(0)).unwrap())
        .spec
        .tenant = other;
    assert_eq!(opens_before(&state, DAY), [].into());
}

#[test]
fn opens_are_unknown_until_a_campaign_was_out_for_most_of_a_day_and_after_a_week() {
    let mut state = Fleet::with_identities(1).state;
    for (read, known) in [
        (&[][..], None),
        (&[(-5, [90, 0, 0])], None),
        (&[(-30, [90, 0, 0]), (-23, [90, 4, 0])], None),
        (&[(-25, [90, 0, 0]), (-1, [90, 4, 0])], Some(opens(4, 90))),
        (&[(-44, [90, 0, 0]), (-24, [90, 4, 0])], Some(opens(4, 90))),
        // What went out since then has had no time, and what is read on the day itself belongs to the next.
        (
            &[(-30, [60, 0, 0]), (-1, [90, 4, 0]), (1, [90, 80, 0])],
            Some(opens(4, 60)),
        ),
        (
            &[(-7 * 24, [90, 0, 0]), (-6 * 24, [90, 4, 0])],
            Some(opens(4, 90)),
        ),
        (&[(-7 * 24 - 1, [90, 0, 0]), (-6 * 24, [90, 4, 0])], None),
        // Machines may open more than there is.
        (&[(-30, [60, 0, 0]), (-1, [60, 70, 0])], Some(opens(60, 60))),
    ] {
        state.campaigns.clear();
        campaign(&mut state, "one", &[0], read);
        let seen: Option<Opens> = opens_before(&state, DAY).get(&address(0)).copied();
        assert_eq!(seen, known, "{read:?}");
    }
}

#[test]
fn a_day_has_what_came_to_it_and_a_day_without_a_reading_is_unknown() {
    let mut state = Fleet::with_identities(2).state;
    let read = [(1, [50, 5, 1]), (25, [90, 9, 1]), (73, [90, 30, 4])];
    campaign(&mut state, "alone", &[0], &read);
    campaign(&mut state, "shared", &[0, 1], &[(2, [10, 1, 0])]);
    let tenant = identity(0).tenant;
    let one = |at: u32| Subject::Identity(tenant.clone(), address(at));
    let told = |subject: &Subject, days| -> Vec<_> {
        let days = opens_by_day(&state, subject, days).into_iter();
        days.map(|(day, own)| (day - DAY, [own.delivered, own.opened, own.clicked]))
            .collect()
    };
    let all = (DAY, DAY + 10);
    assert_eq!(
        told(&one(0), all),
        [(0, [50, 5, 1]), (1, [40, 4, 0]), (3, [0, 21, 3])]
    );
    assert_eq!(told(&one(1), all), [], "it was not alone");
    let whole = told(&Subject::Tenant(tenant.clone()), (DAY, DAY));
    assert_eq!(whole, [(0, [60, 6, 1])]);
    assert_eq!(told(&one(0), (DAY + 1, DAY + 2)), [(1, [40, 4, 0])]);
}

proptest! {
    #[test]
    fn days_come_to_no_more_than_the_highest_figure_or_they_fell_between(
        figures in prop::collection::vec((0..200_u64, 0..200_u64), 1..10),
    ) {
        let mut state = Fleet::with_identities(1).state;
        let mut opened: Vec<_> = figures.iter().map(|(_, opened)| *opened).collect();
        let read: Vec<Read> = figures
            .iter()
            .zip(0..)
            .map(|((delivered, opened), day)| (day * 24, [*delivered, *opened, 0]))
            .collect();
        campaign(&mut state, "one", &[0], &read);
        let tenant = Subject::Tenant(identity(0).tenant);
        let days = opens_by_day(&state, &tenant, (DAY, DAY + 20));
        let sum: u64 = days.values().map(|own| own.opened).sum();
        let falls = opened.windows(2).map(|two| two[0].saturating_sub(two[1])).sum::<u64>();
        let last = opened.pop().unwrap();
        prop_assert_eq!(sum, last + falls);
        let known = opens_before(&state, DAY + 7);
        prop_assert!(known.values().all(|own| own.opened <= own.delivered && own.delivered > 0));
    }
}
