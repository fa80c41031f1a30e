//! Whether a stretch goes on where its file's cursor stands.

use email_engine_protocol::observed::Stretch;

use crate::state::HostAccounting;

pub(super) fn follows(host: &HostAccounting, stretch: &Stretch) -> bool {
    if stretch.to < stretch.from {
        return false;
    }
    match (host.files.get(&stretch.file), stretch.instead_of) {
        (Some(known), None) => stretch.from == known.at,
        // The file lost what stood before the cursor: what was counted stays counted. It may end where
        // the cursor stood, so that the place alone does not tell whether it was counted already.
        (Some(known), Some(given_up)) => {
            let is_counted = known.at == stretch.to && known.mark == stretch.mark;
            given_up == known.at && !is_counted
        }
        (None, None) => stretch.from == 0 && !is_forgotten(host, stretch),
        (None, Some(_)) => false,
    }
}

/// Files that are not above the floor of their stem were counted once.
fn is_forgotten(host: &HostAccounting, stretch: &Stretch) -> bool {
    let Some(stem) = stretch.file.stem() else {
        return true;
    };
    let floor = host.floors.get(stem);
    floor.is_some_and(|floor| stretch.file.order() <= (floor.len(), &floor[..]))
}
