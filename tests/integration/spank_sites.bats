#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Sites that are set up differently, or wrongly: the plugin's line in plugstack.conf, another release of
# Slurm, nodes without /dev/fuse or without user namespaces.
# shellcheck disable=SC2154,SC2016

bats_require_minimum_version 1.5.0
load common
load spank

setup() {
    need_plugin
    PLUGSTACK=${SLURM_CONF%/*}/plugstack.conf
    cp -p "$PLUGSTACK" "$BATS_TEST_TMPDIR/plugstack.conf"
    SIF=$(image busybox)
}

teardown() {
    cp -p "$BATS_TEST_TMPDIR/plugstack.conf" "$PLUGSTACK"
    [ ! -f "$BATS_TEST_TMPDIR/env" ] || "$CLUSTER/down" "$(cat "$BATS_TEST_TMPDIR/env")"
    nothing_left
    run alice srun -N2 -n2 --container-image="$SIF" echo next
    expect_status 0
}

# plugstack SED-EXPRESSION: changes the line for this test. Slurm reads it anew for every step.
plugstack() { sed -i "$1" "$PLUGSTACK"; }

# cluster_in ENTER PREPARATION [options of up…]: a cluster of its own in private namespaces (into which the
# command ENTER leads) in which PREPARATION has been run.
cluster_in() {
    local enter=$1 preparation=$2
    shift 2
    # shellcheck disable=SC2086
    $enter bash -c "$preparation"' && exec "$0" "$@"' \
        "$CLUSTER/up" --build "$SLIPWAY_BUILD" --no-registry --nodes 1 "$@" >"$BATS_TEST_TMPDIR/env" 2>&3
    OWN=$(cat "$BATS_TEST_TMPDIR/env")
}

# own USER COMMAND…: on that cluster.
own() { (. "$OWN" && "$CLUSTER/as" "$@"); }

# ... in the mount namespace of its daemons.
own_inside() { (. "$OWN" && nsenter -m -t "$(cat "$CLUSTER_DIR/run/slurmctld.pid")" "$CLUSTER/as" "$@"); }

@test "optional in plugstack.conf: what fails still never runs on the host" {
    plugstack 's/^required/optional/'
    run alice srun -N2 -n2 --container-image="$SIF" readlink -f /bin/sh
    expect_status 0
    expect_lines 2 busybox
    run alice srun -n2 -N1 --container-image=/nonexistent.sif echo RAN
    expect_status 1
    expect_one_error image-not-found
    run alice srun -n1 --container-image= echo RAN
    expect_status 1
    expect_one_error option-invalid
    run alice env _SLURM_SPANK_OPTION_slipway_container_image=relative srun -n1 echo RAN
    expect_status 1
    expect_one_error option-invalid
    local dir
    dir=$(work_dir)
    run alice sbatch --wait -D "$dir" -o out --container-batch --container-image=/nonexistent.sif --wrap 'echo RAN'
    expect_status 1
    run cat "$dir/out"
    expect_one_error image-not-found
}

@test "a mistake in plugstack.conf stops containers with a clear line, and no other job" {
    plugstack 's/config=/confg=/'
    run alice srun -N2 -n2 echo fine
    expect_status 0
    expect_lines 2 '^fine$'
    run alice srun -n1 --container-image="$SIF" echo RAN
    expect_status 1
    expect_one_error plugin-misconfigured
}

@test "a launcher that is missing, or that others can change, is not run" {
    plugstack 's,$, launcher=/nonexistent/slipway-launch,'
    run alice srun -n1 --container-image="$SIF" echo RAN
    expect_status 1
    expect_one_error plugin-misconfigured
    local dir
    dir=$(work_dir)
    printf '#!/bin/sh\ntouch %s/pwned\n' "$dir" >"$dir/slipway-launch"
    chmod 755 "$dir/slipway-launch"
    plugstack "s,launcher=.*,launcher=$dir/slipway-launch,"
    run alice srun -n1 --container-image="$SIF" echo RAN
    expect_status 1
    expect_one_error plugin-misconfigured
    [ ! -e "$dir/pwned" ]
}

@test "option_prefix= lets a pilot run beside pyxis" {
    plugstack 's/$/ option_prefix=pilot-/'
    run alice srun -n1 --pilot-container-image="$SIF" readlink -f /bin/sh
    expect_status 0
    expect_lines 1 busybox
    run alice env PYXIS_CONTAINER_IMAGE=/nonexistent.sif srun -n1 echo fine
    expect_status 0
    run alice srun -n1 --container-image="$SIF" echo RAN
    [ "$status" -ne 0 ]
    expect_output 'unrecognized option|ambiguous'
    local dir
    dir=$(work_dir)
    run alice sbatch --wait -D "$dir" -o out --pilot-container-image="$SIF" --wrap 'srun -n1 readlink -f /bin/sh'
    expect_status 0
    run cat "$dir/out"
    expect_lines 1 busybox
}

@test "batch=container puts batch scripts into their containers" {
    plugstack 's/$/ batch=container/'
    local dir
    dir=$(work_dir)
    run alice sbatch --wait -D "$dir" -o out --container-image="$SIF" --wrap 'readlink -f /bin/sh'
    expect_status 0
    run cat "$dir/out"
    expect_lines 1 busybox
    run alice sbatch --wait -D "$dir" -o out --container-batch=off --container-image="$SIF" --wrap 'readlink -f /bin/sh'
    expect_status 0
    run cat "$dir/out"
    refuse_output busybox
}

@test "a plugin for another release of Slurm: no job runs, no node drains" {
    local other=$SLIPWAY_BUILD/lib/other-release/spank_slipway.so
    [ -f "$other" ] || skip "the build has no such plugin"
    plugstack "s,^required [^ ]*,required $other,"
    run alice srun -n1 --container-image="$SIF" echo RAN
    expect_failure
    refuse_output '(^|[^ ])RAN$'
    run alice srun -n1 echo RAN
    expect_failure
    expect_output 'Incompatible|incompatible|Plug-in'
    # Only on the node: srun knows the right one. 22.05 gives 0, but nothing has run.
    local dir
    dir=$(work_dir)
    cp "$BATS_TEST_TMPDIR/plugstack.conf" "$dir/plugstack.conf"
    sed "s,^PlugStackConfig=.*,PlugStackConfig=$dir/plugstack.conf," "$SLURM_CONF" >"$dir/slurm.conf"
    run alice env SLURM_CONF="$dir/slurm.conf" srun -n1 --container-image="$SIF" echo RAN
    refuse_output '(^|[^ ])RAN$'
}

@test "a plugin without its core: containers are refused, other jobs run, no node drains" {
    local half dir
    half=$(work_dir)
    cp "$SLIPWAY_BUILD/lib/slurm/spank_slipway.so" "$half"
    plugstack "s,^required [^ ]*,required $half/spank_slipway.so,"
    run alice srun -n1 --container-image="$SIF" echo RAN
    expect_status 1
    expect_one_error plugin-misconfigured
    expect_output 'spank_slipway_core.so'
    run alice sbatch --container-image="$SIF" --wrap 'echo RAN'
    expect_status 1
    expect_one_error plugin-misconfigured
    run alice srun -n2 echo fine
    expect_status 0
    expect_lines 2 '^fine$'
    # Only on the nodes: srun has all of it.
    dir=$(work_dir)
    cp "$BATS_TEST_TMPDIR/plugstack.conf" "$dir/plugstack.conf"
    sed "s,^PlugStackConfig=.*,PlugStackConfig=$dir/plugstack.conf," "$SLURM_CONF" >"$dir/slurm.conf"
    run alice env SLURM_CONF="$dir/slurm.conf" srun -N2 -n4 --container-image="$SIF" echo RAN
    expect_status 1
    expect_lines 2 '^slipway: error: plugin-misconfigured: '
    refuse_output RAN
}

# loads_core [OPTIONS...]: names those of srun and slurmstepd of such a step that have loaded the core.
loads_core() {
    local pid task=(pgrep -u "$ALICE" -r S -f '(^|/)sleep 61$')
    alice srun -n1 "$@" sleep 61 3>&- &
    wait_for 10 "${task[@]}"
    for pid in $(pgrep -u "$ALICE" -r S -x srun | head -1) $(ps -o ppid= -p "$("${task[@]}")"); do
        ! grep -q spank_slipway_core "/proc/$pid/maps" || echo "core in $(cat "/proc/$pid/comm")"
    done
    scancel --signal=KILL -u "$ALICE"
    wait || true # srun says that its task was killed
}

@test "only jobs with a container load the core of the plugin" {
    run loads_core
    refuse_output 'core in'
    run loads_core --container-image="$SIF"
    expect_lines 1 '^core in srun$'
    expect_lines 1 '^core in slurmstepd$'
}

@test "Slipway installed with cmake --install, as the manual says" {
    cluster_in 'unshare -m --propagation private' \
        'mount -t tmpfs local /usr/local && cmake --install $SLIPWAY_BUILD >/dev/null' \
        --plugin /usr/local/lib/slurm/spank_slipway.so
    run own_inside "$ALICE" srun -n2 --container-image="$SIF" readlink -f /bin/sh
    expect_status 0
    expect_lines 2 busybox
    # A reference needs the helpers of the installed tree, too.
    run own_inside "$ALICE" srun -n1 --container-image=oci-archive:/nonexistent.tar echo RAN
    expect_one_error source-not-found
    run own_inside "$ALICE" /usr/local/bin/slipway exec "$SIF" readlink -f /bin/sh
    expect_status 0
    expect_lines 1 busybox
    run own_inside "$ALICE" /usr/local/bin/slipway doctor
    expect_output "pass +plugin +'/usr/local/lib/slurm/spank_slipway.so' for Slurm"
}

@test "nodes where only root may open /dev/fuse run containers all the same" {
    cluster_in 'unshare -m --propagation private' \
        'mount -t tmpfs dev /mnt && mknod -m 600 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse' \
        --fuse-mode keep
    run own "$ALICE" srun -n4 --container-image="$SIF" sh -c 'readlink -f /bin/sh; stat -c %a /dev/fuse'
    expect_status 0
    expect_lines 4 busybox
    expect_lines 4 '^600$'
}

@test "nodes without /dev/fuse say so" {
    cluster_in 'unshare -m --propagation private' \
        'mount -t tmpfs dev /mnt && cp -a /dev/. /mnt/ && rm /mnt/fuse && mount --rbind /dev/pts /mnt/pts && mount --rbind /dev/shm /mnt/shm && mount --move /mnt /dev'
    run own "$ALICE" srun -n4 --container-image="$SIF" echo RAN
    expect_status 1
    expect_one_error fuse-unavailable
    run own "$ALICE" srun -n1 echo fine
    expect_status 0
}

@test "user namespaces exhausted: a clear error that names the limit" {
    # The limit of a user namespace around the cluster; root may not be able to change the machine's.
    local holder
    unshare -U sleep 60 3>&- &
    holder=$!
    wait_for 5 sh -c "[ \$(readlink /proc/$holder/ns/user) != \$(readlink /proc/self/ns/user) ]"
    echo '0 0 65536' >"/proc/$holder/uid_map"
    echo '0 0 65536' >"/proc/$holder/gid_map"
    cluster_in "nsenter -U -t $holder" \
        'echo 0 >/proc/sys/user/max_user_namespaces' --fuse-mode keep --proctrack linuxproc
    kill "$holder"
    run own "$ALICE" srun -n4 --container-image="$SIF" echo RAN
    expect_status 1
    expect_one_error userns-unavailable
    expect_output max_user_namespaces
}
