//! What was counted of mail, read from this node's series.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::PoisonError;
use std::time::Instant;

use email_engine_protocol::id::{ReceiverGroup, TenantId};
use email_engine_protocol::observed::{Counts, DayCounts};

use crate::raft::handle::{Cluster, StoreError};
use crate::raft::metric_names::QUERY_SECONDS;
use crate::state::{DAYS_KEPT, HOURS_KEPT_DAYS, Span, Subject};

/// Counts of some spans by group of receivers, oldest first; spans without mail are left out.
pub type SpanCounts = Vec<(Span, BTreeMap<ReceiverGroup, Counts>)>;

impl Cluster {
    /// The counts of one subject in these spans, days or hours. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn series(&self, subject: &Subject, spans: &[Span]) -> Result<SpanCounts, StoreError> {
        let doing = "reading series";
        let began = Instant::now();
        let store = &self.core().store;
        let store = store.read().unwrap_or_else(PoisonError::into_inner);
        let Some(store) = store.as_ref() else {
            let source = std::io::Error::other("this node is stopping");
            return Err(StoreError { doing, source });
        };
        let found = store.series().of(subject, spans.iter().copied());
        metrics::histogram!(QUERY_SECONDS, "query_type" => "series")
            .record(began.elapsed().as_secs_f64());
        found.map_err(|source| StoreError { doing, source })
    }

    /// Counts of an identity by UTC day (days since 1970-01-01), oldest first; days without mail are
    /// left out. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn day_counts(
        &self,
        tenant: &TenantId,
        address: IpAddr,
        days: RangeInclusive<u32>,
    ) -> Result<Vec<DayCounts>, StoreError> {
        let subject = Subject::Identity(tenant.clone(), address);
        let spans: Vec<_> = days.map(Span::Day).collect();
        let found = self.series(&subject, &spans)?.into_iter();
        Ok(found
            .filter_map(|(span, groups)| match span {
                Span::Day(day) => Some(DayCounts { day, groups }),
                Span::Hour(_) | Span::Whole => None,
            })
            .collect())
    }

    /// The last hour in which an identity sent something, or the last day when that is longer ago than
    /// hours are kept. `today` is a UTC day. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn last_sent(
        &self,
        tenant: &TenantId,
        address: IpAddr,
        today: u32,
    ) -> Result<Option<Span>, StoreError> {
        let subject = Subject::Identity(tenant.clone(), address);
        let first = today.saturating_sub(HOURS_KEPT_DAYS - 1) * 24;
        // One day ahead: a host's clock may be.
        let hours = first..today.saturating_add(2) * 24;
        let days = today.saturating_sub(DAYS_KEPT - 1)..=today.saturating_add(1);
        let has_sent = |groups: &BTreeMap<ReceiverGroup, Counts>| {
            groups.values().any(|counts| counts.sent > 0)
        };
        for spans in [
            hours.map(Span::Hour).collect::<Vec<_>>(),
            days.map(Span::Day).collect(),
        ] {
            let found = self.series(&subject, &spans)?;
            let last = found.iter().rev().find(|(_, groups)| has_sent(groups));
            if let Some((span, _)) = last {
                return Ok(Some(*span));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use email_engine_protocol::id::NodeId;

    use super::super::files::SnapshotFile;
    use super::super::replica::Image;
    use super::super::snapshot::{Stored, load_into, write_image};
    use crate::raft::store::{SeriesWrite, SlotState, Slots, Standing, Store};
    use crate::raft::types::LogId;
    use crate::state::{SeriesChange, SeriesKey};

    use super::*;

    fn open(folder: &Path) -> Store {
        let cluster = email_engine_protocol::id::ClusterId([1; 16]);
        let vote = folder.join("vote");
        let slots = if vote.exists() {
            Slots::open(&vote).unwrap()
        } else {
            Slots::create(&vote, SlotState::new(cluster, NodeId(1), None)).unwrap()
        };
        Store::open(&folder.join("rocksdb"), slots).unwrap().0
    }

    fn subject() -> Subject {
        Subject::Tenant(TenantId::new("client-1").unwrap())
    }

    const SPANS: [Span; 3] = [Span::Day(20), Span::Day(21), Span::Day(22)];

    /// One message more on each of three days, by this entry.
    fn count(store: &Store, entry: u64) -> bool {
        let counts = Counts {
            sent: 1,
            ..Counts::NONE
        };
        let rows = SPANS.map(|span| {
            let key = SeriesKey {
                span,
                subject: subject(),
                group: ReceiverGroup::other(),
            };
            (key, counts)
        });
        change(store, entry, SeriesChange::Add(rows.into()))
    }

    fn change(store: &Store, entry: u64, change: SeriesChange) -> bool {
        let write = store.series().resolve(entry, vec![change]).unwrap();
        write
            .map(|write| store.writer().write_series_blocking(write).unwrap())
            .is_some()
    }

    fn sent(store: &Store) -> Vec<u64> {
        let found = store.series().of(&subject(), SPANS.into_iter()).unwrap();
        let sent = |groups: &BTreeMap<_, Counts>| groups.values().map(|one| one.sent).sum();
        found.iter().map(|(_, groups)| sent(groups)).collect()
    }

    #[test]
    fn an_entry_that_is_applied_again_adds_nothing_and_old_spans_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        assert_eq!(store.series().standing().unwrap(), Standing::Empty);
        assert!(count(&store, 5));
        assert!(!count(&store, 5), "after a crash");
        assert!(!count(&store, 4));
        assert!(count(&store, 9));
        assert_eq!(sent(&store), [2, 2, 2]);
        let prune = SeriesChange::Prune { day: 21, hour: 0 };
        assert!(change(&store, 10, prune));
        assert_eq!(sent(&store), [2, 2]);
        assert_eq!(store.series().standing().unwrap(), Standing::At(10));
    }

    /// A snapshot of what this store has, whose last entry is the seventh.
    fn snapshot(giver: &Store, folder: &Path) -> SnapshotFile {
        let leader = openraft::impls::leader_id_adv::LeaderId {
            term: 1,
            node_id: 1,
        };
        let image = Image {
            last_applied: Some(LogId::new(leader, 7)),
            ..Image::default()
        };
        let series = giver.series();
        let rows = series.rows_after(image.index()).unwrap().unwrap();
        let none = |_: &_| unreachable!("it has no bodies");
        let written = write_image(Vec::new(), &image, none, rows).unwrap();
        let path = folder.join("a.snapshot");
        std::fs::write(&path, written).unwrap();
        SnapshotFile::open(path).unwrap()
    }

    #[test]
    fn a_snapshot_carries_the_series_of_its_last_entry_to_whoever_is_behind() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (giver, taker) = (open(from.path()), open(to.path()));
        for entry in 1..=6 {
            count(&giver, entry);
        }
        assert!(giver.series().rows_after(5).unwrap().is_none(), "too late");
        let snapshot = snapshot(&giver, to.path());
        // What it had before goes.
        count(&taker, 3);
        let (bodies, series, writer) = (taker.bodies(), taker.series(), taker.writer());
        let stored = Stored {
            bodies: &bodies,
            series: &series,
            writer: &writer,
        };
        load_into(&snapshot, stored).unwrap();
        assert_eq!(sent(&taker), [6, 6, 6]);
        assert_eq!(series.standing().unwrap(), Standing::At(7));
        // A node that is further keeps what it has, and its log brings what comes.
        assert!(!count(&taker, 7));
        assert!(count(&taker, 8));
        load_into(&snapshot, stored).unwrap();
        assert_eq!(sent(&taker), [7, 7, 7]);
    }

    #[test]
    fn what_a_crash_left_of_a_snapshot_is_never_taken_for_all_of_it() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let giver = open(from.path());
        for entry in 1..=6 {
            count(&giver, entry);
        }
        let snapshot = snapshot(&giver, to.path());
        let taker = open(to.path());
        count(&taker, 3);
        let given = giver.series();
        let rows = given.rows_after(6).unwrap().unwrap();
        let some = rows.into_iter().next().unwrap().unwrap().split_off(1);
        for write in [
            SeriesWrite {
                clear: true,
                is_loading: true,
                ..SeriesWrite::default()
            },
            SeriesWrite {
                put: some,
                ..SeriesWrite::default()
            },
        ] {
            taker.writer().write_series_blocking(write).unwrap();
        }
        let series = taker.series();
        assert_eq!(series.standing().unwrap(), Standing::Loading);
        assert!(series.of(&subject(), SPANS.into_iter()).is_err());
        assert!(series.rows_after(9).unwrap().is_none());
        assert!(series.resolve(9, Vec::new()).is_err());
        let (bodies, writer) = (taker.bodies(), taker.writer());
        let stored = Stored {
            bodies: &bodies,
            series: &series,
            writer: &writer,
        };
        load_into(&snapshot, stored).unwrap();
        assert_eq!(sent(&taker), [6, 6, 6]);
        assert_eq!(series.standing().unwrap(), Standing::At(7));
    }
}
