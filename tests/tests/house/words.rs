//! Refuses words that belong to one person's machine: home folders and package mirrors.

/// A path below one of these is somebody's. Built from parts, so that this file passes its own rule.
const HOMES: [&str; 2] = [concat!("/", "root/"), concat!("/", "home/")];

/// Cargo settings that would send everybody's downloads to one site's mirror.
const MIRRORS: [&str; 3] = [
    concat!("replace", "-with"),
    concat!("[source", "."),
    concat!("[registr", "ies"),
];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(crate) fn foreign(path: &str, text: &str) -> Vec<String> {
    let words: &[&str] = if path.ends_with(".toml") {
        &MIRRORS
    } else {
        &[]
    };
    text.lines()
        .enumerate()
        .filter(|(_, line)| {
            HOMES.iter().any(|home| names_absolute_path(line, home))
                || words.iter().any(|word| line.contains(word))
        })
        .map(|(index, line)| {
            format!(
                "{path}:{}: speaks of one machine: {}",
                index + 1,
                line.trim()
            )
        })
        .collect()
}

pub(crate) fn foreign_sources(lock_file: &str) -> Vec<String> {
    lock_file
        .lines()
        .filter_map(|line| line.strip_prefix("source = "))
        .filter(|source| source.trim_matches('"') != CRATES_IO)
        .map(|source| format!("Cargo.lock: {source} is not crates.io"))
        .collect()
}

/// `DIR/hosts/web-1/root/etc` has the same letters inside a longer path, and is fine.
fn names_absolute_path(line: &str, home: &str) -> bool {
    line.match_indices(home).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~$*>})]".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_folder_is_refused_and_a_sandbox_root_is_not() {
        let home = format!("see {}somebody/notes", HOMES[1]);
        assert_eq!(foreign("a.md", &home).len(), 1);
        let quoted = format!("let path = \"{}.ssh\";", HOMES[0]);
        assert_eq!(foreign("a.rs", &quoted).len(), 1);
        for fine in [
            "DIR/hosts/<host>/root/etc",
            "hosts/web-1/root/etc",
            "$dir/root/x",
            "{}/root/",
        ] {
            assert_eq!(foreign("a.md", fine), Vec::<String>::new());
        }
    }

    #[test]
    fn a_mirror_in_a_cargo_setting_is_refused() {
        let setting = format!("{} = \"mirror\"\n", MIRRORS[0]);
        assert_eq!(foreign(".cargo/config.toml", &setting).len(), 1);
    }

    #[test]
    fn a_crate_from_elsewhere_is_refused() {
        let lock = format!("source = \"{CRATES_IO}\"\nsource = \"git+https://example.com/x\"\n");
        assert_eq!(foreign_sources(&lock).len(), 1);
    }
}
