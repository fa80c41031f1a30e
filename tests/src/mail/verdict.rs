//! What a strict receiver finds out about a message: who may send from there, and who signed.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, DkimResult, DmarcResult, IprevResult, MessageAuthenticator, SpfResult,
};

use super::names;
use super::powermta::in_room;
use super::receiver::Mail;

/// Findings of the `mail-auth` library, by the names of a DNS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// SPF of the envelope sender.
    pub spf: SpfResult,
    /// SPF of the EHLO name, which is all that a bounce has.
    pub spf_ehlo: SpfResult,
    /// Whether address and name lead to each other.
    pub reverse: bool,
    /// Domains whose signature holds.
    pub signed_by: Vec<String>,
    /// Headers under the signatures that hold, in lower case.
    pub signed_headers: Vec<String>,
    /// Whether DMARC aligns by SPF, and by DKIM.
    pub dmarc: (bool, bool),
}

impl Verdict {
    /// Looks at a message as it arrived, by the names on the scenario's own host.
    pub async fn of(mail: &Mail) -> Self {
        Self::by(names::ADDRESS, mail).await
    }

    /// Looks at a message as it arrived, by the names that this server knows.
    pub async fn by(name_server: &str, mail: &Mail) -> Self {
        let checker = checker(name_server);
        let client = mail.client.unwrap();
        let message = AuthenticatedMessage::parse(mail.text.as_bytes()).unwrap();
        let helo = mail.helo.as_str();
        let sender = SpfParameters::verify_mail_from(client, helo, helo, &mail.from);
        let spf = checker.verify_spf(sender).await;
        let ehlo = SpfParameters::verify_ehlo(client, helo, helo);
        let dkim = checker.verify_dkim(&message).await;
        let dmarc = DmarcParameters {
            message: &message,
            dkim_output: &dkim,
            dkim2_output: None,
            rfc5321_mail_from_domain: mail.from.rsplit('@').next().unwrap_or_default(),
            spf_output: &spf,
        };
        let dmarc = checker.verify_dmarc(dmarc).await;
        let good: Vec<_> = dkim
            .iter()
            .filter(|one| *one.result() == DkimResult::Pass)
            .filter_map(|one| one.signature())
            .collect();
        Self {
            spf: spf.result(),
            spf_ehlo: checker.verify_spf(ehlo).await.result(),
            reverse: *checker.verify_iprev(client).await.result() == IprevResult::Pass,
            signed_by: good.iter().map(|one| one.d.to_string()).collect(),
            signed_headers: good
                .iter()
                .flat_map(|one| one.h.iter().map(|name| name.to_ascii_lowercase()))
                .collect(),
            dmarc: (
                *dmarc.spf_result() == DmarcResult::Pass,
                *dmarc.dkim_result() == DmarcResult::Pass,
            ),
        }
    }

    /// Nothing to object to in mail of this domain.
    #[must_use]
    pub fn is_clean(&self, domain: &str) -> bool {
        self.spf == SpfResult::Pass
            && self.spf_ehlo == SpfResult::Pass
            && self.reverse
            && self.signed_by == [domain]
            && self.dmarc == (true, true)
    }
}

fn checker(name_server: &str) -> MessageAuthenticator {
    let address = name_server.parse().unwrap();
    let connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let server = NameServerConfig::new(address, true, connections);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    MessageAuthenticator::new(config, ResolverOpts::default()).unwrap()
}

/// Whether dkimpy, written apart from `mail-auth`, verifies the first signature of a message. `root`
/// is a host's sandbox, for a system folder with this scenario's name server in it.
///
/// # Panics
/// When dkimpy is not installed.
#[must_use]
pub fn dkimpy_verifies(root: &Path, text: &str) -> bool {
    let mut child = in_room(root, Path::new("dkimverify"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && said.trim() == "signature ok" {
        return true;
    }
    // It tells of a changed body by an exception.
    let errors = String::from_utf8_lossy(&output.stderr);
    let refused = said.trim() == "signature verification failed"
        || errors.contains("dkim.ValidationError: body hash mismatch");
    assert!(
        refused,
        "`dkimverify` (Debian package python3-dkim, see deploy/toolchain/packages): {output:?}"
    );
    false
}
