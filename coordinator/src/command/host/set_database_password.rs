//! `set-database-password`.

use serde::{Deserialize, Serialize};

use email_engine_protocol::bytes::Commitment;
use email_engine_protocol::id::HostId;
use email_engine_protocol::limits;

use crate::command::Rejection;
use crate::command::RejectionCode::{Duplicate, Invalid, WrongState};
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::state::{FleetState, SealedAtRest, StoredSecret};

/// See [`Command::SetDatabasePassword`](crate::command::Command::SetDatabasePassword).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetDatabasePassword {
    /// On which host the database is.
    pub host: HostId,
    /// Its engine and name, such as `mysql/mailwizz`.
    pub database: String,
    /// Commits to salt and bytes.
    pub commitment: Commitment,
    /// Salt and bytes, sealed.
    pub sealed: SealedAtRest,
}

impl Verb for SetDatabasePassword {
    fn name(&self) -> &'static str {
        "set-database-password"
    }

    fn object(&self) -> String {
        format!("host {} (database {})", self.host, self.database)
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(host) = state.live_host(&self.host) else {
            return Err(not_found("host", &self.host, "host"));
        };
        if !state.passwords_wanted(host).contains(&self.database) {
            let accepted = "a database with a password in the host's role file";
            return Err(refuse(WrongState, "database", &self.database, accepted));
        }
        let id = FleetState::database_secret(&self.host, &self.database);
        let id = id.ok_or_else(|| refuse(Invalid, "database", &self.database, "a shorter name"))?;
        if let Some(current) = state.secrets.get(&id) {
            if current.commitment == self.commitment {
                return Ok(Change::NONE);
            }
            let accepted = "a database without a password yet";
            return Err(refuse(Duplicate, "database", &self.database, accepted));
        }
        let sealed = self.sealed.ciphertext.len() + self.sealed.wrapped_key.len();
        at_most("sealed", sealed, limits::SECRET_BYTES)?;
        if state.lookup.commitments.contains(&self.commitment) {
            let accepted = "a password that is nobody's yet";
            return Err(refuse(Duplicate, "commitment", &self.host, accepted));
        }
        // The number that this change gets: a host that is declared anew has another one than before.
        let version = u32::try_from(state.revision + 1)
            .map_err(|_| refuse(Invalid, "version", &state.revision, "fewer changes"))?;
        let secret = StoredSecret {
            id,
            version,
            commitment: self.commitment,
            sealed: self.sealed.clone(),
        };
        state.put_secret(secret);
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::Role;

    use super::*;
    use crate::command::fixture::{Fleet, SECOND, host_id, submission};
    use crate::command::{Command, Effect, RetireHost};

    fn password(number: u8, change: impl FnOnce(&mut SetDatabasePassword)) -> Command {
        let mut set = submission::password(number);
        change(&mut set);
        Command::SetDatabasePassword(Box::new(set))
    }

    fn declared() -> Fleet {
        let mut fleet = Fleet::with_identities(0);
        submission::with_database(&mut fleet.state);
        fleet.declare("api1", Role::Api, 2);
        fleet
    }

    fn versions(fleet: &Fleet) -> Vec<u32> {
        let secrets = fleet.state.secrets.values();
        secrets.map(|secret| secret.version).collect()
    }

    #[test]
    fn a_database_gets_one_password_and_is_told_twice_without_harm() {
        let mut fleet = declared();
        let missing = |fleet: &Fleet| fleet.state.passwords_missing().count();
        assert_eq!(missing(&fleet), 1);
        fleet.accept(password(1, |_| ()));
        assert_eq!(missing(&fleet), 0);
        assert_eq!(fleet.accept(password(1, |_| ())).effect, Effect::Unchanged);
        let rejection = fleet.refuse(password(2, |_| ()));
        assert_eq!(rejection.code, Duplicate, "two leaders");
    }

    #[test]
    fn what_fits_no_host_is_refused_by_field() {
        type Change = fn(&mut SetDatabasePassword);
        let changes: [(&str, Change); 4] = [
            ("host", |set| set.host = host_id("nobody")),
            ("database", |set| set.host = host_id("pmta1")),
            ("database", |set| set.database = "mysql/other".to_owned()),
            ("sealed", |set| set.sealed.ciphertext = vec![0; 100_000]),
        ];
        for (field, change) in changes {
            assert_eq!(declared().refuse(password(1, change)).field, field);
        }
    }

    #[test]
    fn it_goes_with_its_host_and_the_next_one_has_another_version() {
        let mut fleet = declared();
        fleet.accept(password(1, |_| ()));
        let first = versions(&fleet);
        fleet.accept(Command::RetireHost(RetireHost {
            host: host_id("api1"),
            grace_millis: SECOND,
        }));
        assert!(versions(&fleet).is_empty());
        fleet.declare("api1", Role::Api, 2);
        fleet.accept(password(2, |_| ()));
        assert!(versions(&fleet)[0] > first[0]);
    }
}
