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
    use crate::command::fixture::{Fleet, domain, tenant};
    use crate::command::{Command, CreateTenant, RejectionCode};

    fn create(spec: email_engine_protocol::api::TenantSpec) -> Command {
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
