//! Certificates under which PowerMTA hosts take mail from the fleet, and the authority that vouches
//! for them: [`row`] is what is kept, [`wanted`] what follows from the hosts.

mod row;
mod wanted;

pub use row::{
    SubmissionAuthority, SubmissionAuthorityRecord, SubmissionCertificate, SubmissionNames,
    certificate_pem,
};
pub use wanted::{HOST_NAME_LABEL, OWN_CERTIFICATE_LABEL, TRUSTS_LABEL};
