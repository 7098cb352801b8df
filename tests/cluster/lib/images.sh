# SPDX-License-Identifier: Apache-2.0
# Root trees, SIFs and OCI layouts for tests, made from Debian packages and kept in a cache directory.
# Sourced, never run. Everything here needs root: debootstrap and umoci keep owners and modes.
# shellcheck shell=bash

CACHE=${SLIPWAY_TEST_CACHE:-/var/cache/slipway-test}
MIRROR=${SLIPWAY_DEBIAN_MIRROR:-http://deb.debian.org/debian}
SUITE=bookworm
ARCH=$(dpkg --print-architecture)
# Raise it when a recipe below changes: caches of older recipes are then made anew.
RECIPES=1

# cached KIND NAME FUNCTION ARGUMENT…: prints CACHE/KIND/NAME, made by FUNCTION OUT ARGUMENT… if it is not
# there. Two callers at once: the second waits. A function that fails leaves nothing that looks finished.
cached() {
    local out=$CACHE/r$RECIPES/$1/$2
    shift 2
    if [ ! -e "$out" ]; then
        need_root "makes test images"
        mkdir -p "${out%/*}"
        # In the background and waited for: in a command list with || bash would ignore set -e.
        make_once "$out" "$@" 8>"$out.lock" >&2 &
        wait $! || { rm -rf --one-file-system "$out.tmp" "$out.tmp".*; die "could not make $out"; }
        rm -f "$out.lock"
    fi
    echo "$out"
}

make_once() {
    local out=$1 make=$2
    shift 2
    set -e
    flock 8
    [ ! -e "$out" ] || return 0
    say "making ${out#"$CACHE"/} (once; kept in $CACHE)"
    rm -rf --one-file-system "$out.tmp" "$out.tmp".*
    "$make" "$out.tmp" "$@" 8>&-
    mv "$out.tmp" "$out"
}

# ---- root trees ----

tree() {
    case $1 in
        busybox) cached tree busybox make_busybox_tree ;;
        debian-min) cached tree debian-min make_debian_min_tree ;;
        debian) cached tree debian make_tree_with debian-min python3-minimal ;;
        mpi) cached tree mpi make_mpi_tree ;;
        *) die "unknown root tree $1 (busybox, debian, mpi)" ;;
    esac
}

make_busybox_tree() {
    local name
    mkdir -p "$1"/{bin,dev,etc,home,proc,root,run,sys,tmp,usr,var/tmp}
    chmod 755 "$1"
    chmod 1777 "$1/tmp" "$1/var/tmp"
    cp "$(command -v busybox)" "$1/bin/busybox"
    for name in $("$1/bin/busybox" --list); do
        [ "$name" = busybox ] || ln -s busybox "$1/bin/$name"
    done
    ln -s ../bin "$1/usr/bin"
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$1/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$1/etc/group"
    printf 'PRETTY_NAME="Busybox (test image)"\nNAME="Busybox"\nID=busybox\n' >"$1/etc/os-release"
}

make_debian_min_tree() {
    debootstrap --variant=minbase --arch="$ARCH" "$SUITE" "$1" "$MIRROR"
    clean_tree "$1"
}

# make_tree_with OUT BASE PACKAGE…
make_tree_with() {
    local out=$1 base=$2
    shift 2
    cp -a --reflink=auto "$(tree "$base")" "$out"
    install_in_tree "$out" "$@"
}

# The package manager of the tree itself, so that no state of the host gets in.
install_in_tree() {
    local root=$1 rc=0
    shift
    cp --remove-destination /etc/resolv.conf "$root/etc/resolv.conf"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    # A private mount namespace: /proc for maintainer scripts disappears with it, whatever happens.
    unshare -m -- sh -ec '
        mount -t proc proc "$1/proc"
        root=$1
        shift
        export DEBIAN_FRONTEND=noninteractive LC_ALL=C
        [ -n "$(ls "$root/var/lib/apt/lists" 2>/dev/null)" ] || chroot "$root" apt-get -q update
        chroot "$root" apt-get -q install -y --no-install-recommends "$@"' - "$root" "$@" </dev/null || rc=$?
    rm -f "$root/usr/sbin/policy-rc.d"
    clean_tree "$root"
    return "$rc"
}

