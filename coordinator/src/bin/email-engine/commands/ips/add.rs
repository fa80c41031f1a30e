//! Arguments of `ips add`: an identity as in a fleet file.

use std::net::IpAddr;

use clap::{Args, ValueEnum};

use email_engine_protocol::api::{IpDocument, IpStatus, Phase, Purpose};
use email_engine_protocol::id::{HostId, PoolName, TenantId, VmtaName};
use email_engine_protocol::mail::{DomainName, LocalPart};

/// What is absent is defaulted by the cluster, as in a fleet file.
#[derive(Args, Debug)]
pub(super) struct Add {
    /// The sending address
    pub(super) address: IpAddr,
    /// The sending domain
    #[arg(long)]
    domain: DomainName,
    /// Whose it is
    #[arg(long)]
    tenant: TenantId,
    /// The PowerMTA host that has the address
    #[arg(long)]
    host: Option<HostId>,
    /// EHLO name and PTR [default: the domain]
    #[arg(long)]
    hostname: Option<DomainName>,
    /// Local part of the visible sender [default: contact]
    #[arg(long)]
    sender: Option<LocalPart>,
    /// Display name of the sender [default: the tenant's name]
    #[arg(long)]
    display_name: Option<String>,
    /// Local part of the envelope sender [default: bounce]
    #[arg(long)]
    return_path: Option<LocalPart>,
    /// DNS zone that holds the domain [default: the domain]
    #[arg(long)]
    zone: Option<DomainName>,
    /// DKIM selector [default: the fleet's]
    #[arg(long)]
    selector: Option<String>,
    /// What it sends [default: marketing]
    #[arg(long, value_enum)]
    purpose: Option<PurposeArgument>,
    /// Its pool [default: TENANT-pool]
    #[arg(long)]
    pool: Option<PoolName>,
    /// Its virtual MTA [default: made of the domain]
    #[arg(long)]
    vmta: Option<VmtaName>,
    /// Where it stands in its life [default: standby]
    #[arg(long, value_enum)]
    status: Option<StatusArgument>,
    /// Where it stands in the warm-up [default: week_1]
    #[arg(long, value_enum)]
    phase: Option<PhaseArgument>,
    /// Mails a day that are planned for after the warm-up
    #[arg(long)]
    planned_daily: Option<u32>,
    /// Active, and only kept warm
    #[arg(long)]
    reserve: bool,
}

/// Mirrors an enum of the API for clap, with the API's own words.
macro_rules! argument {
    ($name:ident, $of:ident, $($variant:ident = $word:literal),+) => {
        #[derive(Clone, Copy, Debug, ValueEnum)]
        pub(crate) enum $name {
            $(#[value(name = $word)] $variant,)+
        }

        impl From<$name> for $of {
            fn from(argument: $name) -> Self {
                match argument {
                    $($name::$variant => Self::$variant,)+
                }
            }
        }
    };
}

argument!(
    PurposeArgument,
    Purpose,
    Autoresponder = "autoresponder",
    Marketing = "marketing",
    Newsletter = "newsletter",
    Notification = "notification",
    Transactional = "transactional"
);
argument!(
    StatusArgument,
    IpStatus,
    Active = "active",
    Quarantine = "quarantine",
    Resting = "resting",
    Retiring = "retiring",
    Standby = "standby",
    Warming = "warming"
);
argument!(
    PhaseArgument,
    Phase,
    Week1 = "week_1",
    Week2 = "week_2",
    Week3 = "week_3",
    Week4 = "week_4",
    Week5 = "week_5",
    Week6 = "week_6",
    Active = "active"
);

impl From<Add> for IpDocument {
    fn from(add: Add) -> Self {
        Self {
            address: add.address,
            domain: add.domain,
            tenant: add.tenant,
            host: add.host,
            hostname: add.hostname,
            sender: add.sender,
            display_name: add.display_name,
            return_path: add.return_path,
            zone: add.zone,
            selector: add.selector,
            purpose: add.purpose.map(Into::into),
            pool: add.pool,
            vmta: add.vmta,
            status: add.status.map(Into::into),
            phase: add.phase.map(Into::into),
            planned_daily: add.planned_daily,
            reserve: add.reserve.then_some(true),
            first: None,
            written: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::word;

    #[test]
    fn the_words_of_the_command_line_are_those_of_the_api() {
        for argument in PhaseArgument::value_variants() {
            let name = argument.to_possible_value().unwrap().get_name().to_owned();
            assert_eq!(word(&Phase::from(*argument)), name);
        }
        for argument in StatusArgument::value_variants() {
            let name = argument.to_possible_value().unwrap().get_name().to_owned();
            assert_eq!(word(&IpStatus::from(*argument)), name);
        }
        for argument in PurposeArgument::value_variants() {
            let name = argument.to_possible_value().unwrap().get_name().to_owned();
            assert_eq!(word(&Purpose::from(*argument)), name);
        }
    }
}
