#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The store on real NFS 4.2 with root_squash: a server, and two mounts that share no cache and stand for
# two hosts. All of it runs in a Linux of its own (nfs/machine), which this kernel cannot disturb and
# which is gone afterwards whatever happens.
# shellcheck disable=SC2016  # scripts for the machine are expanded in there

bats_require_minimum_version 1.5.0
load common

setup_file() {
    MACHINE=$(mktemp -d "${BATS_FILE_TMPDIR}/machine.XXXX")
    local rc=0 said
    "$HERE/layouts.py" good "$MACHINE/layouts/small" 0
    "$HERE/layouts.py" good "$MACHINE/layouts/middle" 4
    said=$("$HERE/nfs/machine" up "$MACHINE" "$SLIPWAY_BUILD" 2>&1) || rc=$?
    NO_MACHINE=
    [ "$rc" -ne 77 ] || NO_MACHINE=$(head -n 1 <<<"$said")
    [[ $rc -eq 0 || $rc -eq 77 ]] || { echo "$said"; return 1; }
    export MACHINE NO_MACHINE
}

teardown_file() { "$HERE/nfs/machine" down "$MACHINE"; }

setup() {
    [ -z "$NO_MACHINE" ] || skip "$NO_MACHINE"
    inside <<<clean
}

# inside: runs a script in the machine; nfs/inside.bash says what it may use.
inside() { "$HERE/nfs/machine" "do" "$MACHINE"; }

@test "the store's own tests pass on NFS" {
    run inside <<'END'
        mkdir -p "$EXPORT/alice/unit"
        chown "$ALICE:" "$EXPORT/alice/unit"
        at a env TMPDIR=/mnt/a/alice/unit "$SLIPWAY_BUILD/bin/unit_store"
        empty "$EXPORT/alice/unit"
END
    expect_status 0
    expect_output 'All tests passed|test cases: +[0-9]+ \| +[0-9]+ passed'
}

@test "root is nobody on the server, and a user's image runs all the same on two nodes" {
    run inside <<'END'
        at a slipway stage "$PLAIN"
        ! ls /mnt/a/alice/store 2>/dev/null || fail "root may read a private store: no root_squash"
        mark
        at a srun -N2 --container-image="$PLAIN" cat /proc/self/mountinfo
        [ "$(most_fetched)" -eq 0 ] || fail "it was fetched again"
END
    expect_status 0
    expect_lines 2 ' / / .*fuse'
}

@test "two hosts want one image: one download, one conversion, both are served" {
    run inside <<'END'
        mark
        held_worker a
        at b slipway stage --print-path "$HELD" >/tmp/second.out 2>&1 &
        second=$!
        until_true 20 grep -q 'waiting for process .* on hosta, which fetches the same image' /tmp/second.out
        let_go
        wait "$JOB" || fail "the first failed: $(cat /tmp/worker.out)"
        (sleep 30; kill "$second") 2>/dev/null & # its cache says for an hour that there is no image
        wait "$second" || fail "the second failed: $(cat /tmp/second.out)"
        path=$(tail -n 1 /tmp/second.out)
        at b slipway exec "$path" echo it runs
        echo "fetched $(most_fetched) times, $(images) images"
        empty "$STORE/tmp" "$STORE/leases" || fail "$(find "$STORE/tmp" "$STORE/leases")"
        at b slipway cache fsck
END
    expect_status 0
    expect_output 'fetched 1 times, 1 images'
    expect_output 'it runs'
    expect_output '0 problem'
}

@test "a host that remembers that an image was missing finds it at once when it is there" {
    run inside <<'END'
        at a slipway stage "$PLAIN" >/tmp/once
        path=$(tail -n 1 /tmp/once | sed 's|/mnt/a|/mnt/b|') pinned=$(head -n 1 /tmp/once)
        at a slipway cache clean -f --protected
        at b slipway images >/dev/null
        at b ls "$path" 2>/dev/null && fail "it is still there"
        at b slipway stage --pull=never "$pinned" 2>/dev/null && fail "never means never"
        at a slipway stage "$PLAIN" >/dev/null
        mark
        at b ls "$path" 2>/dev/null || echo "the cache of the mount is behind"
        at b slipway exec "$path" echo it runs
        at b slipway stage --pull=never --print-path "$pinned"
        at b slipway stage --print-path "$PLAIN"
        [ "$(most_fetched)" -eq 0 ] || fail "it was fetched again"
END
    expect_status 0
    expect_output 'the cache of the mount is behind' # else this test shows nothing
    expect_output $'\nit runs'
    expect_lines 2 '^/mnt/b/.*\.sif$'
}

