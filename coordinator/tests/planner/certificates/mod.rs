//! Certificates, as a role file and labels of a host name them.

use email_engine_coordinator::planner::PlanError;
use email_engine_protocol::desired::{CertificateKey, CertificateSource, CertificateSpec, Spec};
use email_engine_protocol::id::HostId;

use crate::fixture::Fleet;

const ROLE: &str = "mailwizz/role.toml";
const HOST: &str = "mailwizz1";

/// What a role that serves the web needs: nothing of it is there on a host without `web-names`.
const WEB: &str = r#"
[[certificate]]
name = "web"
path = "/etc/email-engine/mailwizz/tls"
domains = ["{{ web.names }}"]
group = "www-data"
directory = "{{ web.acme_directory }}"
contact = "{{ web.acme_contact }}"
agreed = "{{ web.acme_terms }}"
webroot = "/var/www/email-engine-acme"
on_remove = "delete"
notify = ["service:nginx.service"]

[[service]]
unit = "nginx.service"
on_notify = "reload"
on_remove = "leave"
"#;

fn with(more: &str, labels: &[(&str, &str)]) -> Fleet {
    let files = email_engine_coordinator::planner::builtin_bundle();
    let mut fleet = Fleet::sos_holidays().with_file(ROLE, &format!("{}\n{more}", files[ROLE]));
    let host = fleet
        .state
        .hosts
        .get_mut(&HostId::new(HOST).unwrap())
        .unwrap();
    let labels = labels
        .iter()
        .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()));
    host.spec.labels.extend(labels);
    fleet
}

fn planned(labels: &[(&str, &str)]) -> Option<CertificateSpec> {
    let planned = with(WEB, labels).plan(HOST);
    let mut resources = planned.config.resources.iter();
    let found = resources.find(|one| one.id.as_str() == "certificate:web")?;
    assert_eq!(found.notify[0].as_str(), "service:nginx.service");
    let Spec::Certificate(spec) = &found.spec else {
        panic!("a certificate");
    };
    Some(spec.clone())
}

#[test]
fn labels_say_what_a_web_server_is_called_and_who_agreed_to_what() {
    assert_eq!(planned(&[]), None, "without a name there is none");
    let spec = planned(&[("web-names", "mail.example.com, www.example.com")]).unwrap();
    assert_eq!(spec.domains, ["mail.example.com", "www.example.com"]);
    let CertificateSource::Acme(acme) = &spec.source else {
        panic!("asked for");
    };
    assert_eq!(
        acme.directory,
        "https://acme-v02.api.letsencrypt.org/directory"
    );
    assert_eq!((acme.contact.as_deref(), acme.agreed), (None, false));
    assert_eq!(acme.key, CertificateKey::EcdsaP256);

    let all = [
        ("web-names", "mail.example.com"),
        ("acme-terms", "agreed"),
        ("acme-directory", "https://acme.example.net:14000/dir"),
        ("acme-contact", "ops@example.com"),
    ];
    let spec = planned(&all).unwrap();
    let CertificateSource::Acme(acme) = &spec.source else {
        panic!("asked for");
    };
    assert_eq!(acme.directory, "https://acme.example.net:14000/dir");
    assert_eq!(
        (acme.contact.as_deref(), acme.agreed),
        (Some("ops@example.com"), true)
    );
}

#[test]
fn what_cannot_be_asked_for_is_refused_with_field_and_value() {
    for (labels, field, value) in [
        (
            &[("web-names", "*.example.com")][..],
            "domains",
            "*.example.com",
        ),
        (
            &[("web-names", "a.example.com"), ("acme-terms", "yes")],
            "agreed",
            "yes",
        ),
        (
            &[
                ("web-names", "a.example.com"),
                ("acme-directory", "http://acme.example.net/"),
            ],
            "directory",
            "http://acme",
        ),
        (
            &[("web-names", "a.example.com"), ("acme-contact", "ops")],
            "contact",
            "ops",
        ),
    ] {
        let refused = with(WEB, labels).refusal_of(HOST).to_string();
        assert!(
            refused.contains(field) && refused.contains(value),
            "{refused}"
        );
    }
    let neither = WEB.replace("directory = \"{{ web.acme_directory }}\"", "");
    let refused = with(&neither, &[]).refusal_of(HOST);
    assert!(matches!(refused, PlanError::Bundle(_)), "{refused}");
    assert!(
        refused
            .to_string()
            .contains("neither artifact nor directory"),
        "{refused}"
    );
    let unnamed = WEB.replace(
        "webroot = \"/var/www/email-engine-acme\"",
        "artifact = \"own\"",
    );
    let refused = with(&unnamed, &[]).refusal_of(HOST);
    assert!(
        matches!(refused, PlanError::UnnamedArtifact { .. }),
        "{refused}"
    );
}
