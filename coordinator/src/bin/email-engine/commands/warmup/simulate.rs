//! `warmup simulate`: how a pool will grow when nothing goes wrong.

use clap::Args;

use email_engine_coordinator::fleet::warmup::{
    Event, LARGEST_POOL, LONGEST, Scenario, WarmupSettings, at_phase, day_begins, looked_at,
    simulate,
};
use email_engine_protocol::api::{Phase, Simulation};
use email_engine_protocol::id::TenantId;

use crate::commands::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Output, row, text, word};

/// Columns of the longest bar of the curve.
const CURVE: u64 = 40;
/// Day from which an offline simulation is dated; nothing depends on it.
const FIRST: u32 = 20_000;

/// Arguments of `warmup simulate`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Simulate {
    /// Identities that begin on the first day [default: 1, or none beside a tenant's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(LARGEST_POOL)))]
    identities: Option<u32>,
    /// How many days are shown
    #[arg(long, value_name = "D", default_value_t = 42, value_parser = clap::value_parser!(u32).range(1..=i64::from(LONGEST)))]
    days: u32,
    /// The identities of this tenant as they stand today, by its own schedule: asks the cluster
    #[arg(long)]
    tenant: Option<TenantId>,
    /// So many identities are lost, those that send most first; with --on, or as K@DAY
    #[arg(long, value_name = "K")]
    lose: Option<String>,
    /// So many come, in the first phase; with --on, or as K@DAY
    #[arg(long, value_name = "K")]
    add: Option<String>,
    /// The day of --lose and --add
    #[arg(long, value_name = "DAY")]
    on: Option<u32>,
    /// Mails a day that all together shall send: says when
    #[arg(long, value_name = "MAILS")]
    target: Option<u64>,
    /// Mails a day that each identity grows to [default: the schedule's, 10000]
    #[arg(long, value_name = "MAILS")]
    each: Option<u32>,
}

impl Simulate {
    pub(super) async fn run(
        self,
        output: &Output,
        desk: impl Fn() -> Result<Desk, Failure>,
    ) -> Result<(), Failure> {
        let events = self.events()?;
        let told = match &self.tenant {
            Some(_) => {
                desk()?
                    .client
                    .simulate_warmup(&self.parameters(&events))
                    .await?
            }
            None => self.alone(events)?,
        };
        Ok(output.show(&told, |output| table(output, &told))?)
    }

    fn events(&self) -> Result<Vec<Event>, Failure> {
        let days = looked_at(self.days, self.target);
        let said = [("lose", &self.lose), ("add", &self.add)];
        let said = said
            .into_iter()
            .filter_map(|(name, text)| Some((name, text.as_ref()?)));
        said.map(|(name, text)| {
            let whole = match (text.contains('@'), self.on) {
                (false, Some(day)) => format!("{text}@{day}"),
                _ => text.clone(),
            };
            Event::read(&whole, name == "add", days).ok_or_else(|| {
                let form = Event::FORM;
                wrong(format!(
                    "--{name} {text}: {form}, or a number with --on DAY"
                ))
            })
        })
        .collect()
    }

    fn parameters(&self, events: &[Event]) -> Vec<(&'static str, String)> {
        let mut parameters = vec![("days", self.days.to_string())];
        let optional = [
            ("tenant", self.tenant.as_ref().map(ToString::to_string)),
            ("identities", self.identities.map(|count| count.to_string())),
            ("target", self.target.map(|mails| mails.to_string())),
            ("each", self.each.map(|mails| mails.to_string())),
        ];
        let given = optional.into_iter();
        parameters.extend(given.filter_map(|(name, value)| Some((name, value?))));
        for event in events {
            parameters.push(match event.add {
                0 => ("lose", format!("{}@{}", event.lose, event.day)),
                add => ("add", format!("{add}@{}", event.day)),
            });
        }
        parameters
    }

    /// By the usual schedule, without a cluster.
    fn alone(&self, events: Vec<Event>) -> Result<Simulation, Failure> {
        let usual = WarmupSettings::default();
        let settings = WarmupSettings {
            target: self.each.unwrap_or(usual.target),
            ..usual
        };
        settings
            .check()
            .map_err(|bound| wrong(format!("--each {}: {}", bound.value, bound.accepted)))?;
        let one = at_phase(Phase::Week1, &settings, day_begins(FIRST));
        Ok(simulate(&Scenario {
            pool: (0..self.identities.unwrap_or(1))
                .map(|_| one.clone())
                .collect(),
            first: FIRST,
            days: self.days,
            settings,
            events,
            target: self.target,
        }))
    }
}

