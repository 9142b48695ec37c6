#!/usr/bin/env bash
# Makes targets buildable with plain `cargo build --target T`.
#
#   tests/lib/targets.sh ENV_FILE TARGET...      then: . ENV_FILE
#
# With rustup: `rustup target add`. Without it, or with NO_RUSTUP=1: Debian's rustc-web and rust-web-src are installed, and the standard
# library is built from that source once for each target into a folder of the user's cache. ENV_FILE then points cargo at that compiler and
# folder. Neither needs unstable flags in the builds that follow, so a use of unstable features is still noticed.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/lib/common.sh

env_file=$1
shift
: >"$env_file"

# The library of a target as the toolchain in use has it.
has_target() { compgen -G "$(rustc --print sysroot)/lib/rustlib/$1/lib/libcore-*.rlib" >/dev/null; }

missing=()
for target in "$@"; do has_target "$target" || missing+=("$target"); done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ -z "${NO_RUSTUP:-}" ] && command -v rustup >/dev/null; then
    echo "rustup target add ${missing[*]} (half a minute)"
    if timeout 600 rustup target add "${missing[@]}"; then exit 0; fi
    echo "rustup could not add them; building from Debian's source instead"
fi

install_packages rustc-web rust-web-src
# Debian's compiler must go with Debian's source: other versions do not compile it.
compiler=/usr/bin/rustc
[ -x $compiler ] || { echo "$compiler is missing although rustc-web is installed" >&2; exit 1; }
version=$($compiler --version)
linker=$(compgen -G "$(rustc --print sysroot)/lib/rustlib/*/bin/rust-lld" | head -n 1 || true)
[ -n "$linker" ] || linker=$(command -v rust-lld || command -v ld.lld || true)
[ -n "$linker" ] || { echo "no lld found: the toolchain should have rust-lld" >&2; exit 1; }

# The folder's name changes with the compiler and with this recipe: cargo does not notice that a sysroot was rebuilt in place.
recipe=$(printf '%s %s' "$version" "$(sha256sum <tests/lib/targets.sh)" | sha256sum | cut -c1-12)
sysroot=${XDG_CACHE_HOME:-$HOME/.cache}/distributedlog-tests/sysroot-$recipe

build_std() {
    local target=$1 crates=$2 features=$3 panic=${4:-abort} out=$sysroot/lib/rustlib/$1/lib work
    work=$(mktemp -d)
    mkdir -p "$work/src"
    echo '#![no_std]' >"$work/src/lib.rs"
    printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2021"\n[profile.release]\npanic = "%s"\n' "$panic" >"$work/Cargo.toml"
    # Bitcode, because a link with LTO needs it. RUSTC_BOOTSTRAP holds for this one build of the library itself.
    (cd "$work" && RUSTC=$compiler RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes cargo build -q --release \
        -Zbuild-std="$crates" ${features:+-Zbuild-std-features="$features"} --target "$target" --target-dir "$work/target")
    mkdir -p "$out"
    cp "$work/target/$target/release/deps/"*.rlib "$out/"
    rm -f "$out"/libempty-*
    touch "$out/.complete"
    rm -rf "$work"
}

for target in "${missing[@]}"; do
    if [ ! -e "$sysroot/lib/rustlib/$target/lib/.complete" ]; then
        began=$SECONDS
        echo "building the standard library for $target (20 to 60 s, once)"
        case $target in
        *-none-*) build_std "$target" core,alloc,compiler_builtins compiler-builtins-mem ;;
        wasm32-*) build_std "$target" std,panic_abort,proc_macro,test panic-unwind ;;
        # Programs for Linux unwind: a task that panics does not end the others.
        *-linux-*) build_std "$target" std,panic_unwind,proc_macro panic-unwind unwind ;;
        *) build_std "$target" std,panic_abort,proc_macro panic-unwind ;;
        esac
        echo "built in $((SECONDS - began)) s"
    fi
    upper=$(tr 'a-z-' 'A-Z_' <<<"$target")
    {
        echo "export CARGO_TARGET_${upper}_LINKER=$linker"
        echo "export CARGO_TARGET_${upper}_RUSTFLAGS=\"--sysroot=$sysroot \${CARGO_TARGET_${upper}_RUSTFLAGS:-}\""
    } >>"$env_file"
done
echo "export RUSTC=$compiler" >>"$env_file"
