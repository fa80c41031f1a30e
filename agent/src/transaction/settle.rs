//! The state that is enforced while a transaction's content is held back: the one that is wanted,
//! with the good content in the place of the wanted one.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::desired::{HostConfig, Policy, Resource, Spec};
use email_engine_protocol::id::ResourceId;

use super::content::Content;

/// Contents that are kept in the place of those that are held back, by transaction. Where none is
/// known to be good, the members are left alone.
pub type Keeps = BTreeMap<ResourceId, Option<Content>>;

/// Puts what is kept into a state.
#[must_use]
pub fn settle(config: &HostConfig, keeps: &Keeps) -> HostConfig {
    let mut resources: BTreeMap<ResourceId, Resource> = config
        .resources
        .iter()
        .map(|resource| (resource.id.clone(), resource.clone()))
        .collect();
    for (id, kept) in keeps {
        let Some(Spec::Transaction(spec)) = resources.get(id).map(|one| one.spec.clone()) else {
            continue;
        };
        match kept
            .as_ref()
            .filter(|kept| fits(&resources, &spec.members, kept))
        {
            Some(kept) => {
                for member in &spec.members {
                    resources.remove(member);
                }
                let mut spec = spec;
                spec.members = kept.members.iter().map(|one| one.id.clone()).collect();
                for member in &kept.members {
                    resources.insert(member.id.clone(), member.clone());
                }
                if let Some(resource) = resources.get_mut(id) {
                    resource.spec = Spec::Transaction(spec);
                }
            }
            None => {
                for member in &spec.members {
                    if let Some(member) = resources.get_mut(member) {
                        member.policy = Policy::Hold;
                    }
                }
            }
        }
    }
    HostConfig {
        resources: resources.into_values().collect(),
        ..config.clone()
    }
}

/// Whether nobody else of the state has what the kept members claim.
fn fits(
    resources: &BTreeMap<ResourceId, Resource>,
    members: &[ResourceId],
    kept: &Content,
) -> bool {
    let members: BTreeSet<&ResourceId> = members.iter().collect();
    let others = resources.values().filter(|one| !members.contains(&one.id));
    let taken: BTreeSet<_> = others.filter_map(|one| one.spec.path()).collect();
    kept.members.iter().all(|member| {
        let own_id = members.contains(&member.id) || !resources.contains_key(&member.id);
        own_id && member.spec.path().is_none_or(|path| !taken.contains(path))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{pair, transaction};
    use super::*;
    use crate::reconciler::plan::tests::{config, directory, file};

    #[test]
    fn kept_members_stand_in_for_the_wanted_ones() {
        let wanted = config(vec![
            file("/b"),
            file("/c"),
            directory("/d"),
            pair(&["/b", "/c"]),
        ]);
        let before = config(vec![file("/a"), file("/b"), pair(&["/a", "/b"])]);
        let kept = Content::wanted(&before, transaction(&before));
        let id = pair(&[]).id;
        let settled = settle(&wanted, &Keeps::from([(id.clone(), Some(kept.clone()))]));
        settled.check().unwrap();
        let ids: Vec<&str> = settled
            .resources
            .iter()
            .map(|one| one.id.as_str())
            .collect();
        assert_eq!(
            ids,
            ["directory:/d", "file:/a", "file:/b", "transaction:pair"]
        );
        assert_eq!(
            Content::wanted(&settled, transaction(&settled)).members,
            kept.members
        );
        // With nothing that is known to be good, nobody touches the members.
        let left = settle(&wanted, &Keeps::from([(id, None)]));
        let held = left
            .resources
            .iter()
            .filter(|one| one.policy == Policy::Hold);
        assert_eq!(held.count(), 2);
        assert_eq!(left.resources.len(), wanted.resources.len());
    }

    #[test]
    fn a_place_that_somebody_else_has_now_is_not_fought_for() {
        let before = config(vec![file("/a"), pair(&["/a"])]);
        let kept = Content::wanted(&before, transaction(&before));
        let mut other = directory("/a");
        other.id = ResourceId::new("directory:other").unwrap();
        let wanted = config(vec![other, file("/b"), pair(&["/b"])]);
        let settled = settle(&wanted, &Keeps::from([(pair(&[]).id, Some(kept))]));
        let ids: Vec<&str> = settled
            .resources
            .iter()
            .map(|one| one.id.as_str())
            .collect();
        assert_eq!(ids, ["directory:other", "file:/b", "transaction:pair"]);
    }
}
