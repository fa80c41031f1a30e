//! A real database of the tool's own, in a folder.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::*;

struct Bed {
    dir: TempDir,
    tools: Rpm,
}

impl Bed {
    /// Nothing, said loudly, where no package can be made.
    fn new() -> Option<Self> {
        if !Path::new("/usr/bin/rpmbuild").exists() {
            eprintln!("NOT RUN: rpmbuild is not installed (package rpm)");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        let mut tools = Rpm::new(Path::new("/usr/bin"), Reach::default());
        tools.root = Some(root.display().to_string());
        Some(Self { dir, tools })
    }

    /// A package as the product's is named, with one configuration file.
    fn rpm(&self, release: &str, more: &str) -> PathBuf {
        let top = self.dir.path().join(format!("top-{release}"));
        fs::create_dir_all(&top).unwrap();
        let spec = top.join("spec");
        let text = format!(
            "Name: PowerMTA\nVersion: 5.0\nRelease: {release}\nSummary: a sample\nLicense: MIT\n\
             AutoReqProv: no\n{more}\n%description\nA sample.\n%install\n\
             mkdir -p %{{buildroot}}/etc/pmta\necho {release} > %{{buildroot}}/etc/pmta/config\n\
             echo {release} > %{{buildroot}}/etc/pmta/program\n\
             %files\n%config(noreplace) /etc/pmta/config\n/etc/pmta/program\n"
        );
        fs::write(&spec, text).unwrap();
        let built = Command::new("/usr/bin/rpmbuild")
            .env("HOME", &top)
            .args(["-bb", "--quiet", "--define"])
            .arg(format!("_topdir {}", top.display()))
            .arg(&spec)
            .output()
            .unwrap();
        assert!(built.status.success(), "{built:?}");
        let folders = fs::read_dir(top.join("RPMS")).unwrap();
        let mut files = folders.flat_map(|one| fs::read_dir(one.unwrap().path()).unwrap());
        files.next().unwrap().unwrap().path()
    }

    fn presence(&self, name: &str) -> Presence {
        self.tools.look(name).unwrap().presence
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.path().join("root").join(path)).unwrap()
    }
}

fn installed(version: &str) -> Presence {
    Presence::Installed(version.to_owned())
}

#[test]
fn a_package_is_installed_upgraded_downgraded_and_removed_in_a_real_database() {
    let Some(bed) = Bed::new() else { return };
    assert_eq!(bed.presence("PowerMTA"), Presence::Gone);
    let (one, two) = (bed.rpm("r1", ""), bed.rpm("r2", ""));
    bed.tools
        .install_file(&one, &Presence::Gone, false)
        .unwrap();
    assert_eq!(bed.presence("PowerMTA"), installed("5.0-r1"));
    fs::write(bed.dir.path().join("root/etc/pmta/config"), "ours\n").unwrap();
    bed.tools
        .install_file(&two, &Presence::Gone, false)
        .unwrap();
    assert_eq!(bed.presence("PowerMTA"), installed("5.0-r2"));
    assert_eq!(bed.read("etc/pmta/config"), "ours\n", "nobody was asked");
    assert_eq!(bed.read("etc/pmta/program"), "r2\n");
    let refused = bed
        .tools
        .install_file(&one, &Presence::Gone, false)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("newer than"), "{refused}");
    bed.tools.install_file(&one, &Presence::Gone, true).unwrap();
    assert_eq!(bed.presence("PowerMTA"), installed("5.0-r1"));
    // The inventory knows it by the role's small letters.
    bed.tools.remove("powermta").unwrap();
    assert_eq!(bed.presence("PowerMTA"), Presence::Gone);
    bed.tools.remove("powermta").unwrap();
}

#[test]
fn two_versions_in_the_database_become_that_of_the_file() {
    let Some(bed) = Bed::new() else { return };
    let (one, two) = (bed.rpm("r1", ""), bed.rpm("r2", ""));
    for (file, version) in [(&two, "5.0-r2"), (&one, "5.0-r1")] {
        for both in [&one, &two] {
            let added = ["-i", "--force", "--nodeps", "--justdb"];
            let both = both.to_str().unwrap();
            let words = bed.tools.rooted(&[&added[..], &[both]].concat());
            let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
            let done = Command::new("/usr/bin/rpm").args(words).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        }
        let seen = bed.presence("PowerMTA");
        let Presence::Partly { word, version: has } = &seen else {
            panic!("{seen:?}");
        };
        assert!(word.ends_with("at once"), "{word}");
        assert_eq!(has.as_deref(), Some("5.0-r2"), "the newest of them");
        bed.tools.install_file(file, &seen, false).unwrap();
        assert_eq!(bed.presence("PowerMTA"), installed(version));
    }
}

