#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bare.sh [--warm] COMMAND…: runs a command of this tree as on a Debian 12 with nothing installed: in a
# fresh minimal root, own process ids, /dev (with /dev/fuse as the kernel makes it, 0600), /run and /tmp,
# on a copy of the files that git knows. For instance: contrib/bare.sh contrib/demo.sh
# --warm: with the compiler cache and the test images of this machine, so that it takes minutes less.
set -euo pipefail
# shellcheck source=contrib/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=tests/cluster/lib/images.sh
. "$SLIPWAY_ROOT/tests/cluster/lib/images.sh"

# Runs as the first process of new mount and process id namespaces. $1: directory with the new root.
enter() {
    local root=$1 node
    mount --make-rprivate /
    mount --rbind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    for node in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
        read -r name major minor <<<"$node"
        mknod -m 666 "$root/dev/$name" c "$major" "$minor"
    done
    mknod -m 600 "$root/dev/fuse" c 10 229
    mkdir -p "$root/dev/pts" "$root/dev/shm" "$root/root/host"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    # Not chroot: user namespaces cannot be made in one.
    cd "$root"
    pivot_root . root/host
    umount -l root/host
    cd /usr/local/src/slipway
    shift
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM:-dumb}" \
        LANG=C.UTF-8 CCACHE_DIR=/root/ccache "$@"
}

copy_tree() {
    mkdir -p "$1"
    (cd "$SLIPWAY_ROOT" && git ls-files -z --cached --others --exclude-standard |
        tar --null --ignore-failed-read -cf - -T -) | tar -xf - -C "$1" --no-same-owner
}

warm() {
    local root=$1 cache
    cache=$(ccache --get-config cache_dir 2>/dev/null || true)
    mkdir -p "$root/root/ccache" "$root$CACHE"
    [ ! -d "$cache" ] || mount --bind "$cache" "$root/root/ccache"
    [ ! -d "$CACHE" ] || mount --bind "$CACHE" "$root$CACHE"
}

main() {
    local use_caches=
    if [ "${1:-}" = --warm ]; then use_caches=yes; shift; fi
    [ $# -ge 1 ] || { sed -n '3,6s/^# //p' "$0" >&2; exit 2; }
    need_root "makes a root directory"
    need_packages cluster
    local base
    base=$(tree debian-min)
    WORK=$(mktemp -d /var/tmp/slipway-bare.XXXX)
    # The mounts go with their namespace; only files are left to remove.
    trap 'rm -rf --one-file-system "$WORK"' EXIT
    cp -a --reflink=auto "$base" "$WORK/root"
    # A machine has its name and knows its address.
    cp --remove-destination /etc/resolv.conf /etc/hosts /etc/hostname "$WORK/root/etc/"
    copy_tree "$WORK/root/usr/local/src/slipway"
    export -f enter warm
    export CACHE
    # No exec: the trap removes the directory afterwards.
    unshare --mount --pid --fork --kill-child -- bash -euc '
        [ -z "$1" ] || warm "$2"
        shift
        enter "$@"' - "$use_caches" "$WORK/root" "$@"
}

main "$@"
