# shellcheck shell=bash
# Where the lab that is on notes itself; sourced by up, in and down.

lab_house=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=deploy/toolchain/env.sh
source "$lab_house/deploy/toolchain/env.sh"
lab_state=$EMAIL_ENGINE_CACHE/lab/up

# Prints the process that keeps the lab; fails when it is off. After a crash the number may be another's.
lab_keeper() {
    local pid
    pid=$(cat "$lab_state/pid" 2>/dev/null) || return 1
    [[ $(readlink "/proc/$pid/exe" 2>/dev/null) == */unshare ]] || return 1
    echo "$pid"
}