#[test]
fn dnf_is_not_asked_about_two_versions() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    for name in ["dnf", "rpm"] {
        let script = format!(
            "#!/bin/sh\necho \"{name} $*\" >> {}/calls\n",
            dir.path().display()
        );
        fs::write(dir.path().join(name), script).unwrap();
        let runs = fs::Permissions::from_mode(0o755);
        fs::set_permissions(dir.path().join(name), runs).unwrap();
    }
    let tools = Rpm::new(dir.path(), Reach::default());
    let double = Presence::Partly {
        word: "1 and 2 at once".to_owned(),
        version: Some("2".to_owned()),
    };
    for seen in [Presence::Gone, double] {
        tools
            .install_file(Path::new("/a.rpm"), &seen, false)
            .unwrap();
    }
    let calls = fs::read_to_string(dir.path().join("calls")).unwrap();
    assert_eq!(
        calls,
        "dnf -y --setopt=install_weak_deps=False install /a.rpm\n\
         rpm -U --nosignature --replacepkgs --oldpackage -- /a.rpm\n"
    );
}

#[test]
fn a_file_says_what_it_is_and_one_that_is_damaged_or_of_sources_is_refused() {
    let Some(bed) = Bed::new() else { return };
    let file = bed.rpm("r1", "Epoch: 2");
    let found = bed.tools.inspect(&file).unwrap();
    assert_eq!(
        (&found.name[..], &found.version[..]),
        ("PowerMTA", "2:5.0-r1")
    );
    assert_eq!(found.architecture, bed.tools.architecture().unwrap());
    bed.tools
        .install_file(&file, &Presence::Gone, false)
        .unwrap();
    assert_eq!(
        bed.presence("PowerMTA"),
        installed("2:5.0-r1"),
        "the same word"
    );

    let bytes = fs::read(&file).unwrap();
    let cut = bed.dir.path().join("cut.rpm");
    for length in [bytes.len() - 20, 1500, 100] {
        fs::write(&cut, &bytes[..length]).unwrap();
        let refused = bed.tools.inspect(&cut).unwrap_err();
        assert!(matches!(refused, SystemError::Failed { .. }), "{refused}");
    }
    let mut changed = bytes;
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&cut, changed).unwrap();
    let refused = bed.tools.inspect(&cut).unwrap_err().to_string();
    assert!(
        refused.contains("NOT OK") || refused.contains("BAD"),
        "{refused}"
    );
}

#[test]
fn what_the_file_needs_and_nobody_has_is_said() {
    let Some(bed) = Bed::new() else { return };
    let file = bed.rpm("r1", "Requires: libnowhere");
    let refused = bed
        .tools
        .install_file(&file, &Presence::Gone, false)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("libnowhere is needed by PowerMTA"),
        "{refused}"
    );
    assert_eq!(bed.presence("PowerMTA"), Presence::Gone);
}

/// Distributions keep it in different folders.
fn database(folder: &Path) -> Option<PathBuf> {
    fs::read_dir(folder).unwrap().flatten().find_map(|one| {
        let path = one.path();
        if path.is_dir() {
            return database(&path);
        }
        path.ends_with("rpmdb.sqlite").then_some(path)
    })
}

#[test]
fn a_database_that_cannot_be_read_is_no_absent_package() {
    let Some(mut bed) = Bed::new() else { return };
    bed.tools
        .install_file(&bed.rpm("r1", ""), &Presence::Gone, false)
        .unwrap();
    let root = bed.dir.path().join("root");
    let database = database(&root).expect("the tool has made one");
    fs::write(database, "damaged".repeat(1000)).unwrap();
    let seen = bed.tools.look("PowerMTA");
    assert!(matches!(seen, Err(SystemError::Failed { .. })), "{seen:?}");
    bed.tools.folder = bed.dir.path().to_owned();
    assert!(bed.tools.look("PowerMTA").is_err());
}

#[test]
fn what_somebody_changed_in_a_package_is_named_but_for_its_configuration() {
    let Some(bed) = Bed::new() else { return };
    bed.tools
        .install_file(&bed.rpm("r1", ""), &Presence::Gone, false)
        .unwrap();
    assert_eq!(bed.tools.changed("PowerMTA").unwrap(), Vec::<String>::new());
    let root = bed.dir.path().join("root/etc/pmta");
    fs::write(root.join("config"), "ours\n").unwrap();
    fs::write(root.join("program"), "patched\n").unwrap();
    assert_eq!(
        bed.tools.changed("PowerMTA").unwrap(),
        ["/etc/pmta/program"]
    );
    fs::remove_file(root.join("program")).unwrap();
    assert_eq!(
        bed.tools.changed("PowerMTA").unwrap(),
        ["/etc/pmta/program"]
    );
    assert!(bed.tools.changed("absent").is_err());
}
