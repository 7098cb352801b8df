#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The test cluster itself: what the other tests take for granted.
# shellcheck disable=SC2154

bats_require_minimum_version 1.5.0
load common

@test "a job of an ordinary user runs on every node, with all groups of the user" {
    run alice srun -N2 -n2 sh -c 'echo "$SLURMD_NODENAME $(id -u) $(id -Gn)"'
    expect_status 0
    expect_lines 1 "^$NODE1 $(id -u "$ALICE") $(id -Gn "$ALICE")\$"
    expect_lines 1 "^$NODE2 $(id -u "$ALICE") $(id -Gn "$ALICE")\$"
}

@test "users do not get root's environment or descriptors" {
    SECRET=1 run alice sh -c 'env; ls -l /proc/self/fd'
    expect_status 0
    refuse_output SECRET
    expect_output "HOME=/home/$ALICE"
    expect_output "SLURM_CONF=$SLURM_CONF"
}

@test "64 tasks fit on one node" {
    run alice srun -N1 -n64 hostname
    expect_status 0
    expect_lines 64 "^$(hostname)\$"
}

@test "a batch job runs steps and writes its output" {
    local dir
    dir=$(work_dir)
    run alice sbatch --wait -N2 -D "$dir" -o out --wrap 'srun -n2 echo step; srun -n2 echo step'
    expect_status 0
    run cat "$dir/out"
    expect_lines 4 '^step$'
}

@test "a step that needs more memory than it asked for is killed" {
    need_cgroup
    run alice srun -n1 --mem=50 sh -c 'head -c 300m /dev/zero | tail'
    expect_failure
    expect_output 'Out Of Memory|oom'
}

@test "tasks are bound to cores where they ask for it" {
    need_cgroup
    [ "$(nproc)" -ge 2 ] || skip "one core only"
    run alice srun -N1 -n2 --cpu-bind=cores grep Cpus_allowed_list /proc/self/status
    expect_status 0
    [ "${lines[0]}" != "${lines[1]}" ]
}

@test "MPI ranks on two nodes find each other through PMI2" {
    local root
    root=$(work_dir root)/mpi
    "$CLUSTER/rootfs" mpi "$root" 2>&3
    # With what a rank needs of the host, and no container: so a failure elsewhere is not Slurm's.
    cat >"$root/../enter" <<END
exec unshare -m sh -c 'for d in proc sys dev; do mount --rbind /\$d $root/\$d; done; exec chroot $root "\$@"' - "\$@"
END
    run timeout 60 srun --mpi=pmi2 -N2 -n4 sh "$root/../enter" mpi_hello
    expect_status 0
    expect_lines 4 '^rank [0-3] of 4 on .*: sum 10 ok$'
}

@test "the registry serves the images that were pushed" {
    run "$CLUSTER/push-images" "$CLUSTER_DIR" busybox
    expect_status 0
    expect_output "$REGISTRY/busybox:1"
    run curl -sS "http://$REGISTRY/v2/busybox/tags/list"
    expect_output '"tags":\["1"\]'
}

@test "the registry with TLS and a password refuses everybody else" {
    [ -n "${REGISTRY_TLS:-}" ] || "$CLUSTER/registry-up" "$CLUSTER_DIR" --tls --auth 'user:pa:ss'
    # shellcheck source=/dev/null
    . "$CLUSTER_DIR/env.sh"
    run curl -sS -o /dev/null -w '%{http_code}' --cacert "$REGISTRY_CA" "https://$REGISTRY_TLS/v2/"
    [ "$output" = 401 ]
    run curl -sS -o /dev/null -w '%{http_code}' --cacert "$REGISTRY_CA" -u "$REGISTRY_AUTH" "https://$REGISTRY_TLS/v2/"
    [ "$output" = 200 ]
    run curl -sS "https://$REGISTRY_TLS/v2/"
    expect_failure
    run "$CLUSTER/push-images" --to "$REGISTRY_TLS" --auth "$REGISTRY_AUTH" --ca "$REGISTRY_CA" busybox
    expect_status 0
}

@test "a SIF made for the tests can be read by other people's tools" {
    run siftool list "$(image busybox)"
    expect_status 0
    expect_output 'FS \(Squashfs/\*System/'
}

@test "a second cluster stands beside the first, and nothing of it is left when it is removed" {
    # Children of `with` have the variables of the second cluster.
    local nap=$((100000 + $$)) # found by this number
    run env nap="$nap" "$CLUSTER/with" --plugin none --no-registry --nodes 3 -- bash -c '
        echo "$CLUSTER_DIR"; srun -N3 -n3 printenv SLURMD_NODENAME
        sbatch -o /dev/null --wrap "setsid sleep $nap & sleep $nap" >/dev/null
        srun -n1 sleep "$nap" >/dev/null 2>&1 &
        for n in $(seq 100); do [ "$(pgrep -fc "^[a-z/]*sleep $nap")" -lt 3 ] || break; sleep 0.1; done
        pgrep -fc "^[a-z/]*sleep $nap"; exit 7'
    expect_status 7
    expect_lines 3 '^sw[0-9]+n[123]$'
    expect_output $'\n3'
    local dir second
    dir=$(grep '^/' <<<"$output" | head -1)
    second=$(grep -oE '^sw[0-9]+n' <<<"$output" | head -1)
    [ -n "$second" ]
    [ ! -e "$dir" ]
    run ! pgrep -f "^[a-z/]*sleep $nap"
    run ! pgrep -f "$dir"
    # By the name of its nodes: still other clusters may be up on this machine.
    run find /sys/fs/cgroup -maxdepth 3 -name "slurm_$second*"
    [ -z "$output" ]
    # The first one is alive.
    run alice srun -N2 true
    expect_status 0
}

@test "down may be called twice, and for a directory that is gone" {
    local env_file
    env_file=$("$CLUSTER/up" --plugin none --no-registry --nodes 1)
    run "$CLUSTER/down" "$env_file"
    expect_status 0
    run "$CLUSTER/down" "$env_file"
    expect_status 0
}

@test "down refuses a directory that is no cluster" {
    local dir
    dir=$(work_dir)
    touch "$dir/precious"
    run "$CLUSTER/down" "$dir"
    expect_status 1
    [ -e "$dir/precious" ]
}

@test "up that cannot come up says why and leaves nothing" {
    local dir # of root all the way, and open to the user slurm
    dir=$(mktemp -d /tmp/slipway-up.XXXXXX)
    chmod 755 "$dir"
    run "$CLUSTER/up" --dir "$dir/cluster" --plugin none --no-registry --nodes 1 --slurm-conf 'NoSuchOption=1'
    expect_status 1
    expect_output NoSuchOption
    rmdir "$dir" # nothing is in it
}

@test "the cluster is idle after these tests" {
    wait_for 10 cluster_idle
}
