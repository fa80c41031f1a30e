# shellcheck shell=bash
# The environment of every build; sourced by the scripts, and by developers who call cargo directly:
#
#     source deploy/toolchain/env.sh && prebuilt
#
# Whatever the caller has set already is kept.

email_engine_house=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# rustup puts cargo here and changes the PATH of later logins only.
if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-${HOME:-}/.cargo}/bin/cargo" ]; then
    export PATH="${CARGO_HOME:-${HOME:-}/.cargo}/bin:$PATH"
fi

# What is expensive to make and the same for every clone of this machine lives in one folder.
export EMAIL_ENGINE_CACHE="${EMAIL_ENGINE_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or EMAIL_ENGINE_CACHE}/.cache}/email-engine}"

# Outside the checkout, one folder for each: a fresh clone then compiles only our own crates. What
# another checkout set in this shell is no choice of the caller's.
if [ -z "${CARGO_TARGET_DIR:-}" ] || [ "${CARGO_TARGET_DIR%/*}" = "$EMAIL_ENGINE_CACHE/targets" ]; then
    email_engine_hash=$(printf '%s' "$email_engine_house" | cksum | cut -d ' ' -f 1)
    email_engine_target="$EMAIL_ENGINE_CACHE/targets/$(basename "$email_engine_house")-$email_engine_hash"
    export CARGO_TARGET_DIR="$email_engine_target"
fi
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"

# Makes the build folder (unless the caller chose one) and points the build at the static RocksDB,
# made on first use (about 4 minutes). Without it cargo compiles RocksDB itself, for 16 minutes.
# A function, because the compiler has to be there first.
prebuilt() {
    if [ "$CARGO_TARGET_DIR" = "${email_engine_target:-}" ]; then
        "$email_engine_house/deploy/toolchain/target-folder" "$email_engine_house" "$CARGO_TARGET_DIR" || return 1
    fi
    if [ -z "${ROCKSDB_LIB_DIR:-}" ]; then
        local made
        made=$("$email_engine_house/deploy/toolchain/librocksdb" "$EMAIL_ENGINE_CACHE") || return 1
        ROCKSDB_LIB_DIR=$(tail -n 1 <<<"$made")
        export ROCKSDB_LIB_DIR
    fi
    export ROCKSDB_STATIC="${ROCKSDB_STATIC:-1}"
}

# Stops with what to do when cargo is absent or older than `rust-version` of the workspace.
require_cargo() {
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$email_engine_house/Cargo.toml")
    if ! command -v cargo >/dev/null; then
        echo "cargo was not found; Email-Engine needs Rust $wanted or newer. To install it:" >&2
        echo "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2
        return 1
    fi
    found=$(cd "$email_engine_house" && cargo --version | sed 's/^cargo \([0-9.]*\).*/\1/')
    if [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
        echo "cargo is version $found ($(command -v cargo)); Email-Engine needs Rust $wanted or newer." >&2
        if command -v rustup >/dev/null; then
            echo "    rustup update stable" >&2
        else
            echo "The packaged Rust of a distribution is often older. To install a current one:" >&2
            echo "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2
        fi
        return 1
    fi
}
