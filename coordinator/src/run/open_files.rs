//! How many files and connections this process may have open.
//!
//! The soft limit is what old programs can bear that count descriptors in a fixed table; the hard one
//! is what the machine's keeper allows. This program needs the latter: its store and its API would else
//! meet the limit while there is room.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one and says both; that it cannot is no reason not to run.
pub(super) fn allow_all() {
    let before = getrlimit(Resource::Nofile);
    let (soft, hard) = (shown(before.current), shown(before.maximum));
    let wanted = raised(before);
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => tracing::info!(
            soft,
            hard,
            "open files: the soft limit is raised to the hard one"
        ),
        Err(error) => tracing::warn!(soft, hard, %error, "open files: the soft limit stays"),
    }
}

const fn raised(limit: Rlimit) -> Rlimit {
    Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    }
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        allow_all();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current, now.maximum);
        let lower = Rlimit {
            current: Some(16),
            maximum: Some(64),
        };
        assert_eq!(raised(lower).current, Some(64));
    }
}
