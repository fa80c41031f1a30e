//! What the built-in list allows: the roles that come with the project, and no more of their programs.

use super::*;

#[test]
fn the_built_in_list_leaves_no_further_words_to_programs_that_do_more_for_them() {
    let list = load(&Config::default()).unwrap();
    let judged = |words: &str| {
        let mut words = words.split(' ').map(str::to_owned);
        let program = HostPath::new(words.next().unwrap()).unwrap();
        let command = CommandLine {
            program,
            arguments: words.collect(),
        };
        let step = basic(Spec::Step(StepSpec {
            command,
            guard: Guard::Notified,
            timeout_seconds: 1,
            success_codes: Vec::new(),
        }));
        list.judge(&state(vec![step])).is_ok()
    };
    for (listed, further) in [
        ("/usr/bin/mariadb-admin ping", "drop mailwizz --force"),
        (
            "/usr/bin/setpriv --reuid=mailwizz --regid=www-data --clear-groups --no-new-privs -- /usr/bin/php -n \
             /etc/email-engine/mailwizz/quotas-kept.php",
            "/srv/x.php",
        ),
        ("/usr/bin/systemctl daemon-reload", "--root=/srv"),
        ("/usr/bin/systemctl reload nginx.service", "ssh.service"),
        (
            "/usr/bin/systemctl restart php8.2-fpm.service",
            "ssh.service",
        ),
        (
            "/usr/bin/systemctl restart prometheus.service",
            "ssh.service",
        ),
        ("/usr/sbin/nginx -t", "-c /srv/nginx.conf"),
        ("/usr/sbin/php-fpm8.4 -t", "-d extension=/srv/x.so"),
        ("/usr/sbin/update-ca-certificates", "--hooksdir /srv"),
    ] {
        assert!(judged(listed), "{listed}");
        assert!(
            !judged(&format!("{listed} {further}")),
            "{listed} {further}"
        );
    }
    // What it is asked follows from the names that the host sends under.
    assert!(judged("/usr/sbin/pmta --json show settings example.com/v1"));
}

fn text<'a>(entry: &'a toml::Table, key: &str) -> &'a str {
    entry[key].as_str().unwrap()
}

fn step(entry: &toml::Table) -> Resource {
    let words = entry["arguments"].as_array().unwrap();
    let mut made = file("/x");
    made.id = ResourceId::new(format!("step:{}", text(entry, "name"))).unwrap();
    made.spec = Spec::Step(StepSpec {
        command: CommandLine {
            program: HostPath::new(text(entry, "program")).unwrap(),
            arguments: words
                .iter()
                .map(|word| word.as_str().unwrap().to_owned())
                .collect(),
        },
        guard: Guard::Notified,
        timeout_seconds: 1,
        success_codes: Vec::new(),
    });
    made
}

fn package(entry: &toml::Table) -> Resource {
    let mut made = file("/x");
    made.id = ResourceId::new(format!("package:{}", text(entry, "name"))).unwrap();
    let package = PackageSpec {
        name: text(entry, "name").to_owned(),
        version: None,
        hold: false,
    };
    made.spec = if entry.contains_key("artifact") {
        let piece = ContentHash::of(b"piece");
        Spec::VendorPackage(VendorPackageSpec {
            package,
            artifact: Some(ArtifactRef {
                sha256: piece,
                length: 5,
                pieces: vec![piece],
                secret: false,
            }),
            downgrade: false,
            verify: true,
        })
    } else {
        Spec::Package(package)
    };
    made
}

fn group_of(entry: &toml::Table) -> Resource {
    let mut made = file("/x");
    made.id = ResourceId::new(format!("group:{}", text(entry, "name"))).unwrap();
    made.spec = Spec::Group(GroupSpec {
        name: text(entry, "name").to_owned(),
    });
    made
}

fn service(entry: &toml::Table) -> Resource {
    let mut made = file("/x");
    let unit = text(entry, "unit").replace(PHP, "8.2");
    let unit = unit.replace(ACCOUNT, "client_1");
    made.id = ResourceId::new(format!("service:{unit}")).unwrap();
    made.spec = Spec::Service(ServiceSpec {
        unit,
        enabled: true,
        running: true,
        on_notify: OnNotify::Restart,
    });
    made
}

/// What units and databases of tenants are called after.
const ACCOUNT: &str = "{{ item.account }}";

/// What the files of PHP are called after.
const PHP: &str = "{{ mailwizz.php }}";

