//! `raise-version`.

use crate::command::RejectionCode::Version;
use crate::command::refuse::refuse;
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{RaiseVersion, Rejection};
use crate::state::FleetState;

impl Verb for RaiseVersion {
    fn name(&self) -> &'static str {
        "raise-version"
    }

    fn object(&self) -> String {
        format!("cluster version {}", self.version)
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        let current = state.cluster.as_ref().map_or(0, |cluster| cluster.version);
        if self.version == current {
            return Ok(Change::NONE);
        }
        if self.version != current + 1 {
            let accepted = format!("{}, one above the current one", current + 1);
            return Err(refuse(Version, "version", &self.version, accepted));
        }
        let old = state
            .voters()
            .find(|node| node.supports_version < self.version);
        if let Some(node) = old {
            let accepted = format!(
                "a version that every voter supports; node {} supports up to {}",
                node.id, node.supports_version
            );
            return Err(refuse(Version, "version", &self.version, accepted));
        }
        if let Some(cluster) = &mut state.cluster {
            cluster.version = self.version;
        }
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::MemberRole;
    use email_engine_protocol::id::NodeId;

    use crate::command::fixture::Fleet;
    use crate::command::{Command, Effect, RaiseVersion, RejectionCode, SetNode};

    #[test]
    fn it_is_raised_by_one_when_every_voter_supports_it() {
        let mut fleet = Fleet::founded();
        let raise = |version| Command::RaiseVersion(RaiseVersion { version });
        let rejection = fleet.refuse(raise(2));
        assert_eq!(rejection.code, RejectionCode::Version);
        assert!(
            rejection.accepted.ends_with("node 1 supports up to 1"),
            "{rejection}"
        );
        fleet.accept(Command::SetNode(SetNode {
            node: NodeId(1),
            role: MemberRole::Voter,
            endpoints: None,
            supports_version: Some(3),
        }));
        assert_eq!(fleet.refuse(raise(3)).code, RejectionCode::Version);
        fleet.accept(raise(2));
        assert_eq!(fleet.accept(raise(2)).effect, Effect::Unchanged);
        assert_eq!(fleet.refuse(raise(1)).code, RejectionCode::Version);
    }
}
