//! A machine for one agent: the rooms of its product, the product's programs, and a service manager that
//! knows this one service. Files are real and commands run.

use std::path::Path;
use std::process::Command;

use super::powermta::in_room;
use crate::binary;

/// Arguments: `pmta`, `pmtad`, then what to run. Everything is in the mount namespace that it is run in,
/// and ends with the test. Users of the test's own namespace are few, so the group has root's number.
const MACHINE: &str = r#"
set -e
for folder in bin sbin; do
    mkdir "/run/$folder" "/run/$folder-work"
    mount -t overlay overlay "/usr/$folder" \
        -o "lowerdir=/usr/$folder,upperdir=/run/$folder,workdir=/run/$folder-work"
done
ln -s "$1" /usr/sbin/pmta
ln -s "$2" /usr/sbin/pmtad
shift 2
echo 'pmta:x:0:' >> /etc/group
rm -f /usr/bin/systemctl
cat > /usr/bin/systemctl << 'END'
#!/bin/sh
file=/run/pmta/pid
runs() {
    id=$(cat "$file" 2> /dev/null) || return 1
    [ -e "/proc/$id" ] && ! grep -q '^State:.Z' "/proc/$id/status"
}
case $1 in
show)
    activity=inactive
    if runs; then activity=active; fi
    printf 'LoadState=loaded\nActiveState=%s\nUnitFileState=enabled\n' "$activity" ;;
start | restart | stop)
    if runs; then kill -9 "$(cat "$file")"; fi
    while runs; do :; done
    rm -f "$file"
    [ "$1" = stop ] && exit 0
    setsid /usr/sbin/pmtad < /dev/null > /var/log/pmta/out 2>&1 &
    echo $! > "$file" ;;
esac
END
chmod 755 /usr/bin/systemctl
exec "$@"
"#;

/// A command that runs an agent on a machine whose product lives in this folder.
pub(super) fn machine(root: &Path) -> Command {
    let mut command = in_room(root, Path::new("sh"));
    command
        .args(["-c", MACHINE, "sh"])
        .arg(binary("pmta"))
        .arg(binary("pmtad"))
        .arg(binary("email-engine-agent"));
    command
}
