//! A web server's files go live together or not at all: what it refuses, and what it accepts and then answers
//! no page with, is taken back, and the host says why. What goes wrong by itself is told, healed and over by
//! itself. A host whose cluster is away goes back to the last state that was well as a whole.

use std::fs;
use std::path::Path;
use std::process::Command;

use email_engine_tests::lab::{Guest, web};
use email_engine_tests::mail::alone;
use email_engine_tests::{Fleet, Operator, samples, wait_for, wait_until};

use super::agent;

const COORDINATOR: &str = "203.0.113.1";
const HOST: &str = "mailwizz1";
const ADDRESS: &str = "192.0.2.10";
const SITE: &str = "/etc/nginx/sites-available/mailwizz.conf";
const LINK: &str = "/etc/nginx/sites-enabled/default";
const POOL: &str = "/etc/php/8.2/fpm/pool.d/mailwizz.conf";
const NOTE: &str = "/etc/email-engine/mailwizz/note";
const INDEX: &str = "/var/www/mailwizz/index.php";
const PACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/stand-ins/mailwizz/pack");
const ROLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/roles");

#[test]
fn what_a_web_server_refuses_or_answers_no_page_with_is_taken_back_and_the_host_says_why() {
    let Some(base) = web() else { return };
    alone(&[COORDINATOR], async move {
        let fleet = agent::fleet_at(COORDINATOR).await;
        fleet.apply(&samples::fleet(1)).await;
        let operator = Operator::of(&fleet);
        upload(&operator);
        let guest = Guest::boot(HOST, &base, &[ADDRESS], COORDINATOR).await;
        agent::install(&guest, &fleet.host_token(HOST, "mailwizz").await);
        fleet.host_converged(HOST, "its agent was let in").await;
        serves("it has converged").await;
        assert_eq!(fs::read_link(guest.file(LINK)).unwrap(), Path::new(SITE));

        is_refused_before_it_is_live(&operator, &guest).await;
        is_taken_back_after_it_was_live(&operator, &guest).await;
        goes_live_once_it_is_mended(&fleet, &operator, &guest).await;
        a_pool_is_refused_as_well(&fleet, &operator, &guest).await;
        an_ill_page_is_told_healed_and_well_again(&fleet, &operator, &guest).await;
        alone_it_goes_back_to_what_was_well(&fleet, &operator, &guest).await;
    });
}

fn upload(operator: &Operator) {
    let archive = operator.folder().join("mailwizz.zip");
    let packed = Command::new(PACK).arg(&archive).status().unwrap();
    assert!(packed.success());
    let put = ["artifact", "put", "mailwizz.zip", "--use", "mailwizz"];
    let _ = operator.prints(0, &put);
}

/// The status of the first page, and a header of a mended site.
async fn page() -> Result<(u16, bool), String> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| error.to_string())?;
    let asked = client.get(format!("http://{ADDRESS}/")).send().await;
    let answer = asked.map_err(|error| error.to_string())?;
    let is_mended = answer.headers().contains_key("x-mended");
    Ok((answer.status().as_u16(), is_mended))
}

/// Nobody has been through the wizard: whoever comes is sent to it.
async fn serves(why: &str) {
    wait_for(
        &format!("the page is served: {why}"),
        async || match page().await {
            Ok((302, _)) => Ok(()),
            other => Err(other),
        },
    )
    .await;
}

/// Has the host's own layer of the roles hold this, and nothing else.
fn release(operator: &Operator, files: &[(&str, &str)]) {
    let roles = operator.folder().join("my-roles");
    let layer = roles.join("overrides/hosts").join(HOST).join("mailwizz");
    let _ = fs::remove_dir_all(&roles);
    fs::create_dir_all(&layer).unwrap();
    for (name, text) in files {
        fs::write(layer.join(name), text).unwrap();
    }
    let stored = operator.prints(0, &["roles", "put", "my-roles"]);
    let use_it = ["roles", "use", stored.trim(), "--host", HOST];
    let _ = operator.prints(0, &use_it);
}

fn shipped(name: &str) -> String {
    fs::read_to_string(Path::new(ROLES).join("mailwizz").join(name)).unwrap()
}

async fn is_refused_before_it_is_live(operator: &Operator, guest: &Guest) {
    let before = fs::read(guest.file(SITE)).unwrap();
    let begun = guest.run(&["cat", "/run/nginx.pid"]);
    let broken = shipped("site.j2").replace("server_name _;", "server_nam _;");
    release(operator, &[("site.j2", &broken)]);
    let words = [
        "transaction:nginx",
        "stage test",
        "unknown directive \"server_nam\"",
    ];
    operator.is_shown(HOST, &words).await;
    assert_eq!(fs::read(guest.file(SITE)).unwrap(), before);
    assert_eq!(page().await, Ok((302, false)));
    // What stands there is what nginx would start with.
    guest.run(&["nginx", "-t"]);
    assert_eq!(guest.run(&["cat", "/run/nginx.pid"]), begun);
}

async fn is_taken_back_after_it_was_live(operator: &Operator, guest: &Guest) {
    let before = fs::read(guest.file(SITE)).unwrap();
    let empty = "server { listen 80 default_server; server_name _; return 500; }\n";
    release(operator, &[("site.j2", empty)]);
    let words = [
        "transaction:nginx",
        "stage health",
        "status 500, accepted is 200 to 399",
    ];
    operator.is_shown(HOST, &words).await;
    assert_eq!(fs::read(guest.file(SITE)).unwrap(), before);
    serves("the site of before is back").await;
    // Refused once, and not tried again.
    let tried = || {
        let log = ["journalctl", "--unit", agent::EXECUTOR, "--output=cat"];
        let log = guest.run(&log);
        log.matches("the files before a change are back").count()
    };
    let before = tried();
    guest.run(&["systemctl", "restart", agent::EXECUTOR]);
    operator.is_shown(HOST, &words).await;
    assert_eq!(tried(), before);
}

