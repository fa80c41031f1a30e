//! The codes, by the names that rules call them by. A number is never given to something else.

use std::fmt;

use super::table::{Rule, rules};

/// A code such as `PM201`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code(pub(super) u16);

impl Code {
    /// The code of a text such as `PM201`, whatever its case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text
            .get(..2)
            .filter(|head| head.eq_ignore_ascii_case("pm"))
            .map(|_| &text[2..])?;
        let code = Self(digits.parse().ok().filter(|_| digits.len() == 3)?);
        rules().contains_key(&code).then_some(code)
    }

    /// What it stands for.
    #[must_use]
    pub fn rule(self) -> &'static Rule {
        &rules()[&self]
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PM{:03}", self.0)
    }
}

macro_rules! codes {
    ($($name:ident = $number:literal)*) => {
        $(pub(in crate::powermta) const $name: Code = Code($number);)*
        #[cfg(test)]
        pub(super) const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    SYNTAX = 1
    UNKNOWN_DIRECTIVE = 2
    WRONG_PLACE = 3
    WRONG_COUNT = 4
    WRONG_VALUE = 5
    UNKNOWN_SECTION = 6
    SECTION_ARGUMENT = 7
    BRACES = 8
    OPEN_QUOTE = 9
    COMMENT_IN_EXPRESSION = 10
    CUT_VALUE = 11
    KEYWORD_CASE = 12
    CLOSING_ARGUMENT = 13
    CONTINUATION = 14
    SEVERAL_PATTERNS = 15
    DOMAIN_TWICE = 16
    RELATIVE_INCLUDE = 17
    INCLUDE_UNREAD = 18
    INCLUDE_NOTHING = 19
    RESERVED_NAME = 20
    REPEATED = 21
    VERBATIM = 22
    VERBATIM_MARK = 23
    UNKNOWN_MACRO = 24
    MACRO_LOOP = 25

    INVENTED = 101
    POOL_WEIGHT = 102
    DEPRECATED = 103
    UNVERIFIED = 104
    TOO_NEW = 105
    REMOVED_FORM = 106
    RATE_MULTIPLE = 107
    RATE_PER_DAY = 108
    RESTART_NEEDED = 109
    QUEUE_LOST = 110

    HOST_BEFORE_ADDRESS = 201
    KEY_PARTS = 202
    NO_SOURCE_HOST = 203
    NAME_CLASH = 204
    MEMBER_UNKNOWN = 205
    TWO_POOLS = 206
    MEMBER_TWICE = 207
    VMTA_UNKNOWN = 208
    COLD_WITHOUT_PARTNER = 209
    PARTNER_WITHOUT_LIMIT = 210
    CATCH_ALL_KEY_FIRST = 211
    NOT_SIGNED = 212
    NO_KEY = 213
    HEADERS_UNSIGNED = 214
    PROXY_UNKNOWN = 215
    POOL_ROUTED = 216
    PARENT_KEY_FIRST = 217

    LIST_AFTER_SOURCE = 301
    LIST_UNKNOWN = 302
    LIST_LINE = 303
    NO_REJECT_LINE = 304
    UNREACHABLE_LINE = 305
    OPEN_RELAY = 306
    HEADER_CROSSES = 307
    HEADER_KEPT = 308
    FALLBACK_UNUSED = 309
    FIRST_RECIPIENT = 310
    HEADER_ANCHOR = 311
    SOURCE_UNKNOWN = 312
    DSN_NOT_SUPPRESSED = 313
    SECRET_ALPHABET = 314
    NO_CERTIFICATE = 315

    NO_WAY_BACK = 401
    REPLY_LIST_UNKNOWN = 402
    ACTIONS_CONFLICT = 403
    REPLY_SHADOWED = 404
    REPLY_TOO_BROAD = 405
    ROLLUP_WITHOUT_HOSTS = 406
    ROLLUP_NAME = 407
    QUEUE_WITHOUT_HOSTS = 408
    TLS_REQUIRED_AND_OFF = 409
    IDLE_TOO_LONG = 410
    TOO_MANY_STEPS = 411
    NO_FUSE = 412
    TOO_MANY_CONNECTIONS = 413
    SOURCE_STAYS_DISABLED = 414
    ROLLUP_WITHOUT_SECTION = 415

    NO_POSTMASTER = 501
    NO_LOG_FILE = 502
    NO_SPOOL = 503
    MANAGEMENT_OPEN = 504
    NO_LISTENER = 505
    SUBMISSION_EVERYWHERE = 506
    PROCESSOR_NOT_RELAYED = 507
    CATEGORIES_WITHOUT_END = 508
    CATEGORY_UNKNOWN = 509
    RELAYS_ALL = 510

    PIPE_ALONE = 601
    MOVE_INTERVAL_UNUSED = 602
    ACCOUNTING_SIZE = 603
    DELETE_AFTER_UNUSED = 604

    SUPPRESSION_UNKNOWN = 701
    SUPPRESSION_LARGE = 702
}