fn wrong(text: String) -> Failure {
    Failure::new(Exit::Usage, text)
}

fn table(output: &Output, told: &Simulation) -> String {
    let most = told.days.iter().map(|day| day.quota).max();
    let most = most.unwrap_or_default().max(1);
    let mut table = output.table(&[
        "DAY",
        "QUOTA/DAY",
        "IN ALL",
        "IDENTITIES",
        "PHASES",
        "CURVE",
    ]);
    for day in &told.days {
        let phases = day.phases.iter();
        let phases: Vec<_> = phases
            .map(|(phase, count)| format!("{count} {}", word(phase)))
            .collect();
        let bar = (u128::from(day.quota) * u128::from(CURVE)).div_ceil(u128::from(most));
        table.add_row(row([
            day.day.to_string(),
            day.quota.to_string(),
            day.cumulative.to_string(),
            day.identities.to_string(),
            phases.join(", "),
            "#".repeat(usize::try_from(bar).unwrap_or_default()),
        ]));
    }
    let mut shown = text(&table);
    if let Some(target) = &told.target {
        let mails = target.mails;
        shown.push_str(&match target.day {
            Some(day) => format!("\n\n{mails} mails a day can be sent from day {day}."),
            None => format!(
                "\n\nThese identities never send {mails} mails a day: they come to {}.",
                target.most
            ),
        });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: &[&str]) -> Result<Simulation, Failure> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            simulate: Simulate,
        }
        let line = std::iter::once(&"simulate").chain(arguments);
        let simulate = <Line as clap::Parser>::try_parse_from(line)
            .unwrap()
            .simulate;
        simulate.alone(simulate.events()?)
    }

    #[test]
    fn it_answers_without_a_cluster_in_json_with_days_and_quotas() {
        let told = asked(&["--identities", "2", "--days", "8"]).unwrap();
        let json = serde_json::to_value(&told).unwrap();
        assert_eq!(json["days"][0]["day"], 1);
        assert_eq!(json["days"][0]["quota"], 100);
        assert_eq!(json["days"][7]["quota"], 200);
        assert_eq!(json["days"].as_array().unwrap().len(), 8);
        assert_eq!(json["target"], serde_json::Value::Null);
    }

    #[test]
    fn what_is_lost_or_comes_has_its_day_and_a_target_its_answer() {
        let line = [
            "--identities",
            "4",
            "--days",
            "5",
            "--lose",
            "1",
            "--add",
            "2@5",
            "--on",
            "3",
        ];
        let told = asked(&line).unwrap();
        let identities: Vec<_> = told.days.iter().map(|day| day.identities).collect();
        assert_eq!(identities, [4, 4, 3, 3, 5]);
        assert!(asked(&["--lose", "1"]).is_err(), "on which day?");
        let late = ["--days", "5", "--lose", "1@6"];
        assert!(asked(&late).is_err(), "nobody would see it");
        assert!(asked(&[&late[..], &["--target", "50"]].concat()).is_ok());
        let told = asked(&["--target", "50000", "--each", "50000"]).unwrap();
        assert_eq!(told.target.unwrap().day, Some(42 + 18));
        assert!(asked(&["--each", "50001"]).is_err());
    }

    #[test]
    fn the_table_has_a_curve_and_says_when() {
        let told = asked(&["--days", "8", "--target", "100"]).unwrap();
        let output = Output {
            format: crate::output::Format::Table,
            quiet: false,
            colour: false,
        };
        let shown = table(&output, &told);
        let lines: Vec<_> = shown.lines().map(str::trim_end).collect();
        assert!(
            lines[1].ends_with(&"#".repeat(20)) && !lines[1].ends_with(&"#".repeat(21)),
            "{shown}"
        );
        assert!(lines[8].ends_with(&"#".repeat(40)), "{shown}");
        assert!(
            shown.ends_with("100 mails a day can be sent from day 8."),
            "{shown}"
        );
    }
}
