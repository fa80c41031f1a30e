//! Jobs of cron, as a role file has them.

use email_engine_protocol::desired::{OnRemove, Resource, Spec};

use crate::fixture::{Fleet, texts};

const ROLE: &str = "powermta/role.toml";

const JOB: &str = r#"
[[package]]
name = "cron"
on_remove = "leave"

[[user]]
name = "report"
on_remove = "leave"

[[cron_job]]
name = "report"
schedule = "*/15 6-22 * * 1-5"
user = "report"
command = "/usr/bin/report --day=$(date +%F) --host={{ host }}"
environment = { MAILTO = "ops@example.com", PATH = "/usr/bin:/bin" }
on_remove = "delete"
"#;

fn with(more: &str) -> Fleet {
    let files = email_engine_coordinator::planner::builtin_bundle();
    Fleet::sos_holidays().with_file(ROLE, &format!("{}\n{more}", files[ROLE]))
}

fn find(fleet: &Fleet, id: &str) -> Option<Resource> {
    let planned = fleet.plan("pmta1");
    let mut all = planned.config.resources.into_iter();
    all.find(|one| one.id.as_str() == id)
}

/// A file without the two lines of its head.
fn below_head(text: &str) -> &str {
    text.splitn(3, '\n').nth(2).unwrap()
}

#[test]
fn a_job_is_a_file_of_its_own_that_comes_after_cron_and_its_user() {
    let fleet = with(JOB);
    let made = find(&fleet, "cron_job:report").unwrap();
    let Spec::File(spec) = &made.spec else {
        panic!("a file");
    };
    assert_eq!(spec.path.as_str(), "/etc/cron.d/report");
    assert_eq!(
        (spec.mode, spec.owner.as_deref(), spec.group.as_deref()),
        (0o644, Some("root"), Some("root"))
    );
    assert_eq!(made.on_remove, OnRemove::Delete);
    let after: Vec<&str> = made.after.iter().map(|id| id.as_str()).collect();
    assert_eq!(after, ["package:cron", "user:report"]);
    let texts = texts(&fleet.plan("pmta1"));
    assert_eq!(
        below_head(&texts["/etc/cron.d/report"]),
        "MAILTO=\"ops@example.com\"\nPATH=\"/usr/bin:/bin\"\n*/15 6-22 * * 1-5 report /usr/bin/report \
         --day=$(date +\\%F) --host=pmta1\n"
    );
}

#[test]
fn each_tenant_has_a_job_of_its_own() {
    let job = "[[cron_job]]\nname = \"report-{{ item.id }}\"\neach = \"tenant\"\nschedule = \"@daily\"\n\
               user = \"root\"\ncommand = \"/bin/true {{ item.id }}\"\non_remove = \"delete\"\n";
    let files = email_engine_coordinator::planner::builtin_bundle();
    let role = "api/role.toml";
    let fleet = Fleet::two_tenants().with_file(role, &format!("{}\n{job}", files[role]));
    let all = texts(&fleet.plan("api1"));
    let jobs: Vec<&String> = all
        .keys()
        .filter(|path| path.contains("cron.d/report-"))
        .collect();
    assert_eq!(jobs.len(), fleet.state.tenants.len(), "{jobs:?}");
    for tenant in fleet.state.tenants.keys() {
        let text = &all[&format!("/etc/cron.d/report-{tenant}")];
        assert_eq!(
            below_head(text),
            format!("@daily root /bin/true {tenant}\n")
        );
    }
}