#[test]
fn a_package_of_a_file_and_one_of_a_repository_are_listed_apart() {
    let text = "packages = [\"nginx\"]\npackage_files = [\"powermta\"]\n";
    let list = with_file(text, 0o644).unwrap();
    let judge = |name: &str, more: &str| {
        let text = format!("name = \"{name}\"\n{more}");
        let made = package(&toml::from_str(&text).unwrap());
        list.judge(&state(vec![made]))
            .map_err(|error| error.to_string())
    };
    let file = "artifact = \"x\"";
    assert_eq!(judge("nginx", ""), Ok(()));
    assert_eq!(judge("powermta", file), Ok(()));
    let refused = judge("nginx", file).unwrap_err();
    assert!(refused.contains("no entry of `package_files`"), "{refused}");
    let refused = judge("powermta", "").unwrap_err();
    assert!(refused.contains("no entry of `packages`"), "{refused}");
}

#[test]
fn the_built_in_list_allows_the_roles_that_come_with_the_project() {
    let list = load(&Config::default()).unwrap();
    let roles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/roles");
    let mut judged = 0;
    let folders = std::fs::read_dir(&roles).unwrap();
    // What roles share lies beside their folders: networks, which are no resources, and a part.
    let files = folders.filter_map(|role| std::fs::read_dir(role.unwrap().path()).ok());
    let files = files.flatten().map(|file| file.unwrap().path());
    let files = files.chain([roles.join("exporter.toml")]);
    for path in files.filter(|path| path.extension().is_some_and(|kind| kind == "toml")) {
        let role: toml::Table = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let tables = |key: &str| -> Vec<toml::Table> {
            let entries = role.get(key).and_then(toml::Value::as_array);
            let entries = entries.into_iter().flatten();
            entries
                .map(|entry| entry.as_table().unwrap().clone())
                .collect()
        };
        // What a placeholder stands for is one name and never a path.
        let place = |entry: &toml::Table| {
            let text = &text(entry, "path").replace(PHP, "8.2");
            match (text.find("{{"), text.find("}}")) {
                (Some(from), Some(to)) => format!("{}name{}", &text[..from], &text[to + 2..]),
                _ => text.to_owned(),
            }
        };
        let mut all: Vec<Resource> = Vec::new();
        all.extend(
            tables("directory")
                .iter()
                .map(|entry| directory(&place(entry))),
        );
        all.extend(tables("file").iter().map(|entry| file(&place(entry))));
        for (entry, made) in tables("directory")
            .iter()
            .chain(&tables("file"))
            .zip(&mut all)
        {
            let mode = u32::from_str_radix(text(entry, "mode"), 8).unwrap();
            match &mut made.spec {
                Spec::Directory(folder) => folder.mode = mode,
                Spec::File(file) => file.mode = mode,
                _ => unreachable!("only folders and files have been made"),
            }
        }
        for entry in tables("archive").iter().chain(&tables("symlink")) {
            all.push(file(&place(entry)));
        }
        for job in tables("cron_job") {
            all.push(file(&format!("/etc/cron.d/{}", text(&job, "name"))));
        }
        for user in tables("user") {
            let name = text(&user, "name");
            assert!(list.users.listed.contains(name), "{name}");
        }
        for database in tables("database") {
            let name = text(&database, "name").replace(ACCOUNT, "client_1");
            let name = format!("{}/{name}", text(&database, "engine"));
            assert!(list.databases.allows(&name), "{name}");
            assert!(list.database_users.allows(&name), "{name}");
        }
        for row in tables("sql_row") {
            let of = |key| text(&row, key);
            let name = format!("{}/{}.{}", of("engine"), of("database"), of("table"));
            assert!(list.tables.listed.contains(&name), "{name}");
        }
        for script in tables("sql_script") {
            script_is_listed(&script, &list);
        }
        all.extend(tables("package").iter().map(package));
        all.extend(tables("group").iter().map(group_of));
        all.extend(tables("service").iter().map(service));
        all.extend(tables("step").iter().map(step));
        judged += all.len();
        assert_eq!(list.judge(&state(all)), Ok(()), "{}", path.display());
    }
    assert!(judged > 10, "only {judged} resources were judged");
}

/// Whether all tables of a script are.
fn script_is_listed(script: &toml::Table, list: &AllowList) {
    let of = |key| text(script, key);
    let begins = format!("{}/{}", of("engine"), of("database"));
    let listed = ["reads", "writes"].into_iter().flat_map(|key| {
        let names = script[key].as_array().unwrap().iter();
        names.map(|name| name.as_str().unwrap())
    });
    let kept = script["keeps"].as_table().unwrap().keys();
    for table in listed.chain(kept.map(String::as_str)) {
        let name = format!("{begins}.{table}");
        assert!(list.tables.listed.contains(&name), "{name}");
    }
}
