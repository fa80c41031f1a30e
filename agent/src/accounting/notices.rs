//! What an operator should know, counted until a day passed without.

use email_engine_protocol::limits;
use email_engine_protocol::observed::MailNotice;
use email_engine_protocol::time::Timestamp;

/// Notes that it happened once more. Records come almost in order of time; one of a day before what
/// is counted is history.
pub fn note(notice: &mut Option<MailNotice>, at: Timestamp, of: &str) {
    let known = notice.take_if(|known| at.since(known.last) < MailNotice::ENDS_AFTER);
    let mut known = known.unwrap_or_else(|| MailNotice {
        count: 0,
        since: at,
        last: at,
        of: of.to_owned(),
        most: Vec::new(),
    });
    if known.since.since(at) < MailNotice::ENDS_AFTER {
        known.count = known.count.saturating_add(1);
        known.since = known.since.min(at);
        if at >= known.last {
            known.last = at;
            of.clone_into(&mut known.of);
        }
        rank(&mut known.most, of);
    }
    *notice = Some(known);
}

/// The rarest one makes place for a new name: counts are never too high, and of what is frequent never
/// wrong.
fn rank(most: &mut Vec<(String, u64)>, of: &str) {
    match most.iter_mut().find(|(name, _)| name == of) {
        Some((_, count)) => *count = count.saturating_add(1),
        None => {
            most.truncate(limits::NOTICE_NAMES - 1);
            most.push((of.to_owned(), 1));
        }
    }
    most.sort_by(|(one, few), (other, many)| many.cmp(few).then_with(|| one.cmp(other)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_counted_from_the_first_one_after_a_day_without() {
        let mut notice = None;
        for (at, of) in [(5, "b"), (9, "a"), (7, "b")] {
            note(&mut notice, Timestamp(at * Timestamp::HOUR), of);
        }
        let seen = notice.clone().unwrap();
        assert_eq!((seen.count, &seen.of[..]), (3, "a"));
        assert_eq!(seen.since, Timestamp(5 * Timestamp::HOUR));
        assert_eq!(seen.most, [("b".to_owned(), 2), ("a".to_owned(), 1)]);
        let next = Timestamp(33 * Timestamp::HOUR);
        note(&mut notice, next, "c");
        let seen = notice.clone().unwrap();
        assert_eq!((seen.count, seen.since, seen.last), (1, next, next));
        note(&mut notice, Timestamp(1), "old");
        assert_eq!(notice.unwrap(), seen);
    }

    #[test]
    fn names_without_number_cost_a_bounded_list_that_keeps_the_frequent_ones() {
        let mut notice = None;
        for at in 0..500 {
            note(&mut notice, Timestamp(at), "often");
            note(&mut notice, Timestamp(at), &format!("once-{at}"));
        }
        let notice = notice.unwrap();
        assert_eq!(notice.count, 1000);
        assert_eq!(notice.most.len(), limits::NOTICE_NAMES);
        assert_eq!(notice.most[0], ("often".to_owned(), 500));
    }
}