#[test]
fn what_cron_would_pass_over_is_refused_where_it_is_planned() {
    for (from, to, said) in [
        (
            "*/15 6-22 * * 1-5",
            "*/15 6-24 * * 1-5",
            "cron_job report: hour is \"6-24\", accepted is",
        ),
        (
            "*/15 6-22 * * 1-5",
            "0 */15 6-22 * * 1-5",
            "with 6 fields, accepted is five",
        ),
        (
            "*/15 6-22 * * 1-5",
            "@often",
            "accepted is one of @annually",
        ),
        (
            "user = \"report\"",
            "user = \"re port\"",
            "user is \"re port\"",
        ),
        ("date +%F", "date +\\\\%F", "no backslash before them"),
        ("command = \"/usr", "command = \"a\\nb /usr", "command is"),
        (
            "MAILTO =",
            "\"MAIL TO\" =",
            "environment's setting is \"MAIL TO\"",
        ),
        (
            "cron_job]]\nname = \"report\"",
            "cron_job]]\nname = \"re.port\"",
            "cron passes over files",
        ),
        (
            "user = \"report\"\n",
            "",
            "either schedule, user and command",
        ),
        (
            "user = \"report\"\n",
            "user = \"report\"\ntemplate = \"exporter.j2\"\n",
            "or a template alone",
        ),
        (
            "on_remove = \"delete\"",
            "on_remove = \"delete\"\nmode = \"0600\"",
            "mode",
        ),
    ] {
        let changed = JOB.replacen(from, to, 1);
        assert_ne!(changed, JOB, "{from}");
        let refused = with(&changed).refusal().to_string();
        assert!(refused.contains(said), "{to}: {refused}");
    }
    let twice = format!(
        "{JOB}\n[[file]]\npath = \"/etc/cron.d/report\"\ntemplate = \"exporter.j2\"\nmode = \"0644\"\n\
         on_remove = \"leave\"\n"
    );
    let refused = with(&twice).refusal().to_string();
    assert!(
        refused.contains("/etc/cron.d/report is claimed by"),
        "{refused}"
    );
}

#[test]
fn a_table_of_an_operators_own_is_judged_line_by_line() {
    let table = |text: &str| {
        Fleet::sos_holidays().with_file("overrides/hosts/mailwizz1/mailwizz/cron.j2", text)
    };
    let good = "MAILTO=\"\"\n* * * * * {{ values.web_user }} /bin/true";
    let all = texts(&table(good).plan("mailwizz1"));
    assert_eq!(
        below_head(&all["/etc/cron.d/mailwizz"]),
        "MAILTO=\"\"\n* * * * * www-data /bin/true\n",
        "its last line has an end"
    );
    let crlf = table("MAILTO=\"\"\r\n* * * * mon-fri {{ values.web_user }} /bin/true\r\n")
        .plan("mailwizz1");
    assert_eq!(
        below_head(&texts(&crlf)["/etc/cron.d/mailwizz"]),
        "MAILTO=\"\"\n* * * * mon-fri www-data /bin/true\n",
        "no carriage return is a part of a command"
    );
    let fleet = table("# ours\n* * * * 9 {{ values.web_user }} /bin/true\n");
    let refused = fleet.refusal_of("mailwizz1").to_string();
    assert!(
        refused.contains("overrides/hosts/mailwizz1/mailwizz/cron.j2")
            && refused.contains("line 2 of the table that it makes: day of the week is \"9\""),
        "{refused}"
    );
}

#[test]
fn jobs_that_nothing_may_run_are_told_with_the_plan() {
    let jobs = |count: usize| -> String {
        let job = JOB.split_once("[[user]]").unwrap().1;
        let named = |number| {
            format!(
                "[[cron_job]]{}",
                job.split_once("[[cron_job]]").unwrap().1.replacen(
                    "report",
                    &format!("report{number}"),
                    1
                )
            )
        };
        let user = "[[user]]\nname = \"report\"\non_remove = \"leave\"\n";
        (0..count).fold(user.to_owned(), |text, number| text + &named(number))
    };
    let said = "the role lists neither package cron nor cronie, and without one nothing runs what is in /etc/cron.d";
    for (count, named) in [
        (1, "cron_job report0"),
        (
            5,
            "cron_job report0, cron_job report1, cron_job report2, 2 more",
        ),
    ] {
        let flags = with(&jobs(count)).plan("pmta1").flags;
        assert!(flags.contains(&format!("{named}: {said}")), "{flags:?}");
    }
    let reader = "[[package]]\nname = \"cronie\"\non_remove = \"leave\"\n";
    for more in [String::new(), JOB.to_owned(), reader.to_owned() + &jobs(1)] {
        let flags = with(&more).plan("pmta1").flags;
        assert!(!flags.iter().any(|flag| flag.contains("cron")), "{flags:?}");
    }
}
