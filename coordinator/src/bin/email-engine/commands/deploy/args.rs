//! The command line of `deploy`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use email_engine_protocol::id::ArtifactName;

use super::enter::Via;
use crate::commands::token;
use crate::fleet_file::FleetFile;

/// Arguments of `deploy`.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Deploy {
    /// Fleet file (TOML)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// A file that roles call by this name: uploaded and named unless the cluster has it so
    #[arg(long = "artifact", value_name = "NAME=FILE")]
    pub(super) artifacts: Vec<Given>,
    /// One of these files is confidential: hosts keep it from everybody (names with `license` in them are)
    #[arg(long, value_name = "NAME")]
    pub(super) confidential: Vec<ArtifactName>,
    /// Hosts have this file already, or get it by hand: its absence stops nothing
    #[arg(long, value_name = "NAME")]
    pub(super) without: Vec<ArtifactName>,
    /// How a bare machine is reached: a command that runs the words that are added to it there, as root
    #[arg(long, value_name = "COMMAND")]
    pub(super) via: Option<Via>,
    /// Where email-engine-bootstrap and email-engine-agent lie [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub(super) programs: Option<PathBuf>,
    /// Folder for logs, token files and DNS records
    #[arg(long, value_name = "DIR", default_value = "email-engine-deploy")]
    pub(super) log_dir: PathBuf,
    /// Only check, and show what would be done; exit code 2 when something would
    #[arg(long)]
    pub(super) plan: bool,
    /// Leave out of the plan what would change on the hosts
    #[arg(long)]
    pub(super) no_diff: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(super) yes: bool,
    /// How long each step waits for machines to come in: 90s, 30m, 2h
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = token::parse_ttl)]
    wait_hosts: u64,
    /// How long each step waits for hosts to become what they shall be
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = token::parse_ttl)]
    wait_roles: u64,
    /// How long something may be wrong on a host before it is given up
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = token::parse_ttl)]
    give_up: u64,
    /// Machines that are made hosts at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    parallel: u8,
    /// Read from the file before anything is asked of the cluster.
    #[arg(skip)]
    pub(super) document: Option<FleetFile>,
}

const HELP: &str = "\
Ten steps: 1 files and artifacts are checked, all findings at once; 2 uploads, fleet file, join tokens;
3 MailWizz and 4 PowerMTA hosts are let in; 5 MailWizz and 6 PowerMTA role converged; 7 DKIM keys made,
public keys collected; 8 API hosts, and those of roles of your own, let in and converged; 9 databases
initialised; 10 DNS records written out. Nothing is changed before the first is passed and the plan was
agreed to. It may be interrupted at any time and said again: it goes on with what is left. Nothing is
removed that the file omits; hosts that it does not name are left alone.

How machines come in. `--via` is a command of yours, parted into words as a shell does and run without
one, with {host}, {address} (the first of the host) and {role} filled in; the words to be run on the
machine are added at its end, and need root there. Programs and join token go through its standard input,
never through a command line. The command has no terminal: ssh is not to ask (`-o BatchMode=yes`), and
`-o StrictHostKeyChecking=accept-new` lets it take the key of a machine that it never saw as that machine's,
and refuse one whose key has changed. A host's label deploy-via = \"COMMAND\" is for that host alone, \"none\" lets
a person do it. A token file for each host lies in LOG_DIR/tokens (mode 0600)
until it is let in; without a command for the host, the one to be typed is shown, and the machine is waited for.

In LOG_DIR: run.log, hosts/HOST.log, tokens/HOST.token, dns-records.csv, dns-records.txt (as `domains show`
prints them), result.json (of the last run that came to its end). No log holds a secret.

Exit codes:
    0  every host is what it shall be (and with --plan: nothing would change)
    1  refused, nothing was changed; or the cluster refused something: the reason is on stderr.
       Also without a terminal to ask on and without --yes
    2  --plan: something would change
    3  the time was over while hosts were on their way: say it again
    4  some host is not what it shall be: the list at the end says which and why
    5  no node could be reached, or the cluster has no leader
  130  interrupted: say it again

Files of yours, by the names that hosts of the shipped roles ask for: mailwizz, powermta,
powermta-license, api-bundle and grafana; --plan says which are missing, and --without NAME leaves one out.

Examples:
  email-engine deploy -f fleet.toml --plan --without powermta --without powermta-license \\
      --without mailwizz --without api-bundle --without grafana
  email-engine deploy -f fleet.toml \\
      --via 'ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new root@{address}' \\
      --artifact mailwizz=mailwizz.zip --artifact powermta=PowerMTA-5.0r8.deb \\
      --artifact powermta-license=license --artifact api-bundle=api-bundle.tar.gz --without grafana
  email-engine deploy -f fleet.toml --yes --output json > result.json";

/// A file by what roles call it.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) name: ArtifactName,
    pub(super) file: PathBuf,
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let accepted = "accepted is NAME=FILE, such as mailwizz=mailwizz.zip";
        let (name, file) = text.split_once('=').ok_or(accepted)?;
        if file.is_empty() {
            return Err(format!("{name} has no file; {accepted}"));
        }
        let name = ArtifactName::new(name).map_err(|error| format!("{error}; {accepted}"))?;
        let file = file.into();
        Ok(Self { name, file })
    }
}

impl Deploy {
    pub(super) const fn wait_hosts(&self) -> Duration {
        Duration::from_secs(self.wait_hosts)
    }

    pub(super) const fn wait_roles(&self) -> Duration {
        Duration::from_secs(self.wait_roles)
    }

    pub(super) const fn give_up(&self) -> Duration {
        Duration::from_secs(self.give_up)
    }

    pub(super) const fn parallel(&self) -> usize {
        self.parallel as usize
    }

    pub(super) fn is_confidential(&self, name: &ArtifactName) -> bool {
        self.confidential.contains(name) || name.as_str().contains("license")
    }

    pub(super) fn document(&self) -> &FleetFile {
        self.document
            .as_ref()
            .expect("it is read before anything else")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit;

    #[test]
    fn a_file_is_given_by_its_name_and_licences_are_confidential_unasked() {
        let given: Given = "mailwizz=./a=b.zip".parse().unwrap();
        assert_eq!(given.name.as_str(), "mailwizz");
        assert_eq!(given.file, PathBuf::from("./a=b.zip"));
        for bad in ["mailwizz", "mailwizz=", "Mail Wizz=x", "=x"] {
            let refused = bad.parse::<Given>().unwrap_err();
            assert!(
                refused.contains("accepted is NAME=FILE"),
                "{bad}: {refused}"
            );
        }
    }

    #[test]
    fn the_help_names_all_steps_and_its_exit_codes_are_those_of_the_table() {
        for step in 1..=10 {
            assert!(HELP.contains(&format!("{step} ")), "{step}");
        }
        let codes = |text: &str| -> Vec<String> {
            let lines = text
                .lines()
                .skip_while(|line| *line != "Exit codes:")
                .skip(1);
            let lines = lines.take_while(|line| !line.is_empty());
            let codes = lines.filter_map(|line| line.split_whitespace().next());
            codes
                .filter(|word| word.parse::<u8>().is_ok())
                .map(str::to_owned)
                .collect()
        };
        let known = codes(exit::TABLE);
        let told = codes(HELP);
        assert_eq!(told, ["0", "1", "2", "3", "4", "5", "130"]);
        assert!(told.iter().all(|code| known.contains(code)), "{known:?}");
    }
}