async fn goes_live_once_it_is_mended(fleet: &Fleet, operator: &Operator, guest: &Guest) {
    let mended = shipped("site.j2").replace(
        "include snippets/mailwizz.conf;",
        "include snippets/mailwizz.conf;\n    add_header X-Mended yes always;",
    );
    release(operator, &[("site.j2", &mended)]);
    wait_for("the mended site is served", async || match page().await {
        Ok((302, true)) => Ok(()),
        other => Err(other),
    })
    .await;
    fleet.host_converged(HOST, "its site was mended").await;
    let site = fs::read_to_string(guest.file(SITE)).unwrap();
    assert!(site.contains("X-Mended"), "{site}");
}

async fn a_pool_is_refused_as_well(fleet: &Fleet, operator: &Operator, guest: &Guest) {
    let before = fs::read(guest.file(POOL)).unwrap();
    let broken = shipped("pool.j2").replace("pm = ondemand", "pm = sometimes");
    release(operator, &[("pool.j2", &broken)]);
    operator
        .is_shown(
            HOST,
            &[
                "transaction:php-fpm",
                "stage test",
                "invalid process manager",
            ],
        )
        .await;
    assert_eq!(fs::read(guest.file(POOL)).unwrap(), before);
    serves("PHP goes on with the pool of before").await;
    release(operator, &[("pool.j2", &shipped("pool.j2"))]);
    fleet.host_converged(HOST, "its pool was mended").await;
}

/// How often the web server was started in this life of the host.
fn starts(guest: &Guest) -> usize {
    let log = ["journalctl", "--unit", "nginx.service", "--output=cat"];
    guest.run(&log).matches("Started nginx.service").count()
}

async fn an_ill_page_is_told_healed_and_well_again(
    fleet: &Fleet,
    operator: &Operator,
    guest: &Guest,
) {
    // This operator wants to know sooner, and has the web server restarted for it.
    let sooner = shipped("application.toml").replace(
        "interval_seconds = 30\nattempts = 3\n",
        "interval_seconds = 5\nattempts = 2\nrestart = \"nginx.service\"\n",
    );
    assert!(sooner.contains("restart = \"nginx.service\"\n"), "{sooner}");
    release(operator, &[("application.toml", &sooner)]);
    fleet.host_converged(HOST, "its checks are others").await;
    let before = starts(guest);
    let away = format!("{INDEX}.away");
    guest.run(&["mv", INDEX, &away]);
    let words = [
        "health_check:page",
        "accepted is 200 to 399",
        "nginx.service was restarted for it",
    ];
    operator.is_shown(HOST, &words).await;
    wait_until("the journal has its start", async || starts(guest) > before).await;
    guest.run(&["mv", &away, INDEX]);
    serves("the application is whole again").await;
    fleet.host_converged(HOST, "its page is well again").await;
    assert_eq!(starts(guest), before + 1, "it was restarted without need");
}

/// A state of which a file says which one it is, and of whose first page this status is wanted.
fn give(operator: &Operator, note: &str, status: &str) {
    let file = format!(
        "\n[[file]]\npath = \"{NOTE}\"\ntemplate = \"mailwizz/note.j2\"\nmode = \"0644\"\n\
         owner = \"root\"\ngroup = \"root\"\non_remove = \"delete\"\n"
    );
    let wanted = format!("host = \"localhost\", status = \"{status}\" }}");
    let role = shipped("application.toml")
        .replace(
            "interval_seconds = 30\nattempts = 3\n",
            "interval_seconds = 5\nattempts = 2\n",
        )
        .replace("host = \"localhost\" }", &wanted);
    assert!(role.contains(&wanted), "{role}");
    release(
        operator,
        &[("application.toml", &(role + &file)), ("note.j2", note)],
    );
}

async fn is_noted(guest: &Guest, note: &str, why: &str) {
    let what = format!("the host has the note {note:?}: {why}");
    wait_for(&what, async || match fs::read_to_string(guest.file(NOTE)) {
        Ok(text) if text.trim() == note => Ok(()),
        other => Err(other.map_err(|error| error.to_string())),
    })
    .await;
}

/// What is not well stays while somebody is there to look at it. Nobody is: the host takes back all of it, also
/// what no check is about, and holds on to that through a reboot until its cluster has something to say.
async fn alone_it_goes_back_to_what_was_well(fleet: &Fleet, operator: &Operator, guest: &Guest) {
    give(operator, "well", "200-399");
    is_noted(guest, "well", "it is given").await;
    fleet.host_converged(HOST, "its state is well").await;
    give(operator, "ill", "500-599");
    let words = ["health_check:page", "accepted is 500 to 599"];
    operator.is_shown(HOST, &words).await;
    is_noted(guest, "ill", "it was told so, and somebody is there").await;

    guest.unplug();
    is_noted(guest, "well", "nobody is there, and the newer state is ill").await;
    guest.reboot().await;
    wait_for("it tried once more, alone, and went back", async || {
        let log = [
            "journalctl",
            "--unit",
            agent::EXECUTOR,
            "--output=cat",
            "-b",
        ];
        let log = guest.run(&log);
        let has = log.contains("alone with a state that fails: the last good one is enforced");
        if has { Ok(()) } else { Err(log) }
    })
    .await;
    is_noted(guest, "well", "nobody is there after a reboot either").await;

    guest.plug();
    serves("the host came up alone").await;
    is_noted(guest, "ill", "what its cluster wants is tried again").await;
    give(operator, "mended", "200-399");
    fleet.host_converged(HOST, "its state was mended").await;
    is_noted(guest, "mended", "it is the newest").await;
}
