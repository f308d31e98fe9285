#!/usr/bin/env bash
# Runs the whole test suite, doctests included.
#
# The GPU tests need a Vulkan adapter. Where none is found this script installs
# Mesa's software driver (lavapipe) with apt, on Debian bookworm from
# bookworm-backports, whose version is newer and knows 16-bit floats.
#
#   ./scripts/test.sh [arguments for `cargo test`]
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n[test.sh] %s\n' "$*"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "cannot run '$*': not root, and there is no sudo"
        exit 1
    fi
}

# A Vulkan adapter needs the loader and a driver's manifest.
has_vulkan() {
    { [ -e /usr/lib/libvulkan.so.1 ] || /sbin/ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1'; } || return 1
    [ -n "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}" ] && return 0
    compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null
}

install_driver() {
    if ! command -v apt-get >/dev/null; then
        say "no Vulkan driver found and no apt-get: install your system's Mesa Vulkan drivers (lavapipe), then run this again"
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    local codename suite=() list=/etc/apt/sources.list.d/wgpu-lstm-backports.list
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
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
    if ! as_root apt-get update -qq; then
        say "apt-get update failed with backports; going on without"
        as_root rm -f "$list"
        as_root apt-get update -qq
    fi
    if [ "$codename" = bookworm ] && apt-cache policy 2>/dev/null | grep -q bookworm-backports; then
        suite=(-t bookworm-backports)
    fi
    say "installing a software Vulkan driver: apt-get install ${suite[*]} mesa-vulkan-drivers libvulkan1"
    as_root apt-get install -y -qq --no-install-recommends "${suite[@]}" mesa-vulkan-drivers libvulkan1 >/dev/null ||
        as_root apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers libvulkan1 >/dev/null
}

if has_vulkan; then
    say "a Vulkan driver is installed"
elif [ "$(uname -s)" = Linux ]; then
    install_driver
else
    say "not Linux: the tests use this system's own GPU driver"
fi

say "cargo test $*"
cargo test --locked "$@"
