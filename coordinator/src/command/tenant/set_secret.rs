//! `set-secret`.

use email_engine_protocol::api::AccessRole;
use email_engine_protocol::bytes::{Commitment, SecretHash};
use email_engine_protocol::id::ApiKeyId;
use email_engine_protocol::limits;
use serde::{Deserialize, Serialize};

use crate::command::RejectionCode::{AlreadyExists, Duplicate, Invalid, WrongState};
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Rejection, RejectionCode};
use crate::state::{
    ApiKey, FleetState, HostSecret, SealedAtRest, SecretOf, StoredSecret, metrics_key_prefix,
};

/// See [`Command::SetSecret`](crate::command::Command::SetSecret).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetSecret {
    /// Whose, and which.
    pub of: SecretOf,
    /// Made by the cluster, because a host's role wants it: it takes no other's place.
    pub made: bool,
    /// Commits to salt and bytes.
    pub commitment: Commitment,
    /// Salt and bytes, sealed.
    pub sealed: SealedAtRest,
    /// The API key that it is, for one that reads metrics.
    pub key: Option<(ApiKeyId, SecretHash)>,
}

impl Verb for SetSecret {
    fn name(&self) -> &'static str {
        "set-secret"
    }

    fn object(&self) -> String {
        format!("secret of {}", self.of)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let id = self.of.id();
        self.is_somebodys(state)?;
        if let Some(current) = state.secrets.get(&id) {
            if current.commitment == self.commitment {
                return Ok(Change::NONE);
            }
            if self.made {
                return Err(refuse(
                    Duplicate,
                    "of",
                    &self.of,
                    "a secret that is missing",
                ));
            }
        }
        let sealed = self.sealed.ciphertext.len() + self.sealed.wrapped_key.len();
        at_most("sealed", sealed, limits::SECRET_BYTES)?;
        if state.lookup.commitments.contains(&self.commitment) {
            let accepted = "a secret that is nobody's yet";
            return Err(refuse(Duplicate, "commitment", &self.of, accepted));
        }
        let key = self.key(state, turn)?;
        // The number that this change gets: it grows, whatever was forgotten meanwhile.
        let version = u32::try_from(state.revision + 1)
            .map_err(|_| refuse(Invalid, "version", &state.revision, "fewer changes"))?;
        let secret = StoredSecret {
            id,
            version,
            commitment: self.commitment,
            sealed: self.sealed.clone(),
        };
        state.put_secret(secret);
        state.api_keys.extend(key.map(|key| (key.id.clone(), key)));
        Ok(Change::DONE)
    }
}

impl SetSecret {
    /// Its owner is there, and whoever sets it may.
    fn is_somebodys(&self, state: &FleetState) -> Result<(), Rejection> {
        match &self.of {
            SecretOf::Tenant(tenant, _) if !state.tenants.contains_key(tenant) => {
                return Err(not_found("tenant", tenant, "tenant"));
            }
            SecretOf::Host(host, _) if state.live_host(host).is_none() => {
                return Err(not_found("host", host, "host"));
            }
            SecretOf::Host(..) if !self.made => {
                let accepted = "a secret of a tenant: those of hosts are made by the cluster";
                return Err(refuse(Invalid, "of", &self.of, accepted));
            }
            SecretOf::List(_) if self.made => {
                let accepted = "a secret of a tenant or host: keys of lists are given by an admin";
                return Err(refuse(Invalid, "of", &self.of, accepted));
            }
            SecretOf::Host(..) | SecretOf::List(_) | SecretOf::Tenant(..) => {}
        }
        let is_there = || state.secrets.contains_key(&self.of.id());
        if self.made && !is_there() && !state.wants_secret(&self.of) {
            let accepted = "a secret that the role file of a host wants";
            return Err(refuse(WrongState, "of", &self.of, accepted));
        }
        Ok(())
    }

