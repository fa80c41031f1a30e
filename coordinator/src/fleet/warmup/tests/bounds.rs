//! What a fleet may set, and what a tenant may make tighter.

use email_engine_protocol::api::{TenantWarmup, WarmupSettings};
use proptest::prelude::*;

#[test]
fn a_tenant_that_loosens_is_told_the_bound() {
    let fleet = WarmupSettings::default();
    let refused = |tenant: TenantWarmup| fleet.permits(&tenant).unwrap_err().to_string();
    let mut tenant = TenantWarmup {
        pause_bounces: Some(501),
        ..TenantWarmup::default()
    };
    assert_eq!(
        refused(tenant.clone()),
        "pause_bounces 501 is not accepted: at most 500: the fleet's; a tenant tightens, and loosens nothing"
    );
    tenant.pause_bounces = Some(200);
    assert_eq!(fleet.permits(&tenant), Ok(()));
    tenant.quotas = Some([50, 100, 250, 500, 1_001, 2_000]);
    assert!(
        refused(tenant.clone())
            .starts_with("quotas[4] 1001 is not accepted: at most 1000 in week_5")
    );
    tenant.quotas = Some([50, 100, 99, 500, 1_000, 2_000]);
    assert!(refused(tenant.clone()).starts_with("quotas[2] 99 is not accepted: 100 to 50000"));
    tenant.quotas = Some([20, 30, 40, 50, 60, 70]);
    assert_eq!(fleet.permits(&tenant), Ok(()));
    tenant.least_days = Some(6);
    assert!(refused(tenant).starts_with("least_days 6 is not accepted: at least 7"));
}

#[test]
fn the_usual_settings_are_good_and_those_out_of_bounds_are_named() {
    assert_eq!(WarmupSettings::default().check(), Ok(()));
    type Change = fn(&mut WarmupSettings);
    let changes: [(&str, Change); 7] = [
        ("quotas[0]", |one| one.quotas[0] = 19),
        ("quotas[3]", |one| one.quotas[3] = 249),
        ("target", |one| one.target = 50_001),
        ("target", |one| one.target = 1_999),
        ("least_days", |one| one.least_days = 0),
        ("pause_blocks", |one| one.pause_blocks = 2_001),
        ("used_days", |one| one.used_days = 8),
    ];
    for (field, change) in changes {
        let mut settings = WarmupSettings::default();
        change(&mut settings);
        assert_eq!(settings.check().unwrap_err().field, field);
    }
}

fn any_tenant() -> impl Strategy<Value = TenantWarmup> {
    let some = || prop::option::of(prop_oneof![0..20_u32, 0..3_000_u32, 0..60_000_u32]);
    let quotas = prop::option::of(prop::array::uniform6(0..3_000_u32));
    let first = (quotas, some(), some(), some(), some(), some());
    let second = (some(), some(), some(), some(), some(), some());
    (first, second).prop_map(|(a, b)| TenantWarmup {
        quotas: a.0,
        least_days: a.1,
        target: a.2,
        growth_percent: a.3,
        used_percent: a.4,
        used_days: a.5,
        pause_bounces: b.0,
        pause_complaints: b.1,
        pause_blocks: b.2,
        stop_bounces: b.3,
        stop_complaints: b.4,
        stop_blocks: b.5,
        ..TenantWarmup::default()
    })
}

proptest! {
    #[test]
    fn what_holds_for_a_tenant_is_never_looser_than_the_fleets(tenant in any_tenant()) {
        let fleet = WarmupSettings::default();
        let own = fleet.tightened(&tenant);
        for (own, fleet) in own.quotas.iter().zip(fleet.quotas) {
            prop_assert!(*own <= fleet);
        }
        prop_assert!(own.target <= fleet.target && own.growth_percent <= fleet.growth_percent);
        prop_assert!(own.least_days >= fleet.least_days && own.used_days >= fleet.used_days);
        prop_assert!(own.pause_bounces <= fleet.pause_bounces && own.stop_blocks <= fleet.stop_blocks);
        prop_assert!(own.pause_complaints <= own.stop_complaints);
        // What is permitted can be followed.
        prop_assert!(fleet.permits(&tenant).is_err() || own.check().is_ok());
    }
}
