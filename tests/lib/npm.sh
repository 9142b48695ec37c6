# Shared by the parts wasm and browser. Sourced from the repository's root, after common.sh.

# npm_app FOLDER PACKAGE...: builds the npm package and dlog, and installs the package's tarball and
# PACKAGEs into FOLDER, beside a copy of tests/npm. Sets BUDGET, and DLOG_BINARY unless it is set.
npm_app() {
    local folder=$1 tarball target=${CARGO_TARGET_DIR:-$PWD/target}
    shift
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        echo "node and npm are missing: install Node 20 or later, https://nodejs.org" >&2
        return 1
    fi
    wasm/build --pack || return 1
    tarball=$(echo "$target"/npm/distributedlog-*.tgz)
    if [ -z "${DLOG_BINARY:-}" ]; then
        cargo build -q --release -p dlog || return 1
        DLOG_BINARY=$target/release/dlog
    fi
    export DLOG_BINARY BUDGET=$PWD/wasm/npm/budget
    rm -rf "$folder"
    mkdir -p "$folder"
    cp tests/npm/* "$folder/"
    cp examples/javascript/page.html "$folder/"
    cp examples/javascript/worker.mjs "$folder/example-worker.mjs"
    npm install --prefix "$folder" --no-save --ignore-scripts --no-audit --no-fund --loglevel=error "$tarball" "$@" >/dev/null
}

# npm_tool NAME: prints NAME@VERSION, with the version in the package's devDependencies, or
# otherwise in tests/npm/package.json.
npm_tool() { node -p "'$1@' + (require('./wasm/npm/package.json').devDependencies['$1'] ?? require('./tests/npm/package.json').tools['$1'])"; }

# node_test FOLDER FILE...: runs the test files one after the other, shows their output, and adds
# Node's counts to the part's result.
node_test() {
    local folder=$1 log status
    shift
    log=$(mktemp)
    # Node's test runner forwards an interrupt, so that proxies and browsers end too.
    (cd "$folder" && exec node --test --test-concurrency=1 --test-reporter=spec "$@") 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    local passed failed
    passed=$(awk '/^ℹ pass / { n += $3 } END { print n + 0 }' "$log")
    failed=$(awk '/^ℹ (fail|cancelled) / { n += $3 } END { print n + 0 }' "$log")
    rm -f "$log"
    if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
    count "$passed" "$failed"
    [ "$status" -eq 0 ]
}
