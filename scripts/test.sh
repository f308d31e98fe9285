#!/usr/bin/env bash
# Runs the whole test suite, doctests included.
#
#   ./scripts/test.sh [--install] [--quick] [--driver NAME] [arguments for `cargo test`]
#
# On two cores it takes about 20 minutes the first time, 8 of them compiling, and about 10 later;
# longer on swiftshader and gl.
#
#   --install    may install what the tests need and the machine lacks, as it may where CI is set;
#                without, it says what is missing and ends
#   --quick      the short form, under five minutes of tests: one mode of the GPU, no slow random
#                searches (WGPU_LSTM_TEST_QUICK=1), and, if no arguments say what to run, no doctests
#   --driver     which driver the tests run on
#
# The GPU tests need an adapter. Without --driver it is the software adapter if the machine has
# one, else its GPU. Drivers are installed with apt-get, as root or by sudo; on Debian bookworm Mesa
# comes from bookworm-backports, whose version is newer and knows 16-bit floats.
#
#   lavapipe     Mesa's software Vulkan: installed where there is no Vulkan driver at all
#   swiftshader  Google's software Vulkan, out of Debian's package of Chromium
#   gl           Mesa's software OpenGL (llvmpipe), without a display
#
# On lavapipe 25 or newer no test may be left out that needs what it has (WGPU_LSTM_TEST_REQUIRE, unless
# that is set already). The last line says how many were, for what the adapter lacks.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n[test.sh] %s\n' "$*"; }

fail() {
    say "$*"
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "cannot run '$*': not root, and there is no sudo"
    fi
}

# Ends here unless it may install these packages.
may_install() {
    [ -z "$install" ] || return 0
    say "missing: $*. Install that, or on Debian and Ubuntu let this do it with apt-get, as root or by sudo:" >&2
    printf '\n    ./scripts/test.sh --install%s%s\n' "${quick:+ --quick}" "${driver:+ --driver $driver}" >&2
    exit 1
}

has_library() { [ -e "/usr/lib/$1" ] || /sbin/ldconfig -p 2>/dev/null | grep -qF "$1"; }

# A Vulkan adapter needs the loader and a driver's manifest.
has_vulkan() {
    has_library libvulkan.so.1 || return 1
    [ -n "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}" ] && return 0
    compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null
}

has_lavapipe() { has_library libvulkan.so.1 && has_library libvulkan_lvp.so; }

has_gl() { has_library libEGL.so.1 && has_library libEGL_mesa.so.0 && has_library libgallium; }

updated=
apt_update() {
    command -v apt-get >/dev/null || fail "no apt-get: install $1 yourself, then run this again"
    export DEBIAN_FRONTEND=noninteractive
    [ -n "$updated" ] || as_root apt-get update -qq || return 1
    updated=yes
}

# install_mesa PACKAGE...
install_mesa() {
    local codename suite=() list=/etc/apt/sources.list.d/wgpu-lstm-backports.list
    may_install "$@"
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")
    if [ "$codename" = bookworm ]; then
        # The mirror that the machine already uses, with the backports suite added.
        local mirror
        mirror=$({ grep -rhoE '^(URIs:|deb )[^#]*https?://[^ ]*/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null || true; } |
            grep -oE 'https?://[^ ]+' | head -n 1)
        if [ -n "$mirror" ] && ! apt-cache policy 2>/dev/null | grep -q bookworm-backports; then
            say "adding bookworm-backports ($list) for a newer Mesa"
            echo "deb $mirror bookworm-backports main" | as_root tee "$list" >/dev/null
        fi
    fi
    if ! apt_update "$*"; then
        say "apt-get update failed with backports; going on without"
        as_root rm -f "$list"
        apt_update "$*"
    fi
    if [ "$codename" = bookworm ] && apt-cache policy 2>/dev/null | grep -q bookworm-backports; then
        suite=(-t bookworm-backports)
    fi
    say "installing: apt-get install ${suite[*]} $*"
    as_root apt-get install -y -qq --no-install-recommends "${suite[@]}" "$@" >/dev/null ||
        as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# The driver alone, without the browser around it: prints where it lies.
fetch_swiftshader() {
    local name=libvk_swiftshader.so cache="${XDG_CACHE_HOME:-$HOME/.cache}/wgpu-lstm/swiftshader"
    local file package
    for file in /usr/lib/chromium/$name "$cache/$name"; do
        [ -e "$file" ] && echo "$file" && return
    done
    may_install "$name, out of the package chromium-common"
    apt_update "Debian's package chromium-common" >&2 || true
    mkdir -p "$cache/deb"
    for package in chromium-common chromium; do
        say "unpacking $name from the package $package" >&2
        (cd "$cache/deb" && apt-get download -qq "$package") >&2 || continue
        dpkg-deb --fsys-tarfile "$cache/deb/${package}"_*.deb | tar -x -C "$cache" --strip-components=4 "./usr/lib/chromium/$name" || true
        [ -e "$cache/$name" ] && break
    done
    rm -r "$cache/deb"
    [ -e "$cache/$name" ] || fail "no package has $name: it is in Debian's chromium-common" >&2
    echo "$cache/$name"
}

# The drivers that the Vulkan loader may see; newer and older loaders read different variables.
vulkan_drivers() { export VK_DRIVER_FILES="$1" VK_ICD_FILENAMES="$1"; }

# Whether the tests find lavapipe by themselves, and no other software driver of Vulkan.
finds_lavapipe() {
    local manifests
    [ -z "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}${WGPU_LSTM_DEVICE:-}" ] || return 1
    manifests=$(ls /usr/share/vulkan/icd.d /etc/vulkan/icd.d 2>/dev/null || true)
    grep -q lvp_icd <<<"$manifests" && ! grep -qi swiftshader <<<"$manifests"
}

# What lavapipe 25 has: 16-bit floats, and subgroups as wide as the processor's vectors. Nothing of an older
# one, which is what bookworm has without backports, or of one that is no package.
demand_of_lavapipe() {
    local version
    version=$(dpkg-query -W -f '${Version}' mesa-vulkan-drivers 2>/dev/null) || return 0
    [[ $version =~ ^([0-9]+)\. && ${BASH_REMATCH[1]} -ge 25 ]] || return 0
    export WGPU_LSTM_TEST_REQUIRE=f16
    if [ -z "${LP_NATIVE_VECTOR_WIDTH:-}" ] && grep -qw avx /proc/cpuinfo; then
        WGPU_LSTM_TEST_REQUIRE+=,subgroup8
    fi
    say "Mesa $version: no test is left out for want of $WGPU_LSTM_TEST_REQUIRE"
}

# How many tests were not reached, and what the adapter lacks for them, of the lines that they print.
left_out() {
    local words
    words=$(sed -nE 's/^not reached: .*: ([a-z0-9]+)$/\1/p' "$1" | sort | uniq -c | awk '{ printf "%s%s %s", comma, $1, $2; comma = ", " }')
    say "not reached for what the adapter lacks: ${words:-nothing}"
}

# What is tested besides the default features.
features=csv,keras,ndarray,npz,onnx,plot,pytorch,tokenizers
driver=
quick=
manifest=
errors=$(mktemp)
trap 'rm -f "$errors" "$manifest"' EXIT
case "${CI:-}" in
'' | 0 | false) install= ;;
*) install=yes ;;
esac
while [ $# -gt 0 ]; do
    case "$1" in
    --driver)
        driver=${2:-?}
        shift $(($# < 2 ? $# : 2))
        continue
        ;;
    --install) install=yes ;;
    --quick) quick=yes ;;
    *) break ;;
    esac
    shift
