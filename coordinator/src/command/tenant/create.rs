//! `create-tenant`.

use super::check::check;
use crate::command::refuse::{at_most, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{CreateTenant, Rejection, RejectionCode};
use crate::state::FleetState;

/// Most tenants of one fleet.
const TENANTS: usize = 20_000;

impl Verb for CreateTenant {
    fn name(&self) -> &'static str {
        "create-tenant"
    }

    fn object(&self) -> String {
        format!("tenant {}", self.tenant.id)
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        let spec = &self.tenant;
        if state.tenants.contains_key(&spec.id) {
            let accepted = "a tenant id that is not in use";
            return Err(refuse(
                RejectionCode::AlreadyExists,
                "id",
                &spec.id,
                accepted,
            ));
        }
        at_most("tenants", state.tenants.len() + 1, TENANTS)?;
        check(state, spec)?;
        state.lookup.add_tenant(spec);
        state.tenants.insert(spec.id.clone(), spec.clone());
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::TenantSpec;
    use email_engine_protocol::id::Role;
    use email_engine_protocol::mail::MailAddress;

    use crate::command::fixture::{Fleet, domain, host, identity, tenant};
    use crate::command::{
        AddHost, AddIdentity, ChangeTenant, Command, CreateTenant, RejectionCode,
    };
    use crate::state::HOST_NAME_LABEL;

    fn create(spec: TenantSpec) -> Command {
        Command::CreateTenant(CreateTenant { tenant: spec })
    }

    #[test]
    fn a_tenant_is_created_once() {
        let mut fleet = Fleet::founded();
        fleet.accept(create(tenant("client-1")));
        let rejection = fleet.refuse(create(tenant("client-1")));
        assert_eq!(rejection.code, RejectionCode::AlreadyExists);
    }

    #[test]
    fn a_sending_domain_or_what_lies_below_it_cannot_become_a_brand_domain() {
        let mut fleet = Fleet::with_identities(1);
        for brand in ["mail0.example.com", "www.mail0.example.com"] {
            let mut spec = tenant("client-9");
            spec.brand_domains.insert(domain(brand));
            let rejection = fleet.refuse(create(spec));
            assert_eq!(rejection.code, RejectionCode::BrandDomain);
            assert!(
                rejection
                    .accepted
                    .contains("mail0.example.com is a sending domain")
            );
        }
        let mut spec = tenant("client-9");
        spec.brand_domains.insert(domain("example.com"));
        fleet.accept(create(spec));
    }

    #[test]
    fn a_mailbox_whose_mail_would_come_to_the_fleet_is_refused_from_every_side() {
        let mut fleet = Fleet::with_identities(1);
        let with = |name: &str, mailbox: &str| TenantSpec {
            inbound_mailbox: Some(MailAddress::new(mailbox).unwrap()),
            ..tenant(name)
        };
        let named = |host_name: &str| {
            let mut host = host("pmta2", Role::Powermta, 2);
            let name = (HOST_NAME_LABEL.to_owned(), host_name.to_owned());
            host.labels.extend([name]);
            Command::AddHost(AddHost { host })
        };
        fleet.accept(create(with("client-2", "in@mail1.example.com")));
        let refusals = [
            (
                create(with("client-9", "in@mail0.example.com")),
                "inbound_mailbox",
            ),
            (Command::AddIdentity(AddIdentity::of(identity(1))), "domain"),
            (named("Mail1.example.com"), "labels.host-name"),
        ];
        for (command, field) in refusals {
            let rejection = fleet.refuse(command);
            let found = (rejection.code, rejection.field.as_str());
            assert_eq!(found, (RejectionCode::Invalid, field), "{rejection}");
            assert!(
                rejection.accepted.contains("would come back"),
                "{rejection}"
            );
            assert!(!rejection.to_string().contains("client-2"), "{rejection}");
        }
        fleet.accept(named("pmta2.example.org"));
        let rejection = fleet.refuse(create(with("client-9", "in@pmta2.example.org")));
        assert!(
            rejection.accepted.contains("is a host's name"),
            "{rejection}"
        );
        // What has it no more stands in nobody's way.
        let tenant = tenant("client-2");
        fleet.accept(Command::ChangeTenant(ChangeTenant { tenant }));
        fleet.accept(fleet.stock(1));
        fleet.accept(Command::AddIdentity(AddIdentity::of(identity(1))));
    }

    #[test]
    fn two_tenants_share_no_domain_and_the_holder_is_not_named() {
        let mut fleet = Fleet::founded();
        let mut spec = tenant("client-1");
        spec.link_domains.insert(domain("click.example.com"));
        fleet.accept(create(spec.clone()));
        spec.id = tenant("client-2").id;
        let rejection = fleet.refuse(create(spec));
        assert_eq!(rejection.code, RejectionCode::Duplicate);
        assert!(!rejection.to_string().contains("client-1"), "{rejection}");
    }

    #[test]
    fn a_name_with_a_line_break_is_refused() {
        let mut spec = tenant("client-1");
        spec.name = "Client\nOne".to_owned();
        let rejection = Fleet::founded().refuse(create(spec));
        assert_eq!(
            (rejection.code, rejection.field.as_str()),
            (RejectionCode::Invalid, "name")
        );
    }
}
