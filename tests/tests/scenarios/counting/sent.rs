//! What left through the mail server is what people, programs and dashboards are told.

use email_engine_tests::mail::{Letter, MailFleet, RECIPIENT, addresses, alone};
use email_engine_tests::{Operator, wait_for};
use serde_json::Value;

/// Mails of an identity; none of the others sends.
const SENT: [(&str, usize); 2] = [("mail1", 3), ("mail2", 2)];
const TENANT: &str = "sos-holidays";

fn address(name: &str) -> String {
    name.replace("mail", "192.0.2.")
}

#[test]
fn mail_that_was_sent_is_told_by_the_command_line_and_the_metrics() {
    alone(addresses(), async {
        let mail = MailFleet::sending().await;
        let application = mail.mailwizz1();
        for (name, count) in SENT {
            let server = application.server(&format!("vmta-{name}"));
            for number in 0..count {
                let id = format!("{name}-{number}");
                let letter = Letter {
                    to: RECIPIENT,
                    id: &id,
                };
                let answer = application.send(&server, &letter).await;
                assert!(answer.starts_with("250 "), "{answer}");
            }
        }
        let all = SENT.iter().map(|(_, count)| count).sum();
        assert_eq!(mail.readers.mails_when(all).await.len(), all);

        let operator = Operator::of(&mail.fleet);
        wait_for("all of the tenant's mail is counted", async || {
            let shown = operator.prints(0, &["stats", "--tenant", TENANT, "--output", "json"]);
            let view: Value = serde_json::from_str(&shown).unwrap();
            let row = &view["rows"][0];
            if row["delivered"] == all && row["sent"] == all && view["rows"][1].is_null() {
                Ok(())
            } else {
                Err(shown)
            }
        })
        .await;
        for (name, count) in SENT {
            let mut table = operator.rows(&["stats", "--ip", &address(name), "--by", "hour"]);
            // What stands below the table is a sentence.
            table.retain(|row| row.len() > 1);
            assert!(table.iter().all(|row| row[1] == "other"), "{table:?}");
            // An hour may have ended meanwhile.
            let total = |at: usize| -> usize {
                let figures = table.iter().map(|row| row[at].parse::<usize>().unwrap());
                figures.sum()
            };
            let totals: Vec<usize> = (2..=6).map(total).collect();
            assert_eq!(totals, [count, count, 0, 0, 0], "{table:?}");
        }
        dashboards_show_the_same(&mail).await;
    });
}

async fn dashboards_show_the_same(mail: &MailFleet) {
    let text = mail.fleet.api().metrics().await;
    let shows = |line: &str| assert!(text.lines().any(|own| own == line), "{line}\n{text}");
    for (name, count) in SENT {
        let (ip, domain) = (address(name), format!("{name}.sos-holidays.com"));
        for (status, count) in [("delivered", count), ("bounced", 0), ("complained", 0)] {
            shows(&format!(
                "email_engine_emails_sent_total{{ip=\"{ip}\",domain=\"{domain}\",tenant=\"{TENANT}\",\
                 status=\"{status}\"}} {count}"
            ));
        }
        shows(&format!(
            "email_engine_bounce_rate{{ip=\"{ip}\",domain=\"{domain}\",type=\"hard\"}} 0"
        ));
    }
    // The first of the identities is for transactions, the second for marketing.
    for (purpose, (_, count)) in ["transactional", "marketing"].iter().zip(SENT) {
        shows(&format!(
            "email_engine_tenant_emails_sent{{tenant=\"{TENANT}\",campaign_type=\"{purpose}\"}} {count}"
        ));
    }
    shows("email_engine_pmta_status{vps=\"pmta1\"} 1");
}
