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
    /// It lets go of what a product consists of, and with it of all that serves it.
    #[error("no longer has {what}, and nobody allowed it (email-engine hosts allow-removal)")]
    Product {
        /// Which ones.
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
        Thing::Discard(_)
        | Thing::SqlScript(_)
        | Thing::Step(_)
        | Thing::Suspension(_)
        | Thing::Transaction(_) => false,
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
    if let Some(what) = products(inventory, config) {
        return Err(RemovalRefused::Product { what });
    }
    if gone.len() * 100 > owned * REMOVAL_PERCENT {
        return Err(RemovalRefused::Share {
            removed: gone.len(),
            owned,
        });
    }
    Ok(())
}

/// Archives and databases that would not be ours any more, whether they would stay or not: a name that
/// was taken from an artifact takes a whole part of a role along.
fn products(inventory: &Inventory, config: &HostConfig) -> Option<String> {
    let orphans = inventory.orphans(config).into_iter();
    let named: Vec<String> = orphans
        .filter_map(|(thing, _)| match thing {
            Thing::Archive(path) => Some(format!("archive {path}")),
            Thing::Database { engine, name, .. } => Some(format!("database {engine}/{name}")),
            _ => None,
        })
        .collect();
    (!named.is_empty()).then(|| named.join(" and "))
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::ContentHash;
    use email_engine_protocol::desired::{
        ArchiveForm, ArchiveSpec, ArtifactRef, HostPath, Resource, Spec,
    };

    use super::*;
    use crate::reconciler::plan::tests::{config, directory, file};
    use crate::resources::database_samples::database;

    fn files(range: std::ops::Range<u32>) -> Vec<Resource> {
        range.map(|at| file(&format!("/f/{at:03}"))).collect()
    }

    fn archive(path: &str) -> Resource {
        let mut made = directory(path);
        made.spec = Spec::Archive(ArchiveSpec {
            path: HostPath::new(path).unwrap(),
            artifact: ArtifactRef {
                sha256: ContentHash::of(b"x"),
                length: 1,
                pieces: vec![ContentHash::of(b"x")],
                secret: false,
            },
            form: ArchiveForm::Zip,
            strip: 0,
            mode: 0o755,
            owner: None,
            group: None,
            creates: None,
        });
        made
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
    fn a_product_that_is_let_go_needs_the_word_although_it_is_left_in_place() {
        let mut all = files(0..20);
        let mut database = database();
        database.on_remove = OnRemove::Leave;
        all.extend([archive("/srv/app"), database.clone()]);
        let mut inventory = Inventory::default();
        inventory.claim(&config(all));
        let mut bare = config(files(0..20));
        let refused = check_removal(&inventory, &bare).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "no longer has database mysql/shop and archive /srv/app, and nobody allowed it \
             (email-engine hosts allow-removal)"
        );
        bare.large_removal = true;
        assert_eq!(check_removal(&inventory, &bare), Ok(()));

        let mut kept = files(0..20);
        kept.extend([archive("/srv/app"), database]);
        assert_eq!(check_removal(&inventory, &config(kept)), Ok(()));
        let retired = HostConfig::retired(bare.cluster, bare.host, bare.role);
        assert_eq!(check_removal(&inventory, &retired), Ok(()));
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
