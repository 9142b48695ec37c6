# Shared by tests/run and its parts. Sourced from the repository's root.

export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

# count PASSED FAILED: adds these numbers to the part's result.
count() { echo "$1 $2" >>"${TEST_COUNTS:-/dev/null}"; }

# check NAME COMMAND...: runs a check that is not a cargo test, and counts 1 passed or 1 failed.
# Returns 1 if it failed.
check() {
    local name=$1
    shift
    if "$@"; then
        echo "ok: $name"
        count 1 0
    else
        echo "FAILED: $name ($*)"
        count 0 1
        return 1
    fi
}

# cargo_test ARGS...: runs cargo test, shows its output, and counts the tests of its "test result"
# lines.
cargo_test() {
    local log status passed failed
    log=$(mktemp)
    cargo test --no-fail-fast "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    passed=$(awk '/^test result:/ { n += $4 } END { print n + 0 }' "$log")
    failed=$(awk '/^test result:/ { n += $6 } END { print n + 0 }' "$log")
    rm -f "$log"
    # cargo failed but no test did: it did not compile, or a test binary was killed.
    if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
    count "$passed" "$failed"
    [ "$status" -eq 0 ]
}

# require_toolchain: installs rustfmt and clippy if they are missing, or prints the command and
# fails. Fails without cargo.
require_toolchain() {
    if ! command -v cargo >/dev/null; then
        echo "cargo is missing: install Rust's stable toolchain from https://rustup.rs" >&2
        return 1
    fi
    local missing=()
    cargo fmt --version >/dev/null 2>&1 || missing+=(rustfmt)
    cargo clippy --version >/dev/null 2>&1 || missing+=(clippy)
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ -z "${NO_RUSTUP:-}" ] && command -v rustup >/dev/null; then
        echo "installing ${missing[*]} with rustup (seconds)"
        rustup component add "${missing[@]}" && return 0
    fi
    echo "${missing[*]} missing: run 'rustup component add ${missing[*]}'" >&2
    return 1
}

# install_packages PACKAGE...: installs the missing packages of Debian or Ubuntu. Without root,
# prints the command and fails.
install_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    local began=$SECONDS sudo=
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
            sudo=sudo
        else
            echo "missing packages: ${missing[*]}. Run: sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
            return 1
        fi
    fi
    echo "installing ${missing[*]} with apt-get (up to a minute)"
    if ! { $sudo apt-get update -q && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"; } >/tmp/apt.$$ 2>&1; then
        tail -n 20 /tmp/apt.$$ >&2
        rm -f /tmp/apt.$$
        return 1
    fi
    rm -f /tmp/apt.$$
    echo "installed in $((SECONDS - began)) s"
}
