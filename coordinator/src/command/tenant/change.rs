//! `change-tenant`.

use super::check::check;
use crate::command::refuse::not_found;
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{ChangeTenant, Rejection};
use crate::fleet::warmup;
use crate::state::FleetState;

impl Verb for ChangeTenant {
    fn name(&self) -> &'static str {
        "change-tenant"
    }

    fn object(&self) -> String {
        format!("tenant {}", self.tenant.id)
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        let spec = &self.tenant;
        let Some(current) = state.tenants.get(&spec.id) else {
            return Err(not_found("id", &spec.id, "tenant"));
        };
        if current == spec {
            return Ok(Change::NONE);
        }
        check(state, spec)?;
        let warms_up_otherwise = current.warmup != spec.warmup;
        state.lookup.remove_tenant(current);
        state.lookup.add_tenant(spec);
        state.tenants.insert(spec.id.clone(), spec.clone());
        if warms_up_otherwise {
            warmup::tighten(state, Some(&spec.id));
        }
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use crate::command::fixture::{Fleet, domain, identity, tenant};
    use crate::command::{AddIdentity, ChangeTenant, Command, Effect, RejectionCode};

    #[test]
    fn the_same_declaration_again_is_no_change() {
        let mut fleet = Fleet::with_identities(0);
        let mut spec = tenant("client-1");
        spec.name = "Another name".to_owned();
        let change = Command::ChangeTenant(ChangeTenant { tenant: spec });
        let revision = fleet.accept(change.clone()).revision;
        let again = fleet.accept(change);
        assert_eq!(
            (again.revision, again.effect),
            (revision, Effect::Unchanged)
        );
    }

    #[test]
    fn a_new_brand_domain_guards_from_then_on_and_a_dropped_one_no_more() {
        let mut fleet = Fleet::with_identities(0);
        let mut spec = tenant("client-1");
        spec.brand_domains.insert(domain("www.mail0.example.com"));
        fleet.accept(Command::ChangeTenant(ChangeTenant { tenant: spec }));
        let add = Command::AddIdentity(AddIdentity::of(identity(0)));
        assert_eq!(fleet.refuse(add.clone()).code, RejectionCode::BrandDomain);
        let tenant = tenant("client-1");
        fleet.accept(Command::ChangeTenant(ChangeTenant { tenant }));
        fleet.accept(add);
    }

    #[test]
    fn an_unknown_tenant_is_not_found() {
        let tenant = tenant("nobody");
        let rejection = Fleet::founded().refuse(Command::ChangeTenant(ChangeTenant { tenant }));
        assert_eq!(rejection.code, RejectionCode::NotFound);
    }
}
