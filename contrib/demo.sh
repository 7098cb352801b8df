#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Slipway in five minutes, on a bare Debian 12, as root: installs and builds, brings up a Slurm cluster of
# two nodes on this machine, runs jobs in containers as an ordinary user, and takes everything down again.
# What stays: the Debian packages, build/, and the cache of test images in /var/cache/slipway-test.
set -euo pipefail
# shellcheck source=contrib/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
CLUSTER=$SLIPWAY_ROOT/tests/cluster

# show COMMAND: prints a command line as the user would type it, runs it as that user, in a shell.
show() {
    printf '\n%s$ %s\n' "$USER_NAME" "$1"
    "$CLUSTER/as" "$USER_NAME" bash -c "$1" 2>&1
}

take_down() {
    trap - EXIT
    heading "Taking everything down"
    cd /
    rm -rf "${WORK:-/nonexistent}"
    [ -z "${CLUSTER_DIR:-}" ] || "$CLUSTER/service" down "$CLUSTER_DIR"
    "$CLUSTER/down" "$ENV_FILE" && echo "the cluster is gone"
}

bring_up() {
    heading "Building what users run (contrib/build.sh builds the tests as well)"
    need_packages build cluster
    configure_and_build release programs
    heading "Making a small image with other people's tools: busybox, mksquashfs, siftool"
    IMAGE=$("$CLUSTER/image" busybox)
    ls -lh "$IMAGE"
    heading "Bringing up a Slurm cluster of two nodes on this machine"
    ENV_FILE=$("$CLUSTER/up")
    trap take_down EXIT
    trap 'exit 130' INT TERM HUP
    # shellcheck source=/dev/null
    . "$ENV_FILE"
    # The other registries in the site file are for tests that bring them up.
    sed -i "/^  \"127.0.0.1:/{/$REGISTRY/!d}" "$SLIPWAY_CONFIG"
    sinfo
    USER_NAME=${TEST_USERS%% *}
    WORK=$(mktemp -d "$CLUSTER_DIR/demo.XXXXXX")
    chown "$USER_NAME:" "$WORK"
    cp "$IMAGE" "$WORK/busybox.sif"
    cd "$WORK"
}

first_jobs() {
    heading "The host, and the same command inside the image"
    show 'srun --quiet -n1 head -1 /etc/os-release'
    show 'srun --quiet -n1 --container-image=./busybox.sif head -1 /etc/os-release'
    show 'srun --quiet -N2 -n4 --container-image=./busybox.sif sh -c "hostname; id; ls -d /bin/busybox"'
    heading "A batch job: the script runs on the host, its steps in the image that the job asked for"
    cat >"$WORK/job.sh" <<'END'
#!/bin/sh
#SBATCH -N2 --container-image=./busybox.sif -o job.out
echo "script on $(hostname), $(ls /.singularity.d 2>/dev/null | wc -l) files in /.singularity.d"
srun -n2 sh -c 'echo "step 0, task $SLURM_PROCID: $(head -1 /etc/os-release)"'
srun -n2 sh -c 'echo "step 1, task $SLURM_PROCID: $(mount | head -1)"'
END
    show 'sbatch --wait job.sh; cat job.out'
}

from_a_registry() {
    heading "A registry, an image of Debian with Python in it (made once, and kept), and the staging service"
    "$CLUSTER/push-images" "$CLUSTER_DIR" debian-py
    "$CLUSTER/service" up "$CLUSTER_DIR"
    echo "slipwayd answers on $CLUSTER_DIR/run/slipwayd.sock"
    local image="docker://$REGISTRY/debian-py:1"
    heading "The first run fetches and converts the image, once for both nodes"
    show "time srun --quiet -N2 -n4 --container-image=$image python3 -c 'import platform; print(platform.node(), platform.python_version())'"
    heading "Every later run starts like a job without a container"
    show "time srun --quiet -N2 -n4 --container-image=$image true"
    show "time srun --quiet -N2 -n4 true"
    show "sbatch --wait -N2 -o batch.out --container-image=$image --wrap 'srun python3 -c \"print(6 * 7)\"'; cat batch.out"
    show 'slipway images'
    heading "Is everything as it should be? (slipway doctor)"
    show 'slipway doctor' || true
}

at_the_prompt() {
    heading "The same image without Slurm"
    show 'slipway exec ./busybox.sif head -2 /etc/os-release'
    show 'slipway exec ./busybox.sif sh -c "id; pwd; ls"'
    heading "What a mistake looks like"
    show 'srun -n1 --container-image=./busybux.sif true' || true
}

main() {
    [ $# -eq 0 ] || { sed -n '3,5s/^# //p' "$0" >&2; exit 2; }
    need_root "installs packages and starts Slurm's daemons"
    bring_up
    first_jobs
    from_a_registry
    at_the_prompt
    take_down
}

main "$@"
