//! What one tenant or one host has in the place of what all have, and beside it.

use email_engine_coordinator::planner::plan;
use email_engine_protocol::id::{HostId, Role};

use crate::fixture::{Fleet, texts};

const CRON: &str = "/etc/cron.d/mailwizz";

fn text(fleet: &Fleet, host: &str, path: &str) -> Option<String> {
    texts(&fleet.plan(host)).remove(path)
}

/// The MailWizz hosts of both tenants.
fn hosts(fleet: &Fleet) -> [String; 2] {
    let hosts = fleet.state.hosts.iter();
    let mailwizz = hosts.filter(|(_, host)| host.spec.role == Role::Mailwizz);
    let mut ids: Vec<_> = mailwizz
        .map(|(id, host)| (host.spec.tenant.clone(), id.to_string()))
        .collect();
    ids.sort();
    let ids: Vec<_> = ids.into_iter().map(|(_, id)| id).collect();
    ids.try_into().expect("one for each tenant")
}

#[test]
fn a_template_of_a_tenant_or_a_host_stands_in_the_place_of_that_of_all() {
    let before = Fleet::two_tenants();
    let [one, two] = hosts(&before);
    let tenant = before.state.hosts[&HostId::new(one.clone()).unwrap()]
        .spec
        .tenant
        .clone()
        .unwrap();
    let of_tenant = format!("overrides/tenants/{tenant}/mailwizz/cron.j2");
    let fleet = before
        .clone()
        .with_file(&of_tenant, "# of {{ values.web_user }}\n");
    let cron = text(&fleet, &one, CRON).unwrap();
    assert!(cron.ends_with("# of www-data\n"), "{cron}");
    assert_eq!(text(&fleet, &two, CRON), text(&before, &two, CRON));

    let of_host = format!("overrides/hosts/{one}/mailwizz/cron.j2");
    let fleet = fleet.with_file(&of_host, "# of this host\n");
    let cron = text(&fleet, &one, CRON).unwrap();
    assert!(cron.ends_with("# of this host\n"), "{cron}");
}

#[test]
fn entries_of_an_operator_stand_beside_those_of_the_role_and_so_do_values() {
    let before = Fleet::two_tenants();
    let [one, two] = hosts(&before);
    let extra = "[values]\nweb_user = \"nginx\"\n\n[[file]]\npath = \"/etc/motd\"\n\
                 template = \"mailwizz/motd.j2\"\nmode = \"0644\"\non_remove = \"delete\"\n";
    let path = |file: &str| format!("overrides/hosts/{one}/mailwizz/{file}");
    let fleet = before
        .clone()
        .with_file(&path("extra.toml"), extra)
        .with_file(&path("motd.j2"), "run as {{ values.web_user }}\n");
    assert_eq!(text(&fleet, &one, "/etc/motd").unwrap(), "run as nginx\n");
    assert!(text(&fleet, &one, CRON).unwrap().contains(" nginx "));
    let count = |fleet: &Fleet, host: &str| fleet.plan(host).config.resources.len();
    assert_eq!(count(&fleet, &one), count(&before, &one) + 1);
    assert_eq!(count(&fleet, &two), count(&before, &two));
}

#[test]
fn an_entry_that_the_role_has_already_is_refused_and_both_files_are_named() {
    let fleet = Fleet::sos_holidays();
    let mut hosts = fleet.state.hosts.values().map(|host| &host.spec);
    let id = hosts
        .find(|host| host.role == Role::Mailwizz)
        .unwrap()
        .id
        .clone();
    drop(hosts);
    let twice = "[[package]]\nname = \"cron\"\non_remove = \"leave\"\n";
    let fleet = fleet.with_file("mailwizz/extra.toml", twice);
    let refused = plan(&fleet.state, &id).unwrap_err().to_string();
    assert!(
        refused.contains("mailwizz/role.toml with mailwizz/extra.toml")
            && refused.contains("twice"),
        "{refused}"
    );
}
