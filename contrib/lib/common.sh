# SPDX-License-Identifier: Apache-2.0
# Shell functions shared by the scripts in contrib/ and tests/cluster/. Sourced, never run.
# shellcheck shell=bash

# set -e also inside $(…), where bash forgets it otherwise.
shopt -s inherit_errexit

SLIPWAY_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export SLIPWAY_ROOT

# Everything here speaks on stderr: stdout belongs to results that another program reads.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "error: $*"; exit 1; }
heading() { printf '\n== %s\n' "$*"; }

need_root() {
    [ "$(id -u)" -eq 0 ] || die "must run as root (it $1)"
}

# Packages of the named groups of contrib/packages.txt, one per line.
packages_of() {
    awk -v want=" $* " '
        /^\[.*\]$/ { group = substr($0, 2, length($0) - 2); next }
        /^#/ || /^[ \t]*$/ { next }
        index(want, " " group " ") { print $1 }' "$SLIPWAY_ROOT/contrib/packages.txt"
}

missing_packages() {
    local want
    want=$(packages_of "$@" | sort -u)
    # dpkg-query prints only what it knows, and fails when it does not know one: both are normal here.
    comm -23 <(printf '%s\n' "$want") <(
        # shellcheck disable=SC2086,SC2016  # one word per package; ${…} is for dpkg-query
        dpkg-query -W -f '${db:Status-Status} ${Package}\n' $want 2>/dev/null |
            awk '$1 == "installed" { print $2 }' | sort -u)
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 \
        -o Dpkg::Use-Pty=0 "$@" </dev/null >&2
}

# Daemons of freshly installed packages (munged, slurmd, a registry on port 5000) must not start on the
# user's machine: what uses them starts its own, elsewhere. A policy that is already there stays.
install_without_starting() {
    local policy=/usr/sbin/policy-rc.d ours=
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        ours=$policy
    fi
    local rc=0
    apt_get install -y --no-install-recommends "$@" || rc=$?
    [ -z "$ours" ] || rm -f "$ours"
    return "$rc"
}

# need_packages GROUP…: installs what is missing of these groups; does nothing, and needs no root and
# no network, when all is there.
need_packages() {
    local missing
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    missing=${missing//$'\n'/ }
    [ "$(id -u)" -eq 0 ] || die "these Debian packages are missing; install them as root: $missing"
    say "installing $missing"
    # Old package lists name versions that the mirrors no longer have: refresh and try once more.
    # shellcheck disable=SC2086
    install_without_starting $missing 2>/dev/null && return 0
    apt_get update || say "apt-get update failed; trying with the lists at hand"
    # shellcheck disable=SC2086
    install_without_starting $missing ||
        die "apt-get could not install them all; see its messages above"
}

# configure_and_build PRESET [TARGET…]: into build/PRESET. Configures again only if needed (ninja does).
configure_and_build() {
    local preset=$1 dir=$SLIPWAY_ROOT/build/$1
    shift
    if [ ! -f "$dir/build.ninja" ]; then
        (cd "$SLIPWAY_ROOT" && cmake --preset "$preset" >&2) || die "cmake --preset $preset failed"
    fi
    nice ninja -C "$dir" "$@" >&2 || die "the build in $dir failed"
}
