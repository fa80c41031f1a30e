//! Verbs about who may do what: API keys, join tokens, certificates.

mod certificate;
mod create_api_key;
mod issue_token;
mod redeem_host;
mod redeem_node;
mod redeem_token;
mod refuse_token;
mod renew_certificate;
mod revoke_api_key;
mod revoke_certificate;
mod revoke_token;

pub(super) use certificate::{record, revoke_certificates};
pub(super) use revoke_token::revoke_tokens;
