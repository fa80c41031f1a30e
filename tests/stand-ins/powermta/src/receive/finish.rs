//! After the final dot: headers are put right, a virtual MTA is chosen, the spool has it.

use super::choose::{Letter, choose};
use super::session::Session;
use crate::clock;
use crate::config::{Config, Layered};
use crate::engine::Submission;
use crate::headers;

impl Session {
    /// The answer to the message.
    pub(super) async fn accept(&mut self, message: Vec<u8>) -> String {
        let config = self.engine.config();
        let settings = self.settings(&config);
        let most = settings.count("max-message-size").filter(|&most| most > 0);
        if most.is_some_and(|most| message.len() as u64 > most) {
            return "552 5.3.4 message too big\r\n".to_owned();
        }
        let hops = settings.count("max-message-hops").unwrap_or(100);
        if received_lines(&message) as u64 > hops {
            return "554 5.4.6 too many hops\r\n".to_owned();
        }
        let message = headers::normalised(&message);
        let addresses: Vec<String> = self
            .recipients
            .iter()
            .map(|recipient| recipient.address.clone())
            .collect();
        let sender = self.sender.clone().unwrap_or_default();
        let letter = Letter {
            orig: &sender,
            recipients: &addresses,
            message: &message,
            own_address: self.own,
        };
        let chosen = match choose(&config, &settings, &letter) {
            Ok(chosen) => chosen,
            Err(why) => return format!("550 5.7.1 {why}\r\n"),
        };
        let env_id = self.envelope_id(&settings, &message);
        let submission = Submission {
            orig: sender,
            env_id,
            job_id: job_id(&settings, &message),
            chosen,
            recipients: std::mem::take(&mut self.recipients),
            body: self.put_right(&config, &settings, &message),
            src_mta: format!("{} ({})", self.helo, self.client),
            user: self
                .user
                .as_ref()
                .map_or_else(String::new, |(name, _)| name.clone()),
            suppress_dsn: settings.flag("suppress-local-dsn"),
            addresses: Some((self.client, self.own)),
        };
        match self.engine.submit(submission).await {
            Ok(id) => format!("250 2.6.0 message received {id:016x}\r\n"),
            Err(error) => {
                self.engine.log(&error.to_string());
                "451 4.3.0 the message cannot be stored\r\n".to_owned()
            }
        }
    }

    fn envelope_id(&self, settings: &Layered<'_>, message: &[u8]) -> String {
        if !self.env_id.is_empty() || !settings.flag("process-x-envid") {
            return self.env_id.clone();
        }
        let header = headers::find(message, "x-envid").unwrap_or_default();
        header.trim().to_owned()
    }

    /// Takes out what the source says, and puts in front what it asks for.
    fn put_right(&self, config: &Config, settings: &Layered<'_>, message: &[u8]) -> Vec<u8> {
        let mut gone = settings.list("remove-header");
        let switched = [
            (
                "process-x-virtual-mta",
                "retain-x-virtual-mta",
                "x-virtual-mta",
            ),
            ("process-x-job", "retain-x-job", "x-job"),
            (
                "process-x-dkim-options",
                "retain-x-dkim-options",
                "x-dkim-options",
            ),
            ("process-x-schedule", "retain-x-schedule", "x-schedule"),
        ];
        for (process, retain, header) in switched {
            if settings.flag(process) && !settings.flag(retain) {
                gone.push(header.to_owned());
            }
        }
        if settings.flag("process-x-envid") {
            gone.push("x-envid".to_owned());
        }
        let date = settings.text("add-date-header");
        if date == "override" {
            gone.push("date".to_owned());
        }
        let mut message = headers::without(message, &gone);
        let now = clock::now();
        if matches!(date.as_str(), "yes" | "override") && headers::find(&message, "date").is_none()
        {
            message = headers::with(&message, &format!("Date: {}", clock::rfc5322(now)));
        }
        let host = config
            .host_names
            .first()
            .map_or("localhost", String::as_str);
        if settings.flag("add-message-id-header") && headers::find(&message, "message-id").is_none()
        {
            let id = self.engine.next_id();
            message = headers::with(&message, &format!("Message-ID: <{id:016x}@{host}>"));
        }
        if settings.flag("add-received-header") {
            let from = if settings.flag("hide-message-source") {
                String::new()
            } else {
                format!("from {} ({}) ", self.helo, self.client)
            };
            let line = format!(
                "Received: {from}by {host}\r\n\twith ESMTP; {}",
                clock::rfc5322(now)
            );
            message = headers::with(&message, &line);
        }
        message
    }
}

fn job_id(settings: &Layered<'_>, message: &[u8]) -> String {
    let name = match settings.text("jobid-header") {
        name if !name.is_empty() => name,
        _ if settings.flag("process-x-job") => "x-job".to_owned(),
        _ => return String::new(),
    };
    let job = headers::find(message, &name).unwrap_or_default();
    let job = job.trim();
    if job.is_empty() {
        return String::new();
    }
    format!("{}{job}", settings.text("jobid-prefix"))
}

fn received_lines(message: &[u8]) -> usize {
    let head = message
        .split(|&byte| byte == b'\n')
        .take_while(|line| line.len() > 1);
    head.filter(|line| line.len() > 8 && line[..9].eq_ignore_ascii_case(b"received:"))
        .count()
}
