//! Bounds of everything that is read from the network, in one list.

/// Largest frame on a message stream, in bytes, its 4-byte length not counted.
pub const FRAME_BYTES: usize = 1024 * 1024;
/// Largest content body (a rendered file, a manifest), in bytes.
pub const BODY_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of one chunk of a body on its stream.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of one piece of an artifact; only the last one may be shorter.
pub const ARTIFACT_PIECE_BYTES: u64 = 1024 * 1024;
/// Largest artifact that any setting allows, in bytes: what is asked of a host and of the log is bounded.
pub const ARTIFACT_BYTES: u64 = 4096 * ARTIFACT_PIECE_BYTES;
/// Largest secret, in bytes: an RSA-4096 key in PEM fits thrice.
pub const SECRET_BYTES: usize = 16 * 1024;
/// Most resources in one host's desired state.
pub const RESOURCES_PER_HOST: usize = 300_000;
/// Most secrets in one host's desired state: one DKIM key per identity.
pub const SECRETS_PER_HOST: usize = 100_000;
/// Secrets that fit one `Secrets` message; a host with more is sent several.
pub const SECRETS_PER_MESSAGE: usize = 128;
/// Resources whose status one report carries; those that are not converged come first.
pub const STATUSES_PER_REPORT: usize = 500;
/// Names that are to go of which one report says what they still hold.
pub const DRAINS_PER_REPORT: usize = 256;
/// Longest name of something that drains, and longest reason why that is not known, in bytes.
pub const DRAIN_BYTES: usize = 255;
/// Time limit of a step that names none, in seconds.
pub const STEP_DEFAULT_SECONDS: u32 = 300;
/// Longest time limit of a step, in seconds; a longer one is cut to it.
pub const STEP_SECONDS: u32 = 3600;
/// Time limit of a probe that names none, in seconds.
pub const PROBE_DEFAULT_SECONDS: u32 = 10;
/// Longest time limit of a probe, in seconds; a longer one is cut to it.
pub const PROBE_SECONDS: u32 = 300;
/// Most probes of one transaction.
pub const PROBES: usize = 64;
/// Longest time for which a probe may have to stay right, in seconds.
pub const STEADY_SECONDS: u32 = 60;
/// Bytes of a page that a probe looks at, the first ones.
pub const PAGE_BYTES: usize = 1024 * 1024;
/// Health checks of a host.
pub const HEALTH_CHECKS: usize = 64;
/// Most probes of one health check.
pub const HEALTH_PROBES: usize = 16;
/// Shortest time from one asking of a health check to the next, in seconds.
pub const HEALTH_INTERVAL_LEAST: u32 = 5;
/// The longest, in seconds.
pub const HEALTH_INTERVAL_MOST: u32 = 3600;
/// Most wrong answers in a row that a health check may wait for.
pub const HEALTH_ATTEMPTS: u32 = 20;
/// Longest time limit of a probe of a health check, in seconds.
pub const HEALTH_SECONDS: u32 = 60;
/// Most expectations of one probe, and most refusing texts of one command.
pub const EXPECTATIONS: usize = 256;
/// Longest expected text, pointer or restart line, in bytes.
pub const EXPECTED_BYTES: usize = 1024;
/// Most lines of one transaction that only a restart brings into force.
pub const RESTART_LINES: usize = 64;
/// Most halts of one suspension.
pub const HALTS: usize = 16;
/// Most addresses that one suspension bars.
pub const BARS: usize = 16;
/// Most ports that are barred for one address.
pub const BARRED_PORTS: usize = 16;
/// Largest answer of a command that a probe understands, in bytes.
pub const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Largest list of what is thrown away that is written down, in bytes: some hundred thousand recipients.
pub const DISCARDED_BYTES: usize = 64 * 1024 * 1024;
/// Addresses that one resource puts on an interface.
pub const ADDRESSES_PER_INTERFACE: usize = 4096;
/// Columns of one part of a row that a resource keeps.
pub const SQL_COLUMNS: usize = 64;
/// Bytes of all columns of such a row.
pub const SQL_ROW_BYTES: usize = 64 * 1024;
/// Tables that one script touches.
pub const SQL_TABLES: usize = 16;
/// Longest text of the columns of a table of its own, in bytes.
pub const SQL_COLUMNS_BYTES: usize = 4096;
/// Statements of one script.
pub const SQL_STATEMENTS: usize = 16;
/// Longest statement or question of a script, in bytes.
pub const SQL_STATEMENT_BYTES: usize = 16 * 1024;
/// Scripts of a host that tell something.
pub const TELLING_SCRIPTS: usize = 2;
/// Variables that a script is given.
pub const SQL_GIVEN: usize = 16;
/// Bytes of all of them: names of 50,000 identities.
pub const SQL_GIVEN_BYTES: usize = 4 * 1024 * 1024;
/// Rows that one resource tells in a report.
pub const TOLD_ROWS: usize = 64;
/// Texts of one such row.
pub const TOLD_COLUMNS: usize = 3;
/// Longest of them, in characters.
pub const TOLD_CHARS: usize = 200;
/// Rules of a host's firewall.
pub const FIREWALL_RULES: usize = 128;
/// Its sets of networks.
pub const FIREWALL_SETS: usize = 64;
/// Networks in all of its sets.
pub const FIREWALL_NETWORKS: usize = 4096;
/// Sets that one rule names for senders, and for receivers.
pub const FIREWALL_SETS_OF_RULE: usize = 8;
/// Ranges of ports of one rule.
pub const FIREWALL_PORTS: usize = 16;
/// Certificates of a host.
pub const CERTIFICATES: usize = 64;
/// Names of one certificate.
pub const CERTIFICATE_NAMES: usize = 100;
/// Largest chain with its key in PEM, in bytes.
pub const PAIR_BYTES: usize = 128 * 1024;
/// Package repositories of a host.
pub const REPOSITORIES: usize = 32;
/// Addresses, suites, components and architectures of one, each.
pub const REPOSITORY_WORDS: usize = 16;
/// Largest key of a package repository, in bytes of its armour.
pub const REPOSITORY_KEY_BYTES: usize = 64 * 1024;
/// File systems that the facts of a report list, the largest ones.
pub const DISKS_PER_REPORT: usize = 64;
/// Addresses that the facts of a report list, the lowest ones.
pub const ADDRESSES_PER_REPORT: usize = 4096;
/// Longest text of a fact, in bytes.
pub const FACT_BYTES: usize = 255;
/// Longest text of a reason or diff in a report, in bytes.
pub const REASON_BYTES: usize = 1024;
/// Largest join token, in characters.
pub const TOKEN_CHARS: usize = 4096;
/// Largest certificate request or certificate, in bytes of DER.
pub const CERTIFICATE_BYTES: usize = 8 * 1024;
/// Most coordinator end points an agent remembers.
pub const ENDPOINTS: usize = 16;
/// Largest request body of the HTTP API, in bytes.
pub const REQUEST_BYTES: usize = 16 * 1024 * 1024;
/// Most rows of one batch of statistics: identities by hours and groups of receivers.
pub const STATISTICS_ROWS: usize = 2048;
/// Most DKIM keys that are held ahead of need.
pub const PREPARED_KEYS: usize = 10_000;
/// Most rows of replies that name a list in one batch of statistics: identities by lists.
pub const REPLY_ROWS: usize = 256;
/// Longest sample of a reply, in characters.
pub const REPLY_CHARS: usize = 240;
/// Most names by which replies are known to speak of lists.
pub const LIST_NAMES: usize = 256;
/// Longest of them, in characters.
pub const LIST_NAME_CHARS: usize = 120;
/// Most bytes of an accounting file that one batch of statistics covers.
pub const STATISTICS_BYTES: u64 = 64 * 1024 * 1024;
/// Most applications that are told of what stands in accounting files.
pub const ACCOUNTING_POSTS: usize = 1024;
/// Most accounting files that a desired state names.
pub const ACCOUNTING_FILES: usize = 8;
/// Most accounting files of a host whose cursors are remembered.
pub const ACCOUNTING_CURSORS: usize = 1024;
/// Most stems of accounting files that are remembered of a host: those of today, and of earlier
/// configurations.
pub const ACCOUNTING_STEMS: usize = 64;
/// Longest name of an accounting file, in bytes.
pub const ACCOUNTING_NAME_BYTES: usize = 255;
/// Most groups of receivers that an agent tells apart.
pub const RECEIVER_GROUPS: usize = 256;
/// Most domains of all of them.
pub const RECEIVER_DOMAINS: usize = 4096;
/// Names that a notice counts apart.
pub const NOTICE_NAMES: usize = 16;
/// Longest name in a notice, in bytes.
pub const NOTICE_BYTES: usize = 255;
