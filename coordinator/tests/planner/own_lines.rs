//! What operators bring in themselves: rules for another version, and lines that nobody knows.

use email_engine_coordinator::planner::PlanError;
use email_engine_protocol::api::IpStatus;
use email_engine_protocol::desired::{BarSpec, Spec};
use proptest::prelude::*;

use crate::fixture::{Fleet, texts};

const BASE: &str = "powermta/base.toml";
const EXTRA: &str = "powermta/extra.conf";

/// A base whose one receiver has a rate.
pub(crate) fn base(rate: &str) -> String {
    format!(
        "checked = \"2026-11-21\"\norigin = \"an earlier configuration\"\n[[provider]]\n\
         name = \"own\"\ntitle = \"Own\"\nchecked = \"2026-11-21\"\ndomains = [\"example.net\"]\n\
         settings = {{ max-msg-rate = \"{rate}\" }}\n"
    )
}

#[test]
fn a_rate_that_4_5_does_not_know_is_refused_there_and_planned_elsewhere() {
    for (rate, code) in [("83/10m", "PM107"), ("500/d", "PM108")] {
        let fleet = Fleet::sos_holidays().with_file(BASE, &base(rate));
        let text = &texts(&fleet.plan("pmta1"))["/etc/pmta/config"];
        assert!(text.contains(&format!("    max-msg-rate {rate}\n")));
        let refused = fleet.labelled("powermta-version", "4.5").refusal();
        assert!(
            matches!(refused, PlanError::OtherVersion { .. }),
            "{refused}"
        );
        let told = refused.to_string();
        let begin = format!(
            "host pmta1 has PowerMTA 4.5, which does not know \"max-msg-rate {rate}\" of {BASE}: "
        );
        assert!(told.starts_with(&begin) && told.contains(code), "{told}");
    }
    let fleet = Fleet::sos_holidays().with_file(BASE, &base("20/h"));
    let planned = fleet.labelled("powermta-version", "4.5").plan("pmta1");
    assert!(texts(&planned)["/etc/pmta/config"].contains("    max-msg-rate 20/h\n"));
}

#[test]
fn lines_that_meet_what_is_ours_or_open_a_relay_are_refused_by_their_place() {
    let shipped = "<source 198.51.100.10>\n    pattern-list senders-sos-holidays\n</source>\n";
    for (extra, line, said) in [
        (
            "# one more\n<virtual-mta VMTA-MAIL1>\n    smtp-source-host 192.0.2.9 a.example.com\n</virtual-mta>\n",
            2,
            "as vmta-mail1",
        ),
        (
            "<virtual-mta-pool Vmta-Mail2>\n</virtual-mta-pool>\n",
            1,
            "as vmta-mail2",
        ),
        (
            "<pattern-list senders-sos-holidays>\n    mail-from /x/ virtual-mta=vmta-mail1\n</pattern-list>\n",
            1,
            "as senders-sos-holidays",
        ),
        (shipped, 1, "as 198.51.100.10"),
        (
            "\n<source 0/0>\n    always-allow-relaying yes\n</source>\n",
            2,
            "as 0/0",
        ),
        (
            "<source 203/8>\n    always-allow-relaying yes\n</source>\n",
            1,
            "(PM306)",
        ),
        ("log-rotate 9\nrelay-domain *\n", 2, "(PM510)"),
    ] {
        let told = Fleet::sos_holidays()
            .with_file(EXTRA, extra)
            .refusal()
            .to_string();
        assert!(
            told.starts_with(&format!("role bundle: {EXTRA} line {line}: ")),
            "{told}"
        );
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn a_source_that_relays_for_nobody_knows_whom_is_flagged_and_so_are_errors() {
    let flags = |extra: &str| {
        Fleet::sos_holidays()
            .with_file(EXTRA, extra)
            .plan("pmta1")
            .flags
    };
    let relay = flags("<source 203.0.113.7>\n    always-allow-relaying yes\n</source>\n");
    assert_eq!(relay.len(), 2, "{relay:?}");
    assert!(
        relay[0].contains("3 lines") && relay[1].contains("source 203.0.113.7"),
        "{relay:?}"
    );
    let open = flags("http-access 0/0 admin\n");
    assert!(open.len() == 2 && open[1].contains("PM504"), "{open:?}");
    let named =
        flags("<virtual-mta own>\n    smtp-source-host 192.0.2.9 a.example.com\n</virtual-mta>\n");
    assert_eq!(named.len(), 1, "{named:?}");
}

#[test]
fn a_bundle_writes_no_configuration_of_its_own_in_place_of_the_planners() {
    let role = Fleet::sos_holidays()
        .state
        .bundles
        .values()
        .next()
        .unwrap()
        .files["powermta/role.toml"]
        .clone();
    let made = "generated = \"powermta-config\"";
    let theirs = role.replacen(
        &format!("path = \"/etc/pmta/config\"\n{made}"),
        "path = \"/etc/pmta/config\"\ntemplate = \"powermta/own.tpl\"",
        1,
    );
    assert_ne!(theirs, role);
    let fleet = Fleet::sos_holidays()
        .with_file(
            "powermta/own.tpl",
            "<source 0/0>\n    always-allow-relaying yes\n</source>\n",
        )
        .with_file("powermta/role.toml", &theirs);
    let told = fleet.refusal().to_string();
    assert!(
        told.contains("powermta/role.toml")
            && told.contains("/etc/pmta/config is made by the planner"),
        "{told}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Neither a panic nor a plan that the product would read otherwise than it was meant.
    #[test]
    fn whatever_lines_an_operator_has_they_are_refused_or_stand_behind_ours(extra in "[ -~\n]{0,80}") {
        let fleet = Fleet::sos_holidays();
        let plain = texts(&fleet.plan("pmta1"))["/etc/pmta/config"].clone();
        let plain: Vec<&str> = plain.lines().skip(2).collect();
        let host = "pmta1".parse().unwrap();
        let state = fleet.with_file(EXTRA, &extra).state;
        if let Ok(planned) = email_engine_coordinator::planner::plan(&state, &host) {
            let text = texts(&planned)["/etc/pmta/config"].clone();
            let ours: Vec<&str> = text.lines().skip(2).take(plain.len()).collect();
            prop_assert_eq!(ours, plain);
        }
    }
}

#[test]
fn an_address_in_quarantine_is_barred_from_every_port_that_lines_lead_to() {
    let lines = "<domain one.example>\n    default-smtp-port 2525\n</domain>\n\
                 <domain two.example>\n    route [192.0.2.200]:587\n</domain>\n";
    let mut fleet = Fleet::sos_holidays().with_file(EXTRA, lines);
    let address = "192.0.2.3".parse().unwrap();
    let identity = fleet.state.identities.get_mut(&address).unwrap();
    std::sync::Arc::make_mut(identity).spec.status = IpStatus::Quarantine;
    let planned = fleet.plan("pmta1");
    let mut all = planned.config.resources.iter();
    let bars = all.find_map(|one| match &one.spec {
        Spec::Suspension(spec) => Some(spec.bars.clone()),
        _ => None,
    });
    let ports = vec![25, 587, 2525];
    assert_eq!(bars, Some(vec![BarSpec { address, ports }]));
}
