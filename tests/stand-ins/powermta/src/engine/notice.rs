//! Non-delivery reports to the originator.

use std::sync::Arc;

use super::intake::Submission;
use super::state::Engine;
use crate::clock;
use crate::spool::{Envelope, Recipient};

impl Engine {
    /// Sends a report unless it was switched off, nobody asked for it, or there is nobody to send to.
    pub(crate) fn notify_sender(
        self: &Arc<Self>,
        envelope: &Envelope,
        recipient: &Recipient,
        status: &str,
        diagnostic: &str,
    ) {
        let wanted = !envelope.suppress_dsn && !recipient.never_notify && !envelope.orig.is_empty();
        let allowed = self
            .config()
            .domain_settings(&recipient.queue, &envelope.vmta)
            .flag("deliver-local-dsn");
        if !wanted || !allowed {
            return;
        }
        let body = self.report(envelope, recipient, status, diagnostic);
        let submission = Submission {
            orig: String::new(),
            env_id: String::new(),
            job_id: String::new(),
            chosen: None,
            recipients: vec![Recipient {
                never_notify: true,
                ..Recipient::new(&envelope.orig)
            }],
            body,
            src_mta: String::new(),
            user: String::new(),
            suppress_dsn: true,
            addresses: None,
        };
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = engine.submit(submission).await {
                engine.log(&error.to_string());
            }
        });
    }

    fn report(
        &self,
        envelope: &Envelope,
        recipient: &Recipient,
        status: &str,
        diagnostic: &str,
    ) -> Vec<u8> {
        let config = self.config();
        let host = config
            .host_names
            .first()
            .map_or("localhost", String::as_str);
        let boundary = format!("report-{:016x}", envelope.id);
        let number = status.split(' ').next().unwrap_or_default();
        format!(
            "From: Mail Delivery System <MAILER-DAEMON@{host}>\r\n\
             To: {orig}\r\n\
             Subject: Delivery report\r\n\
             Date: {date}\r\n\
             Auto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=\"{boundary}\"\r\n\
             \r\n\
             --{boundary}\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             \r\n\
             Your message could not be delivered to {rcpt}:\r\n{diagnostic}\r\n\
             \r\n\
             --{boundary}\r\n\
             Content-Type: message/delivery-status\r\n\
             \r\n\
             Reporting-MTA: dns;{host}\r\n\
             \r\n\
             Final-Recipient: rfc822;{rcpt}\r\n\
             Action: failed\r\n\
             Status: {number}\r\n\
             Diagnostic-Code: {diagnostic}\r\n\
             \r\n\
             --{boundary}--\r\n",
            orig = envelope.orig,
            date = clock::rfc5322(clock::now()),
            rcpt = recipient.address,
        )
        .into_bytes()
    }
}
