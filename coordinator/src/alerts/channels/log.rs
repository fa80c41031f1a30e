//! The log of the node that leads.

use email_engine_protocol::api::{Occasion, Severity};

use crate::alerts::rules::Letter;

pub(super) fn write(letter: &Letter) {
    for notice in &letter.notices {
        let (id, kind) = (&*notice.id, notice.kind.as_str());
        let text = notice.text.join(" ");
        let title = &*notice.title;
        let severity = match notice.occasion {
            Occasion::Raised => notice.severity,
            Occasion::Resolved => Severity::Info,
        };
        let over = notice.occasion == Occasion::Resolved;
        match severity {
            Severity::Critical => tracing::error!(alert = id, kind, over, text, "{title}"),
            Severity::Warning => tracing::warn!(alert = id, kind, over, text, "{title}"),
            Severity::Info => tracing::info!(alert = id, kind, over, text, "{title}"),
        }
    }
}