clean_tree() {
    rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/cache/apt/*.bin "$1"/var/lib/apt/lists/* \
        "$1"/var/log/*.log "$1"/var/log/apt "$1/etc/resolv.conf"
    : >"$1/etc/resolv.conf"
}

# MPICH of Debian speaks PMI over the descriptor that srun --mpi=pmi2 gives it.
make_mpi_tree() {
    local build=$1.build here
    here=$(dirname "${BASH_SOURCE[0]}")
    rm -rf --one-file-system "$build"
    make_tree_with "$build" debian-min gcc libc6-dev libmpich-dev mpich
    make_tree_with "$1" debian-min libmpich12
    cp "$here/../mpi_hello.c" "$build/root/"
    chroot "$build" mpicc -O1 -Wall -o /root/mpi_hello /root/mpi_hello.c
    install -m 755 "$build/root/mpi_hello" "$1/usr/bin/mpi_hello"
    rm -rf --one-file-system "$build"
}

# ---- SIFs ----

sif() {
    cached sif "$1.sif" make_named_sif "$1"
}

make_named_sif() {
    make_sif "$1" "$(tree "$2")"
}

# make_sif OUT ROOT [ARCH] [COMPRESSION]: a squashfs as primary system partition, nothing else.
make_sif() {
    local out=$1 root=$2 arch=${3:-$ARCH} comp=${4:-zstd} number squash=$1.squashfs
    case $arch in
        386) number=1 ;;
        amd64) number=2 ;;
        arm) number=3 ;;
        arm64) number=4 ;;
        ppc64le) number=6 ;;
        s390x) number=11 ;;
        riscv64) number=12 ;;
        *) die "make-sif: unknown architecture $arch" ;;
    esac
    rm -f "$out" "$squash"
    mksquashfs "$root" "$squash" -comp "$comp" -noappend -no-progress -quiet >&2
    siftool new "$out"
    siftool add "$out" "$squash" --datatype 4 --parttype 2 --partfs 1 --partarch "$number"
    rm -f "$squash"
    chmod 644 "$out"
}

# ---- OCI layouts, one per image, with the tag `latest` inside ----

layout() {
    case $1 in
        busybox | debian | debian-py | py | big) cached oci "$1" "make_${1//-/_}_layout" ;;
        *) die "unknown image $1 (busybox, debian, debian-py, py, big)" ;;
    esac
}

# image_tag NAME: what tests call it in a registry.
image_tag() {
    case $1 in
        debian) echo debian:12 ;;
        busybox | debian-py | py | big) echo "$1:1" ;;
        *) die "unknown image $1" ;;
    esac
}

new_layout() {
    umoci init --layout "$1"
    umoci new --image "$1:latest"
}

# add_layer LAYOUT FUNCTION ARGUMENT…: unpacks, runs FUNCTION ROOT ARGUMENT…, and keeps what it changed as
# one more layer. Deletions become whiteouts, second names hard links: that is umoci's work.
add_layer() {
    local out=$1 bundle=$1.bundle
    shift
    rm -rf --one-file-system "$bundle"
    umoci unpack --image "$out:latest" "$bundle"
    "$1" "$bundle/rootfs" "${@:2}"
    umoci repack --image "$out:latest" --history.created_by "$1" "$bundle"
    rm -rf --one-file-system "$bundle"
}

# add_raw_layer LAYOUT FUNCTION ARGUMENT…: FUNCTION DIR ARGUMENT… makes the members of a layer archive,
# taken as they are.
add_raw_layer() {
    local work=$1.raw
    mkdir "$work"
    "$2" "$work" "${@:3}"
    (cd "$work" && find . ! -type d -print0 |
        tar --owner=0 --group=0 --no-recursion --null --files-from=- -cf "$work.tar")
    umoci raw add-layer --image "$1:latest" --history.created_by "$2" "$work.tar"
    rm -rf "$work" "$work.tar"
}

layer_from_tree() { cp -a --reflink=auto "$2/." "$1/"; }

make_busybox_layout() {
    new_layout "$1"
    add_layer "$1" layer_from_tree "$(tree busybox)"
    umoci config --image "$1:latest" --config.cmd sh --config.env PATH=/bin:/usr/bin
}

make_debian_layout() {
    new_layout "$1"
    add_layer "$1" layer_from_tree "$(tree debian-min)"
    umoci config --image "$1:latest" --config.cmd bash \
        --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
}

# Every corner that a layer can have and a converter can get wrong, with files that tests look at.
make_debian_py_layout() {
    cp -a --reflink=auto "$(layout debian)" "$1"
    add_layer "$1" install_in_tree python3-minimal
    add_layer "$1" layer_with_corners_below
    add_layer "$1" layer_with_corners_above
    add_raw_layer "$1" corners_of_other_builders
    umoci config --image "$1:latest" --config.entrypoint /usr/local/bin/entry --config.cmd python3 \
        --config.cmd -V --config.env PATH=/usr/local/bin:/usr/bin:/bin --config.env GREETING="hello world" \
        --config.workingdir /srv/work --config.label org.example.test=yes --config.user nobody
}

layer_with_corners_below() {
    local d=$1/srv
    mkdir -p "$d"/{work,whole,opaque,emptied,marked/deep,target}
    echo below >"$d/marked/old"
    echo below >"$d/marked/deep/old"
    ln -s target "$d/through"
    echo one >"$d/removed"
    echo below >"$d/replaced"
    echo below >"$d/whole/file"
    echo below >"$d/opaque/old"
    echo below >"$d/emptied/file"
    echo linked >"$d/hard1"
    ln "$d/hard1" "$d/hard2"
    ln "$d/hard1" "$d/hard3"
    ln -s /srv/replaced "$d/absolute"
    ln -s work "$d/to-directory"
    mkfifo "$d/fifo"
    printf 'sparse' | dd of="$d/sparse" bs=1 seek=8M status=none
    printf '#!/bin/sh\nexec "$@"\n' >"$1/usr/local/bin/entry"
    chmod 755 "$1/usr/local/bin/entry"
    install -m 4755 "$1/bin/true" "$1/usr/local/bin/setuid"
    install -m 2755 -g 42 "$1/bin/true" "$1/usr/local/bin/setgid"
    install -m 755 "$1/bin/true" "$1/usr/local/bin/capable"
    setcap cap_net_raw+ep "$1/usr/local/bin/capable"
    setfattr -n user.note -v text "$d/hard1"
    chown 1234:4321 "$d/work"
    touch -d @1000000000 "$d/replaced"
}

layer_with_corners_above() {
    local d=$1/srv
    rm "$d/removed"
    rm -r "$d/whole" "$d/emptied/file" "$1/usr/share/doc"
    echo above >"$d/replaced"
    # A directory that is removed and made again: its old files must not come back.
    rm -r "$d/opaque"
    mkdir "$d/opaque"
    echo above >"$d/opaque/new"
    # One name of three gets new content, the other two keep the old inode.
    rm "$d/hard2"
    echo unlinked >"$d/hard2"
    # A symbolic link becomes a directory.
    rm "$d/to-directory"
    mkdir "$d/to-directory"
    echo above >"$d/to-directory/file"
}

# What umoci never writes but others do: an opaque marker, names with a leading ./, parents that the
# archive does not mention (one of them a symbolic link below), a whiteout of nothing, long and odd names.
corners_of_other_builders() {
    local d=$1/srv long
    long=$(printf 'long%.0s' {1..50})
    mkdir -p "$d/marked" "$d/through" "$d/implicit/parent" "$d/$long/$long"
    : >"$d/marked/.wh..wh..opq"
    echo above >"$d/marked/new"
    echo above >"$d/through/file"
    echo above >"$d/implicit/parent/file"
    : >"$d/.wh.never-was-there"
    echo long >"$d/$long/$long/file"
    echo odd >"$d"/$'odd \xc3\xa4 "quoted"\nname'
}

# About 0.7 GB: what a scientist brings.
make_py_layout() {
    cp -a --reflink=auto "$(layout debian)" "$1"
    add_layer "$1" install_in_tree python3 ca-certificates
    add_layer "$1" install_in_tree python3-numpy
    add_layer "$1" install_in_tree python3-scipy
    umoci config --image "$1:latest" --config.cmd python3
}

# About 2 GB: large files that do not compress, many small ones, and whiteouts over both. All by hand:
# umoci would unpack the whole image for each layer.
make_big_layout() {
    cp -a --reflink=auto "$(layout py)" "$1"
    local n
    for n in 1 2 3; do add_raw_layer "$1" layer_of_noise "$n"; done
    add_raw_layer "$1" layer_of_small_files
    add_raw_layer "$1" layer_of_whiteouts
}

# The same bytes on every machine: a cipher's key stream.
layer_of_noise() {
    mkdir -p "$1/opt/noise"
    openssl enc -aes-128-ctr -K "$(printf '%032x' "$2")" -iv 0 -in /dev/zero 2>/dev/null |
        head -c 300M >"$1/opt/noise/$2" || true
    [ "$(stat -c %s "$1/opt/noise/$2")" -eq $((300 * 1024 * 1024)) ]
}

layer_of_small_files() {
    mkdir -p "$1/opt/small"
    awk -v root="$1/opt/small" 'BEGIN {
        for (d = 0; d < 550; d++) {
            system("mkdir " root "/" d)
            for (f = 0; f < 100; f++) {
                file = root "/" d "/" f
                for (l = 0; l <= (d * 7 + f * 13) % 40; l++)
                    print "file", d, f, "line", l, (d * 31 + f * 17 + l * 7) % 9973 >file
                close(file)
            }
        }
    }'
}

layer_of_whiteouts() {
    mkdir -p "$1/opt/small" "$1/opt/noise" "$1/usr/share/doc"
    touch "$1"/opt/small/.wh.{0..49} "$1/opt/noise/.wh.2" "$1"/usr/share/doc/.wh.{python3,perl-base,passwd}
}
