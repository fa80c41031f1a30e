//! What holds whatever stands in DNS.

use email_engine_protocol::api::DnsVerdict;
use proptest::prelude::*;

use super::{World, at, spf_in, told};
use crate::dns::verdict::Reply;

fn any_world() -> impl Strategy<Value = World> {
    let text = prop_oneof![
        "v=spf1( (\\+|-|~|\\?)?(all|a|mx|ptr|ip4:192\\.0\\.2\\.[0-9]|include:(a|b)\\.test|a:(a|b)\\.test/[0-9]{1,2}|exists:%\\{[a-z][0-9]?r?\\}\\.test|redirect=(a|b)\\.test)){0,6}",
        "v=DMARC1; p=(none|reject|x)(; (pct|t|psd|rua)=[a-z:@!.0-9]{0,9}){0,3}",
        "v=DKIM1; (k=rsa; )?(t=y; )?p=[A-Za-z0-9 ]{0,20}",
        ".{0,40}",
    ];
    let names = prop::sample::select(vec![
        "mail1.example.com",
        "example.com",
        "a.test",
        "b.test",
        "mail._domainkey.mail1.example.com",
        "_dmarc.mail1.example.com",
        "_dmarc.example.com",
        "_dmarc.com",
    ]);
    prop::collection::vec((names, text), 0..10).prop_map(|all| {
        all.into_iter()
            .fold(World::default(), |world, (name, text)| {
                world.text(name, &text)
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever stands in DNS, there is an end of questions and a verdict of every record, whose texts fit
    /// into a command.
    #[test]
    fn every_world_has_an_end(world in any_world()) {
        let seen = world.seen();
        prop_assert_eq!(seen.len(), 6);
        for verdict in seen.values() {
            let text = told(verdict);
            prop_assert!(text.chars().count() < 3_000);
            prop_assert!(!text.chars().any(char::is_control), "{}", text);
        }
    }

    /// A server that does not answer turns nothing valid and nothing invalid.
    #[test]
    fn what_cannot_be_read_is_unknown_and_never_wrong(world in any_world()) {
        let whole = world.seen();
        let silent = || Reply::Unreadable { why: "is silent".to_owned() };
        let dark = world.seen_by(|_, _| vec![silent()]);
        for verdict in dark.values() {
            let is_unknown = matches!(verdict, DnsVerdict::Unknown { .. });
            prop_assert!(is_unknown);
        }
        let half = world.seen_by(|_, reply| vec![reply, silent()]);
        for (part, verdict) in &half {
            let wanted = match whole[part].is_valid() {
                Some(false) => Some(false),
                _ => None,
            };
            prop_assert_eq!(verdict.is_valid(), wanted);
        }
    }

    /// What a receiver never reads does no harm.
    #[test]
    fn a_record_that_is_ours_passes_whatever_stands_behind_it(rest in "( (a|mx|ptr|include:a\\.test)){0,12}") {
        let world = at("a.test", "v=spf1 -all");
        let record = format!("v=spf1 ip4:192.0.2.1{rest} -all");
        prop_assert_eq!(spf_in(world, &record), "valid");
    }
}
