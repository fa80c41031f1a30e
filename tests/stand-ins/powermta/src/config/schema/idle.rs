//! Directives that are read and checked, and change nothing here.
//!
//! Whoever writes one has to be told: a limit that a test believes in and nobody keeps is worse than
//! a refusal.

use super::Scope;

/// Wherever they stand.
const ANYWHERE: &str = "add-x-msys-api-header add-x-virtual-mta-header allow-cancel-during-transfer allow-chunking \
    allow-mailmerge allow-priority-interruption allow-priority-interruption-during-transfer \
    always-allow-api-submission assume-delivery-upon-data-termination-timeout auth-username \
    authentication-method auto-cold-virtual-mta auto-qualify-domain await-slot \
    backoff-max-msg-per-hour backoff-notify bcc bcc-upon-delivery \
    bounce-upon-pix-transfer-failure bounce-upon-transfer-failure broken-auth-clients \
    check-dkim-inbound check-iprev-inbound check-spf-inbound check-spf-inbound-best-guess \
    check-spf-inbound-max-void-lookups cold-virtual-mta connection-idle-timeout \
    count-moved-records custom-dsn-from-header date-header-time delete-file-holders \
    deliver-email deliver-only delivery-priority disabled-source-ip-notify \
    disconnect-on-transient-error dkim-add-body-limit dkim-add-timestamp dkim-algorithm \
    dkim-disallow-adding-headers dkim-identity-fallback dkim-query-method domain-suffix \
    dsn-format dsn-return-default dummy-smtp-await-slot dummy-smtp-has-chunking \
    dummy-smtp-has-pipelining dummy-smtp-has-verp dummy-smtp-ip dummy-smtp-latency \
    dummy-smtp-port dummy-smtp-update-stats enable-signals forward-errors-to host-id \
    http-csrf-protection http-default-max-items http-default-sort-order \
    http-delivery-extra-headers http-delivery-url http-log-data http-log-requests http-log-tls \
    http-mgmt-source http-redirect-to-https http-strict-transport-security-max-age \
    http-tls-allow-sslv3 http-tls-allow-tlsv1 http-tls-allow-tlsv1.1 http-tls-allow-tlsv1.2 \
    http-tls-ca-file http-tls-ciphers ignore-8bitmime ignore-chunking ignore-dsn \
    ignore-pipelining include-headers-from log-auto-rotation log-commands log-connections \
    log-data log-disabled-ips log-file-world-readable log-messages log-resolution log-tls \
    log-transfer-failures macro-variables-preserve-case mailmerge-expands-undefined-variables \
    max-cold-virtual-mta-msg max-events-recorded max-msg-per-hour min-free-space \
    no-http-mgmt-source notify-of-delay-every pickup pickup-remove-dot pickup-retry-interval \
    pix-bug-workaround pmc-acct-min-free-space postmaster privacy-policy process-x-dkim-key \
    queue-priority reject-iprev-check-fail reject-iprev-check-permerror \
    reject-iprev-check-temperror reject-spf-check-fail reject-spf-check-permerror \
    reject-spf-check-temperror replace-smtp-421-service-response retain-x-dkim-key \
    retry-after-dns-error reuse-ssl-session rewrite-list route second-dkim-add-body-limit \
    second-dkim-add-timestamp second-dkim-algorithm second-dkim-body-canon \
    second-dkim-disallow-adding-headers second-dkim-expire-after second-dkim-headers \
    second-dkim-headers-canon second-dkim-identity second-dkim-identity-fallback \
    second-dkim-query-method second-dkim-sign smtp-await-slot smtp-client-certificate \
    smtp-data-timeout smtp-ip smtp-max-auth-failure-rate smtp-port smtp-server-tls-allow-sslv3 \
    smtp-server-tls-allow-tlsv1 smtp-server-tls-allow-tlsv1.1 smtp-server-tls-allow-tlsv1.2 \
    smtp-server-tls-ca-file smtp-server-tls-ciphers smtp-tls-allow-sslv3 smtp-tls-allow-tlsv1 \
    smtp-tls-allow-tlsv1.1 smtp-tls-allow-tlsv1.2 smtp-tls-ca-file smtp-tls-ciphers source-group \
    sparkpost-ip-pool sparkpost-sandbox spool-delete-corrupted spool-max-recipients \
    spool-min-free-space thread-max-priority thread-min-priority thread-reuse tls-allow-sslv3 \
    tls-allow-tlsv1 tls-allow-tlsv1.1 tls-allow-tlsv1.2 tls-ca-file tls-ciphers \
    too-many-rcpts-fails-message trace-dkim-check trace-iprev-check trace-spf-check \
    track-recipient-events use-dane use-proxy use-unencrypted-plain-auth verp-default";

/// Read elsewhere under the same name, and not here.
const HERE: [(Scope, &str); 8] = [
    (Scope::Domain, "auth-password"),
    (Scope::Global, "run-as-root"),
    (Scope::Pool, "max-smtp-data-volume-rate"),
    (Scope::Pool, "max-smtp-msg-rate"),
    (Scope::Pool, "max-smtp-out"),
    (Scope::SmtpUser, "tls-certificate"),
    (Scope::Spool, "priority"),
    (Scope::VirtualMta, "host-name"),
];

/// Sections of which nothing is carried out.
const SECTIONS: [Scope; 10] = [
    Scope::Dns,
    Scope::DomainKeyList,
    Scope::EmailPatterns,
    Scope::Proxy,
    Scope::RewriteList,
    Scope::Signals,
    Scope::SignalsFilter,
    Scope::SourceGroup,
    Scope::TransmissionsApi,
    Scope::TransmissionsListener,
];

/// Whether a directive does nothing at this place.
pub(in crate::config) fn is_idle(scope: Scope, name: &str) -> bool {
    SECTIONS.contains(&scope)
        || HERE.contains(&(scope, name))
        || ANYWHERE.split(' ').any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::super::{ALL, of};
    use super::*;

    /// Their section is read line by line, whatever the name.
    const BY_PLACE: [&str; 2] = ["address", "mx"];

    /// Words between quotes in the code that runs, but for the tables and checks of names.
    fn said_in(folder: &Path, words: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if ["schema", "tests"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                said_in(&path, words);
            } else if !["check.rs", "tests.rs"].contains(&name.as_str()) {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap();
                words.extend(code.split('"').map(str::to_owned));
            }
        }
    }

    #[test]
    fn what_no_code_names_is_known_to_do_nothing() {
        let mut words = BTreeSet::new();
        said_in(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut words,
        );
        for scope in ALL {
            for known in of(scope).iter().flat_map(|table| table.iter()) {
                let read = words.contains(known.name) || BY_PLACE.contains(&known.name);
                let idle = is_idle(scope, known.name);
                assert!(read || idle, "{scope:?}: nobody reads {}", known.name);
            }
        }
        for name in ANYWHERE.split(' ') {
            assert!(!words.contains(name), "{name} is read");
            assert!(super::super::exists(name), "{name} is no directive");
        }
    }
}