done
if [ -n "$quick" ]; then
    say "the short form: under five minutes of tests on two cores, and 8 of compiling the first time"
    export WGPU_LSTM_TEST_QUICK=1
    # Doctests are programs of their own, and examples are built for them alone.
    [ $# -gt 0 ] || set -- --tests
else
    say "the whole suite takes about 20 minutes on two cores the first time, 8 of them compiling, and about 10 later; longer on swiftshader and gl. --quick is the short form"
fi
case "$driver" in
'')
    if has_vulkan; then
        say "a Vulkan driver is installed"
    elif [ "$(uname -s)" = Linux ]; then
        install_mesa mesa-vulkan-drivers libvulkan1
    else
        say "not Linux: the tests use this system's own GPU driver"
    fi
    ;;
lavapipe)
    has_lavapipe || install_mesa mesa-vulkan-drivers libvulkan1
    vulkan_drivers "$(compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' | head -n 1)"
    export WGPU_LSTM_TEST_ADAPTER='Vulkan, llvmpipe'
    ;;
swiftshader)
    has_library libvulkan.so.1 || install_mesa libvulkan1
    library=$(fetch_swiftshader)
    manifest=$(mktemp --suffix=.json)
    echo "{\"file_format_version\": \"1.0.0\", \"ICD\": {\"library_path\": \"$library\", \"api_version\": \"1.1.0\"}}" >"$manifest"
    vulkan_drivers "$manifest"
    export WGPU_LSTM_TEST_ADAPTER='Vulkan, SwiftShader'
    ;;
gl)
    has_gl || install_mesa libegl1 libgl1-mesa-dri
    # No Vulkan driver is left, and no card.
    vulkan_drivers /nonexistent
    export LIBGL_ALWAYS_SOFTWARE=1
    # Nearly all of the time is Mesa's, which compiles each access to memory lane by lane: four lanes
    # take it less than half as long as eight. Its key to what it keeps on disk does not say how many
    # they are, so what these runs keep is no other program's.
    export LP_NATIVE_VECTOR_WIDTH=128
    export MESA_SHADER_CACHE_DIR="${XDG_CACHE_HOME:-$HOME/.cache}/wgpu-lstm/gl"
    mkdir -p "$MESA_SHADER_CACHE_DIR"
    export WGPU_LSTM_TEST_ADAPTER='Gl, '
    ;;
*) fail "no such driver: '$driver'; there are lavapipe, swiftshader and gl" ;;
esac

if [ -z "${WGPU_LSTM_TEST_REQUIRE+set}" ] && { [ "$driver" = lavapipe ] || { [ -z "$driver" ] && finds_lavapipe; }; }; then
    demand_of_lavapipe
fi
if [ -n "$driver" ]; then
    # Fails if it is not the driver that was asked for.
    cargo test --locked --features "$features" --test adapter -- --nocapture
fi
say "cargo test $*"
# Cargo does not see a terminal behind a pipe.
[ ! -t 2 ] || export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-always}"
status=0
{ cargo test --locked --features "$features" "$@" 2>&1 >&3 | tee "$errors" >&2; } 3>&1 || status=$?
left_out "$errors"
exit "$status"
