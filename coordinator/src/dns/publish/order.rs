//! In which order records come, and which of others make ours wrong.

use super::record::Stands;
use crate::dns::wanted::Part;
use crate::state::RecordKind;

/// Addresses come first, then what leads back, then who takes and who may send, keys, policies.
pub(super) const fn rank(part: Part) -> u8 {
    match part {
        Part::Address => 0,
        Part::Pointer => 1,
        Part::Exchanger => 2,
        Part::Spf => 3,
        Part::Dkim => 4,
        Part::Consent => 5,
        Part::Dmarc => 6,
    }
}

/// The same of a record that nobody wants any more.
pub(super) fn rank_of(name: &str, stands: &Stands) -> u8 {
    rank(match stands.kind() {
        RecordKind::A | RecordKind::Aaaa => Part::Address,
        RecordKind::Ptr => Part::Pointer,
        RecordKind::Mx => Part::Exchanger,
        RecordKind::Txt if name.contains("._domainkey.") => Part::Dkim,
        RecordKind::Txt if name.contains("_dmarc.") => Part::Dmarc,
        RecordKind::Txt => Part::Spf,
    })
}

/// Whether a record of the same name and type makes ours wrong: of these there may be one. A second exchanger
/// would take mail that is somebody else's.
pub(super) fn clashes(part: Part, other: &Stands) -> bool {
    let begins = |with: &str| {
        let text = other.whole().unwrap_or_default();
        text.to_ascii_lowercase().starts_with(with)
    };
    match part {
        Part::Address | Part::Pointer | Part::Exchanger | Part::Dkim => true,
        Part::Spf => begins("v=spf1"),
        Part::Dmarc | Part::Consent => begins("v=dmarc1"),
    }
}