@test "a killed holder is taken over: at once on its host, after a time of silence elsewhere" {
    run inside <<'END'
        held_worker a
        kill -KILL "$WORKER"
        wait "$JOB" && fail "it was not killed"
        let_go
        at a slipway stage "$HELD" >/dev/null
        empty "$STORE/tmp" "$STORE/leases" || fail "left: $(find "$STORE/tmp" "$STORE/leases")"
        clean
        held_worker a
        kill -KILL "$WORKER"
        wait "$JOB" && fail "it was not killed"
        let_go
        # Nobody on another host can know that it is dead but by its silence: 60 s, here in fast motion.
        at b "${CLOCK[@]}" FAKETIME='+0 x60' slipway stage "$HELD" 2>&1
        [ "$(images)" -eq 1 ] && empty "$STORE/leases" || fail "not taken over"
        # Its work directory goes when its own host looks again.
        [ "$(ls "$STORE/tmp" | wc -l)" -eq 1 ] || fail "another host's work was swept"
        at a slipway cache fsck --repair
        empty "$STORE/tmp" || fail "its own host did not sweep"
END
    expect_status 0
    expect_output 'waiting for process .* on hosta, which fetches the same image'
}

@test "on both hosts: foreign files stay, an older store is marked, a directory in use is refused" {
    run inside <<'END'
        at a slipway stage "$PLAIN" >/dev/null
        rm "$STORE/slipway-store"
        mkdir -p "$STORE/tmp/thesis"
        for file in tmp/notes.txt tmp/thesis/chapter1 tmp/a.99999999.b images/photo.jpg pins/map.txt; do
            echo "text of $file" >"$STORE/$file"
        done
        chown -R "$ALICE:" "$STORE/tmp" "$STORE/images/photo.jpg" "$STORE/pins/map.txt"
        before=$(cd "$STORE" && sha256sum tmp/notes.txt tmp/thesis/* tmp/a.* images/photo.jpg pins/map.txt)
        at b slipway stage "$PLAIN" >/dev/null
        [ -f "$STORE/slipway-store" ] || fail "no mark"
        mark=$(stat -c %i "$STORE/slipway-store")
        at a slipway cache fsck --repair || fail "foreign files are no damage"
        [ "$(images)" -eq 1 ] || fail "an image was lost"
        at b slipway cache clean --force --protected
        [ "$(stat -c %i "$STORE/slipway-store")" = "$mark" ] || fail "marked twice"
        after=$(cd "$STORE" && sha256sum tmp/notes.txt tmp/thesis/* tmp/a.* images/photo.jpg pins/map.txt)
        [ "$after" = "$before" ] || fail "changed: $after"
        mkdir "$EXPORT/alice/used"
        echo mine >"$EXPORT/alice/used/notes.txt"
        chown -R "$ALICE:" "$EXPORT/alice/used"
        at a env SLIPWAY_CACHEDIR=/mnt/a/alice/used slipway stage "$PLAIN" 2>&1 && fail "it became a store"
        [ "$(ls -A "$EXPORT/alice/used")" = notes.txt ] || fail "something was made"
        rm -r "$EXPORT/alice/used"
END
    expect_status 0
    expect_output 'store-unusable: .* cannot become a store: it holds .notes.txt.'
    expect_output 'tmp/thesis: does not belong to the store'
}

@test "readers on the other host never see half an image" {
    run inside <<'END'
        at a slipway stage "$PLAIN" 2>/dev/null >/tmp/once
        path=$(tail -n 1 /tmp/once)
        want=$(at a sha256sum "$path" | cut -d' ' -f1)
        cat >/tmp/reader <<'READER'
            seen=0
            while [ ! -e /tmp/enough ]; do
                ls "${1%/*}" >/dev/null # asks the server
                # Gone, or gone while it is read, is no answer; any answer must be the whole image.
                sum=$(sha256sum "$1" 2>/dev/null) || continue
                [ "${sum%% *}" = "$2" ] || { echo "half an image: $sum"; exit 1; }
                seen=$((seen + 1))
            done
            echo "$seen"
READER
        at b bash /tmp/reader "${path/\/a\///b/}" "$want" >/tmp/reader.out &
        reader=$!
        for round in 1 2; do
            at a slipway cache clean -f --protected >/dev/null
            at a slipway stage "$PLAIN" >/dev/null 2>&1
        done
        sleep 0.5
        touch /tmp/enough
        wait "$reader" || fail "$(cat /tmp/reader.out)"
        [ "$(cat /tmp/reader.out)" -gt 0 ] || fail "the reader saw nothing"
END
    expect_status 0
}

@test "a job keeps an image that is removed under it, and fsck leaves that alone" {
    run inside <<'END'
        at a slipway stage "$PLAIN" >/dev/null 2>&1
        at a slipway exec "$PLAIN" \
            sh -c 'echo started; until [ -e /tmp/go ]; do sleep 0.1; done; cat /bin/busybox | wc -c' >/tmp/job.out 2>&1 &
        job=$!
        until_true 20 grep -q started /tmp/job.out
        at a slipway cache clean -f --protected >/dev/null
        [ "$(images)" -eq 0 ] || fail "not removed"
        ls -A "$STORE/images" | grep -q '^\.nfs' || fail "the client did not keep the open file"
        at b slipway cache fsck --repair
        touch /tmp/go
        wait "$job" || fail "the job died: $(cat /tmp/job.out)"
        cat /tmp/job.out
        empty "$STORE/images" || fail "left: $(ls -A "$STORE/images")"
END
    expect_status 0
    expect_output '0 problem'
    expect_output $'\n[0-9]{6,}'
}

@test "a server that goes away in the middle of a staging makes it wait, not fail" {
    run inside <<'END'
        held_worker a
        rpc.nfsd 0
        let_go
        sleep 3
        kill -0 "$WORKER" || fail "it gave up: $(cat /tmp/worker.out)"
        [ "$(images)" -eq 0 ] || fail "it went on without a server"
        rpc.nfsd -N 3 -V 4.2 4
        wait "$JOB" || fail "it failed: $(cat /tmp/worker.out)"
        empty "$STORE/tmp" "$STORE/leases" || fail "left: $(find "$STORE/tmp" "$STORE/leases")"
        at b slipway cache fsck
        at b slipway exec "$HELD" echo it runs
END
    expect_status 0
    expect_output '0 problem'
    expect_output $'\nit runs'
}

@test "an export that is withdrawn is one clear error, and nothing half is left when it is back" {
    run inside <<'END'
        held_worker a
        exportfs -u "127.0.0.1:$EXPORT"
        exportfs -f
        let_go
        wait "$JOB" && fail "it did not fail"
        grep 'error:' /tmp/worker.out
        exportfs -a
        exportfs -f
        [ "$(images)" -eq 0 ] || fail "half an image"
        at a slipway stage "$HELD" >/dev/null 2>&1
        at a slipway cache fsck --repair
        at a slipway cache fsck
        empty "$STORE/tmp" "$STORE/leases" || fail "left: $(find "$STORE/tmp" "$STORE/leases")"
END
    expect_status 0
    expect_lines 1 'error:'
    expect_output '0 problem'
}

@test "a host whose clock is days ahead or behind does no harm" {
    run inside <<'END'
        held_worker a
        # Ahead, it must not think that others' work is old; behind, not that what it made is from tomorrow.
        at b "${CLOCK[@]}" FAKETIME=-2d slipway stage "$PLAIN" >/dev/null
        at b "${CLOCK[@]}" FAKETIME=+2d slipway cache fsck --repair
        [ -n "$(ls "$STORE/tmp")" ] && lease_there || fail "work of a living process was swept"
        let_go
        wait "$JOB" || fail "it failed: $(cat /tmp/worker.out)"
        [ "$(images)" -eq 2 ] || fail "an image is missing"
        at a slipway cache fsck
END
    expect_status 0
    expect_lines 2 '^0 problem'
}
