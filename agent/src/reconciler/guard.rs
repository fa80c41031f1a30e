//! What a state may not do without the operator's word: take much away, or take data along.

use email_engine_protocol::desired::{HostConfig, OnRemove};

use crate::inventory::{Inventory, Item, Thing};

/// Share of the owned resources that a state may remove without the operator's word.
pub const REMOVAL_PERCENT: usize = 30;

/// A state that removes too much.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemovalRefused {
    /// It removes something that bears data.
    #[error(
        "removes {what}, which bears data, and nobody allowed it (email-engine hosts allow-removal)"
    )]
    Data {
        /// What it is.
        what: String,
    },
    /// It removes too many.
    #[error(
        "removes {removed} of {owned} owned resources, over {REMOVAL_PERCENT} %, and nobody allowed \
         it (email-engine hosts allow-removal)"
    )]
    Share {
        /// How many would go.
        removed: usize,
        /// How many there are.
        owned: usize,
    },
}

/// Judges what a state would remove.
///
/// # Errors
/// When it is too much and the operator did not allow it.
pub fn check_removal(inventory: &Inventory, config: &HostConfig) -> Result<(), RemovalRefused> {
    if config.large_removal {
        return Ok(());
    }
    // These take nothing off the host: suspensions above all end by themselves, all at once perhaps.
    let counts = |thing: &Thing, item: &Item| match thing {
        Thing::Step(_) | Thing::Suspension(_) | Thing::Transaction(_) => false,
        // A row that is switched off stays.
        Thing::SqlRow { .. } => item.on_remove == OnRemove::Delete,
        _ => true,
    };
    let owned = inventory
        .iter()
        .filter(|(thing, item)| counts(thing, item))
        .count();
    let gone: Vec<(Thing, Item)> = inventory
        .orphans(config)
        .into_iter()
        .filter(|(thing, item)| counts(thing, item) && item.on_remove != OnRemove::Leave)
        .collect();
    if let Some((Thing::Archive(path) | Thing::Directory(path), _)) =
        gone.iter().find(|(thing, item)| {
            matches!(thing, Thing::Archive(_) | Thing::Directory(_))
                && item.on_remove == OnRemove::Delete
        })
    {
        return Err(RemovalRefused::Data {
            what: format!("directory {path}"),
        });
    }
    if gone.len() * 100 > owned * REMOVAL_PERCENT {
        return Err(RemovalRefused::Share {
            removed: gone.len(),
            owned,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconciler::plan::tests::{config, directory, file};

    fn files(range: std::ops::Range<u32>) -> Vec<email_engine_protocol::desired::Resource> {
        range.map(|at| file(&format!("/f/{at:03}"))).collect()
    }

    #[test]
    fn up_to_thirty_percent_may_go_and_more_needs_the_word() {
        let mut inventory = Inventory::default();
        inventory.claim(&config(files(0..10)));
        assert_eq!(check_removal(&inventory, &config(files(0..7))), Ok(()));
        let mut few = config(files(0..6));
        let refused = check_removal(&inventory, &few).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "removes 4 of 10 owned resources, over 30 %, and nobody allowed it \
             (email-engine hosts allow-removal)"
        );
        few.large_removal = true;
        assert_eq!(check_removal(&inventory, &few), Ok(()));
    }

    #[test]
    fn one_folder_that_would_be_deleted_is_enough() {
        let mut spool = directory("/spool");
        spool.on_remove = OnRemove::Delete;
        let mut all = files(0..20);
        all.push(spool);
        let mut inventory = Inventory::default();
        inventory.claim(&config(all));
        assert!(matches!(
            check_removal(&inventory, &config(files(0..20))),
            Err(RemovalRefused::Data { .. })
        ));
    }

    #[test]
    fn what_is_left_in_place_is_not_removed() {
        let mut all = files(0..10);
        for resource in &mut all {
            resource.on_remove = OnRemove::Leave;
        }
        let mut inventory = Inventory::default();
        inventory.claim(&config(all));
        assert_eq!(check_removal(&inventory, &config(Vec::new())), Ok(()));
    }
}