    /// The API key that comes with it.
    fn key(&self, state: &FleetState, turn: &Turn<'_>) -> Result<Option<ApiKey>, Rejection> {
        let SecretOf::Host(host, HostSecret::MetricsKey) = &self.of else {
            return match &self.key {
                None => Ok(None),
                Some((id, _)) => Err(refuse(Invalid, "key", id, "none: this is no API key")),
            };
        };
        let Some((id, secret)) = &self.key else {
            return Err(refuse(Invalid, "key", &self.of, "the API key that it is"));
        };
        if !id.as_str().starts_with(&metrics_key_prefix(host)) {
            let accepted = format!("a name that begins with {}", metrics_key_prefix(host));
            return Err(refuse(Invalid, "key", id, accepted));
        }
        if state.api_keys.contains_key(id) {
            let code: RejectionCode = AlreadyExists;
            return Err(refuse(code, "key", id, "a name that no key has"));
        }
        Ok(Some(ApiKey {
            id: id.clone(),
            secret: *secret,
            role: AccessRole::Metrics,
            tenant: None,
            created_at: turn.now(),
            revoked_at: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::TenantSecret;
    use email_engine_protocol::id::{HostId, Role, TenantId};

    use super::*;
    use crate::command::fixture::{Fleet, SECOND, host_id, submission};
    use crate::command::{Command, Effect, RemoveTenant, RetireHost, RevokeApiKey};

    fn declared() -> Fleet {
        let mut fleet = Fleet::with_identities(0);
        submission::with_secrets(&mut fleet.state);
        fleet.declare("api1", Role::Api, 2);
        fleet
    }

    fn tenant_id() -> TenantId {
        TenantId::new("client-1").unwrap()
    }

    fn missing(fleet: &Fleet) -> Vec<String> {
        let missing: Vec<_> = fleet.state.secrets_missing().collect();
        assert!(missing.iter().all(|of| fleet.state.wants_secret(of)));
        missing.iter().map(|of| of.id().to_string()).collect()
    }

    fn set(number: u8, of: SecretOf, made: bool) -> Command {
        Command::SetSecret(Box::new(submission::secret(number, of, made)))
    }

    fn of_tenant(name: TenantSecret) -> SecretOf {
        SecretOf::Tenant(tenant_id(), name)
    }

    fn of_host(name: HostSecret) -> SecretOf {
        SecretOf::Host(host_id("api1"), name)
    }

    #[test]
    fn what_a_role_wants_is_made_once() {
        let mut fleet = declared();
        assert_eq!(
            missing(&fleet),
            [
                "tenant/client-1/api-key",
                "host/api1/grafana-admin",
                "host/api1/metrics-key"
            ]
        );
        let of = of_tenant(TenantSecret::ApiKey);
        fleet.accept(set(1, of.clone(), true));
        assert_eq!(missing(&fleet).len(), 2);
        let again = fleet.accept(set(1, of.clone(), true));
        assert_eq!(again.effect, Effect::Unchanged);
        assert_eq!(
            fleet.refuse(set(2, of, true)).code,
            Duplicate,
            "two leaders"
        );
        let unwanted = of_tenant(TenantSecret::MailwizzApiKey);
        assert_eq!(fleet.refuse(set(3, unwanted, true)).code, WrongState);
    }

    #[test]
    fn what_an_operator_gives_takes_the_place_of_what_was_and_has_a_greater_version() {
        let mut fleet = declared();
        let of = of_tenant(TenantSecret::MailwizzApiKey);
        fleet.accept(set(1, of.clone(), false));
        let first = fleet.state.secrets[&of.id()].version;
        fleet.accept(set(2, of.clone(), false));
        assert!(fleet.state.secrets[&of.id()].version > first);
        let other = of_tenant(TenantSecret::ApiKey);
        assert_eq!(
            fleet.refuse(set(2, other, false)).code,
            Duplicate,
            "shared bytes"
        );
        fleet.refuse(set(5, of_host(HostSecret::GrafanaAdmin), false));
    }

    #[test]
    fn what_fits_nobody_is_refused_by_field() {
        type Change = fn(&mut SetSecret);
        let changes: [(&str, Change); 4] = [
            ("tenant", |set| {
                set.of = SecretOf::Tenant(TenantId::new("nobody").unwrap(), TenantSecret::ApiKey);
            }),
            ("host", |set| {
                let nobody = HostId::new("nobody").unwrap();
                set.of = SecretOf::Host(nobody, HostSecret::MetricsKey);
            }),
            ("sealed", |set| set.sealed.ciphertext = vec![0; 100_000]),
            ("key", |set| {
                let id = ApiKeyId::new("metrics-api1-00000001").unwrap();
                set.key = Some((id, SecretHash([1; 32])));
            }),
        ];
        for (field, change) in changes {
            let mut set = submission::secret(1, of_tenant(TenantSecret::ApiKey), true);
            change(&mut set);
            let rejection = declared().refuse(Command::SetSecret(Box::new(set)));
            assert_eq!(rejection.field, field);
        }
    }

    #[test]
    fn a_metrics_key_reads_metrics_alone_and_a_revoked_one_is_made_anew() {
        let mut fleet = declared();
        let of = of_host(HostSecret::MetricsKey);
        fleet.accept(set(1, of.clone(), true));
        let key = fleet
            .state
            .api_keys
            .values()
            .find(|key| key.role == AccessRole::Metrics);
        let key = key.unwrap().id.clone();
        assert!(AccessRole::Metrics < AccessRole::Viewer);
        fleet.accept(Command::RevokeApiKey(RevokeApiKey { id: key }));
        assert!(!fleet.state.secrets.contains_key(&of.id()));
        fleet.accept(set(2, of, true));
        fleet.accept(Command::RetireHost(RetireHost {
            host: host_id("api1"),
            grace_millis: SECOND,
        }));
        let keys = fleet.state.api_keys.values();
        let mut keys = keys.filter(|key| key.role == AccessRole::Metrics);
        assert!(
            keys.all(|key| key.revoked_at.is_some()),
            "it went with its host"
        );
    }

    #[test]
    fn a_tenants_secrets_go_with_it() {
        let mut fleet = Fleet::with_identities(0);
        fleet.accept(set(1, of_tenant(TenantSecret::MailwizzApiKey), false));
        let tenant = tenant_id();
        fleet.accept(Command::RemoveTenant(RemoveTenant { tenant }));
        assert!(fleet.state.secrets.is_empty());
    }
}
