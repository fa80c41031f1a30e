//! One file per noun: its arguments, the calls it makes, how its answers look.

pub(crate) mod alerts;
pub(crate) mod artifact;
pub(crate) mod audit;
pub(crate) mod campaigns;
pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod deploy;
pub(crate) mod dkim;
pub(crate) mod dns;
pub(crate) mod dnsbl;
pub(crate) mod failover;
pub(crate) mod fleet;
pub(crate) mod hosts;
pub(crate) mod ips;
pub(crate) mod keys;
pub(crate) mod pmta;
pub(crate) mod roles;
pub(crate) mod settings;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod tenants;
pub(crate) mod token;
pub(crate) mod warmup;

use std::time::Duration;

use crate::args::{Arguments, Command, Global};
use crate::client::{Client, Patience};
use crate::context::Context;
use crate::exit::{self, Exit, Failure};
use crate::output::{Format, Output};
use crate::trial;

/// What a command works with.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) client: Client,
    pub(crate) output: Output,
}

impl Desk {
    fn new(global: &Global) -> Result<Self, Failure> {
        let file = Context::path(global.context.as_deref())?;
        let context = Context::read(&file)?;
        let told = global.request_timeout.map(Duration::from_secs);
        let patience = told.map_or(Patience::USUAL, Patience::of);
        let output = Output::new(global.output, global.quiet);
        Ok(Self {
            client: Client::new(&context, patience)?
                .with_reason(global.reason.as_deref())?
                .with_key_file(file)
                .with_voice(output),
            output,
        })
    }
}

/// Runs what was asked for.
pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments { global, command } = arguments;
    if global.output == Format::Csv && !matches!(command, Command::Stats(_)) {
        // Before anything is asked: an answer that cannot be written may be of a change, or a secret.
        return Err(Failure::new(
            Exit::Usage,
            "--output csv: only `stats` has rows for it; json and yaml are for programs",
        ));
    }
    let output = Output::new(global.output, global.quiet);
    let desk = || Desk::new(&global);
    match command {
        Command::Apply(apply) => {
            // A fault in the file is told before anything is asked of the cluster.
            let file = crate::fleet_file::read(&apply.file)?;
            fleet::apply(&desk()?, &apply, &file).await
        }
        Command::Plan(plan) => {
            let file = crate::fleet_file::read(&plan.file)?;
            fleet::plan(&desk()?, &plan, &file).await
        }
        Command::Deploy(arguments) => {
            let file = crate::fleet_file::read(&arguments.file)?;
            deploy::run(&desk()?, *arguments, file).await
        }
        Command::Status(status) => status::run(&desk()?, &status).await,
        Command::Hosts(hosts) => hosts::run(&desk()?, hosts).await,
        Command::Ips(ips) => ips::run(&desk()?, ips).await,
        Command::Campaigns(campaigns) => campaigns::run(&desk()?, campaigns).await,
        Command::Explain(explain) => ips::explain(&desk()?, explain).await,
        Command::Tenants(tenants) => tenants::run(&desk()?, tenants).await,
        Command::Warmup(warmup) => warmup::run(&output, desk, warmup).await,
        Command::Select(select) => warmup::select::run(&desk()?, select).await,
        Command::Dkim(dkim) => dkim::run(&desk()?, dkim).await,
        Command::Dns(dns) => dns::run(&desk()?, dns).await,
        Command::Dnsbl(dnsbl) => dnsbl::run(&desk()?, dnsbl).await,
        Command::Failover(failover) => failover::run(&desk()?, failover).await,
        Command::Breaker(breaker) => failover::breaker(&desk()?, breaker).await,
        Command::Listings(listings) => dnsbl::listings(&desk()?, &listings).await,
        Command::Domains(domains) => ips::domains(&desk()?, domains).await,
        Command::Token(token) => token::run(&desk()?, token).await,
        Command::Cluster(cluster) => cluster::run(&desk()?, cluster).await,
        Command::Keys(keys) => keys::run(&desk()?, keys).await,
        Command::Config(config) => config::run(&desk()?, config).await,
        Command::Artifact(arguments) => artifact::run(&desk()?, arguments).await,
        Command::Pmta(arguments) => pmta::run(&output, desk, &arguments).await,
        Command::Roles(arguments) => roles::run(&output, desk, arguments).await,
        Command::Settings(settings) => settings::run(&desk()?, settings).await,
        Command::Alerts(alerts) => alerts::run(&desk()?, *alerts).await,
        Command::Audit(audit) => audit::run(&desk()?, &audit).await,
        Command::Stats(stats) => stats::run(&desk()?, &stats).await,
        Command::Trial(arguments) => trial::run(arguments, output).await,
        Command::HelpExitCodes => {
            output.print(exit::TABLE)?;
            Ok(Exit::Success)
        }
        Command::Follow(_) => unreachable!("main runs it before there is a runtime"),
    }
}
