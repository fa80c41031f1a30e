//! What a zone's primary server shows of the names that matter.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{Said, Stands, kind, owner_name, said};
use crate::dns::wanted::Wanted;
use crate::state::{Inventory, Mark, RecordKind};

/// A set of records: of one name and type.
pub type SetName = (String, RecordKind);

/// What was read. There is no half of it: whoever could not read one answer has none of this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenZone {
    /// Serial of the zone, which was the same before and after.
    pub serial: u32,
    /// Every set that was asked for, empty ones too.
    pub sets: BTreeMap<SetName, BTreeSet<Stands>>,
    /// Names that are other names' names.
    pub aliases: BTreeSet<String>,
    /// Names that are in zones of others, to which this one leads.
    pub elsewhere: BTreeSet<String>,
}

impl SeenZone {
    /// What stands there; none when it was not asked for.
    #[must_use]
    pub fn set(&self, name: &str, kind: RecordKind) -> Option<&BTreeSet<Stands>> {
        self.sets.get(&(name.to_owned(), kind))
    }

    /// Records of this cluster at a name, as its marks have it, and whether another cluster has some.
    pub(super) fn marks(&self, cluster: &str, name: &str) -> (BTreeSet<Mark>, bool) {
        let texts = self.set(&owner_name(name), RecordKind::Txt);
        let texts = texts.into_iter().flatten().filter_map(Stands::whole);
        let (mut ours, mut others) = (BTreeSet::new(), false);
        for text in texts {
            match said(cluster, &text) {
                Said::Ours(mark) => {
                    ours.insert(mark);
                }
                Said::Others => others = true,
                Said::Nothing => {}
            }
        }
        (ours, others)
    }
}

/// What has to be asked for a plan: the sets of all records that are wanted or were made, and their marks.
#[must_use]
pub fn questions(wanted: &[Wanted], made: &Inventory) -> BTreeSet<SetName> {
    let wishes = wanted.iter().map(|one| (&one.name, kind(&one.data)));
    let own = made.iter();
    let own = own.flat_map(|(name, marks)| marks.keys().map(move |mark| (name, mark.kind)));
    let mut asked = BTreeSet::new();
    for (name, kind) in wishes.chain(own) {
        asked.insert((name.clone(), kind));
        asked.insert((owner_name(name), RecordKind::Txt));
    }
    asked
}
