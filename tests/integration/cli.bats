#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# slipway at the prompt, as an ordinary user: run, exec, shell, inspect.
# shellcheck disable=SC2154

bats_require_minimum_version 1.5.0
load common

setup_file() {
    DEBIAN=$(image debian)
    BUSYBOX=$(image busybox)
    # `image` keeps its files where root made them; users read a copy, as they would their own.
    WORK=$(work_dir)
    cp "$DEBIAN" "$WORK/debian.sif"
    cp "$BUSYBOX" "$WORK/busybox.sif"
    chown "$ALICE:" "$WORK"/*.sif
    export WORK
}

setup() { cd "$WORK" || return 1; }

# alice_slipway ARGUMENTS…: as Alice, in the directory with the images.
alice_slipway() { alice env -C "$WORK" slipway "$@"; }
# alice_slipway_with NAME=VALUE… -- ARGUMENTS…
alice_slipway_with() {
    local variables=()
    while [[ $1 != -- ]]; do
        variables+=("$1")
        shift
    done
    shift
    alice env -C "$WORK" "${variables[@]}" slipway "$@"
}

# A native image with labels, run script and environment, as a directory.
native_tree() {
    local tree=$1
    mkdir -p "$tree"/{bin,etc,tmp,proc,sys,dev,root,home,var/tmp,.singularity.d/env}
    cp /bin/busybox "$tree/bin/busybox"
    local name
    for name in sh ls cat echo env id pwd touch true; do ln -sf busybox "$tree/bin/$name"; done
    printf '#!/bin/sh\necho "ran with $# words: $*"\n' >"$tree/.singularity.d/runscript"
    chmod 755 "$tree/.singularity.d/runscript"
    printf '#!/bin/sh\nexport IMAGE_SAYS="${IMAGE_SAYS:-"from the image"}"\n' \
        >"$tree/.singularity.d/env/90-environment.sh"
    printf '{"maker": "alice"}' >"$tree/.singularity.d/labels.json"
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$tree/etc/passwd"
    printf 'root:x:0:\n' >"$tree/etc/group"
    chmod -R a+rX "$tree"
}

@test "exec runs a command of the image as the caller" {
    run alice_slipway exec debian.sif sh -c 'id -un; id -u; . /etc/os-release; echo "$ID"'
    expect_status 0
    [ "${lines[0]}" = "$ALICE" ]
    [ "${lines[1]}" = "$(id -u "$ALICE")" ]
    [ "${lines[2]}" = debian ]
}

@test "the command's exit status is slipway's, signals as 128+n" {
    run alice_slipway exec debian.sif sh -c 'exit 42'
    expect_status 42
    run alice_slipway exec debian.sif true
    expect_status 0
    run alice sh -c "cd $WORK; slipway exec debian.sif sh -c 'kill -TERM \$\$'; echo status \$?"
    expect_output 'status 143'
    run alice sh -c "cd $WORK; slipway exec debian.sif sh -c 'kill -KILL \$\$'; echo status \$?"
    expect_output 'status 137'
}

@test "a wrong command line ends with 1, a failed start with 255" {
    run alice_slipway exec
    expect_status 1
    run alice_slipway exec --bnid /tmp debian.sif true
    expect_status 1
    expect_output '^slipway: error: usage: .*did you mean --bind'
    run alice_slipway exec nosuch.sif true
    expect_status 255
    expect_output '^slipway: error: image-not-found: '
    run alice_slipway exec debian.sif nosuchcommand
    expect_status 255
    expect_output "^slipway: error: command-not-found: 'nosuchcommand'"
    run alice_slipway exec debian.sif /nosuch
    expect_status 255
    expect_output '^slipway: error: command-not-found: '
    run alice_slipway exec --cwd /nosuch debian.sif true
    expect_status 255
    expect_output '^slipway: error: workdir-missing: '
    run alice_slipway exec -B /nosuch debian.sif true
    expect_status 255
    expect_output '^slipway: error: mount-source-missing: '
    run alice_slipway exec /etc/passwd true
    expect_status 255
    expect_output '^slipway: error: image-format: '
}

@test "a path of the host that an option names and that is missing is reported at once" {
    local options code
    # /tmp and the current directory are in the container anyway: what is missing there is missing all the same.
    mkdir -m 755 "/tmp/slipway-home.$$"
    while read -r code options; do
        # shellcheck disable=SC2086  # several words
        run alice env -C "/tmp/slipway-home.$$" slipway exec $options "$WORK/debian.sif" echo RAN
        echo "$options: $output"
        expect_status 255
        expect_lines 1 "^slipway: error: $code: .*(nosuch|passwd).*\\(hint: "
        expect_lines 0 RAN
    done <<END
mount-source-missing --bind /tmp/nosuch
mount-source-missing --bind /tmp/nosuch:/tmp
mount-source-missing --bind nosuch:/mnt
mount-source-missing --mount type=bind,source=/tmp/nosuch,destination=/mnt
mount-source-missing --home /tmp/nosuch
mount-source-missing --home nosuch
mount-source-missing --home nosuch --contain
mount-source-missing --home /tmp/nosuch:/home/me
mount-source-missing --home /tmp/nosuch --dry-run
mount-source-missing --home /etc/passwd
mount-source-missing --home /etc/passwd:/home/me
io --env-file /tmp/nosuch
workdir-missing --cwd /tmp/nosuch
workdir-missing --pwd /tmp/slipway-home.$$/nosuch
END
    run alice env -C /tmp APPTAINER_HOME=/tmp/nosuch slipway exec "$WORK/debian.sif" echo RAN
    expect_status 255
    expect_output '^slipway: error: mount-source-missing: '
    # What is there is taken, relative paths too.
    run alice env -C /tmp slipway exec --home "slipway-home.$$" "$WORK/debian.sif" sh -c 'echo "$HOME"; cd && pwd'
    expect_status 0
    [ "$output" = "/tmp/slipway-home.$$"$'\n'"/tmp/slipway-home.$$" ]
    rmdir "/tmp/slipway-home.$$"
}

@test "standard streams belong to the command" {
    run bash -c "echo hello | $CLUSTER/as $ALICE env -C $WORK slipway exec debian.sif cat"
    [ "$output" = hello ]
    run --separate-stderr alice_slipway exec debian.sif sh -c 'echo out; echo err >&2'
    [ "$output" = out ]
    [ "$stderr" = err ]
}

@test "the launcher leaks no descriptor into the command" {
    # bats has open ones of its own: compare with what a plain command gets. ls opens one more.
    run alice sh -c "cd $WORK; ls /proc/self/fd | tr '\n' ' '; slipway exec debian.sif ls /proc/self/fd | tr '\n' ' '"
    expect_status 0
    local count
    count=$(wc -w <<<"$output")
    [[ $((count % 2)) -eq 0 && $output == "${output:0:${#output}/2}${output:0:${#output}/2}" ]]
}

@test "options end at the image" {
    run alice_slipway exec debian.sif sh -c 'echo "$0 $*"' -e --bind x
    expect_status 0
    [ "$output" = "-e --bind x" ]
}

@test "home, current directory and /tmp are there by default" {
    run alice_slipway exec debian.sif sh -c 'pwd; echo "$HOME"; ls debian.sif; touch /tmp/slipway-cli-test.$$ && rm /tmp/slipway-cli-test.$$'
    expect_status 0
    [ "${lines[0]}" = "$WORK" ]
    [ "${lines[1]}" = "/home/$ALICE" ]
    [ "${lines[2]}" = debian.sif ]
}

@test "contain leaves the host's directories out" {
    alice touch "/home/$ALICE/cli-visible"
    run alice_slipway exec --contain debian.sif sh -c 'ls -A "$HOME" /tmp /var/tmp; pwd; ls /dev | tr "\n" " "'
    rm -f "/home/$ALICE/cli-visible"
    expect_status 0
    refuse_output cli-visible
    expect_output "/home/$ALICE"
    refuse_output 'sda|nvme|loop0'
    expect_output 'null'
}

@test "cleanenv and containall keep variables of the host out" {
    run alice_slipway_with MARK=host -- exec debian.sif env
    expect_output 'MARK=host'
    run alice_slipway_with MARK=host -- exec -e debian.sif env
    expect_status 0
    refuse_output MARK=
    expect_output 'LANG=C'
    run alice_slipway_with MARK=host -- exec -C debian.sif env
    refuse_output MARK=
}

@test "binds: both spellings, order, read-only, environment" {
    mkdir -p data other
    echo one >data/file
    echo two >other/file
    chown -R "$ALICE:" data other
    run alice_slipway exec -B data:/mnt,other:/opt:ro debian.sif cat /mnt/file /opt/file
    expect_status 0
    [ "$output" = $'one\ntwo' ]
    run alice_slipway exec -B other:/opt:ro debian.sif touch /opt/new
    expect_failure
    expect_output 'Read-only'
    run alice_slipway exec -B data:/mnt debian.sif touch /mnt/new
    expect_status 0
    [ -e data/new ]
    run alice_slipway exec --mount "type=bind,source=$WORK/data,destination=/mnt/a,b" debian.sif true
    expect_status 255
    run alice_slipway exec --mount "type=bind,source=$WORK/data,\"destination=/mnt/a,b\"" debian.sif cat /mnt/a,b/file
    expect_status 0
    [ "$output" = one ]
    run alice_slipway_with "SINGULARITY_BIND=$WORK/data:/mnt" "APPTAINER_BINDPATH=$WORK/other:/opt" -- \
        exec debian.sif cat /mnt/file /opt/file
    expect_status 0
    [ "$output" = $'one\ntwo' ]
    # The same place twice: the later one is on top, and the command line comes first.
    run alice_slipway_with "SLIPWAY_BIND=$WORK/other:/mnt" -- exec -B data:/mnt debian.sif cat /mnt/file
    [ "$output" = two ]
    run alice_slipway exec -B data:/mnt:rx debian.sif true
    expect_status 255
    expect_output "mount-invalid: .*'rx' is not a valid bind option"
}

@test "the image is read-only unless writable-tmpfs is asked for" {
    run alice_slipway exec debian.sif touch /usr/new
    expect_failure
    expect_output 'Read-only'
    run alice_slipway exec --writable-tmpfs debian.sif sh -c 'touch /usr/new && rm /usr/bin/env && ls /usr/new'
    expect_status 0
    [ "$output" = /usr/new ]
    run alice_slipway exec debian.sif ls /usr/new
    expect_failure
}

@test "scratch, home and no-home" {
    run alice_slipway exec -S /scratchy debian.sif sh -c 'touch /scratchy/x && stat -f -c %T /scratchy'
    expect_status 0
    [ "$output" = tmpfs ]
    mkdir -p newhome
    chown "$ALICE:" newhome
    run alice_slipway exec -H newhome:/home/elsewhere debian.sif sh -c 'echo "$HOME"; touch "$HOME/x"; getent passwd "$(id -u)" | cut -d: -f6'
    expect_status 0
    [ "${lines[0]}" = /home/elsewhere ]
    [ "${lines[1]}" = /home/elsewhere ]
    [ -e newhome/x ]
    run alice_slipway exec --no-home --no-mount cwd debian.sif sh -c 'echo "$HOME"; ls -A "$HOME" 2>/dev/null'
    [ "$output" = "/home/$ALICE" ]
}

@test "who wins: host, image, SINGULARITYENV_, --env-file, --env" {
    native_tree "$WORK/native"
    run alice_slipway_with IMAGE_SAYS=host -- exec native env
    expect_status 0
    expect_output 'IMAGE_SAYS=from the image'
    run alice_slipway_with SINGULARITYENV_IMAGE_SAYS=variable -- exec native env
    expect_output 'IMAGE_SAYS=variable'
    printf 'IMAGE_SAYS="$WORD file"\n' >vars.sh
    run alice_slipway_with SINGULARITYENV_IMAGE_SAYS=variable WORD=a -- exec --env-file vars.sh native env
    expect_output 'IMAGE_SAYS=a file'
    run alice_slipway_with SINGULARITYENV_IMAGE_SAYS=variable -- exec --env-file vars.sh --env IMAGE_SAYS=option native env
    expect_output 'IMAGE_SAYS=option'
    run alice_slipway exec --env A=1,B=2 --env 'C=x,y' native env
    expect_output 'A=1'
    expect_output 'B=2'
    expect_output 'C=x,y'
    run alice_slipway exec --env 'D=$HOME' native env
    expect_output "D=/home/$ALICE"
    run alice_slipway exec --no-eval --env 'D=$HOME' native env
    expect_output 'D=\$HOME'
}

@test "run executes the run script, with and without words" {
    native_tree "$WORK/native"
    run alice_slipway run native
    expect_status 0
    expect_output 'ran with 0 words'
    run alice_slipway run native a 'b c'
    expect_status 0
    expect_output 'ran with 2 words: a b c'
    rm "$WORK/native/.singularity.d/runscript"
    run alice_slipway run native -c 'echo shell instead'
    expect_status 0
    expect_output 'no run script, executing /bin/sh'
    expect_output 'shell instead'
    run alice_slipway -q run native -c true
    [ -z "$output" ]
}

@test "shell takes commands from its input, and the shell that was named" {
    run bash -c "echo 'echo in \$0' | $CLUSTER/as $ALICE env -C $WORK slipway shell debian.sif"
    expect_status 0
    expect_output 'in /bin/bash'
    run alice_slipway shell debian.sif -c 'echo "got $0"'
    expect_output 'got /bin/bash'
    run alice_slipway shell --shell /bin/sh debian.sif -c 'echo "got $0"'
    expect_output 'got /bin/sh'
    run alice_slipway_with SINGULARITY_SHELL=/bin/sh -- shell debian.sif -c 'echo "got $0"'
    expect_output 'got /bin/sh'
    run alice_slipway shell busybox.sif -c 'echo "got $0"'
    expect_output 'got /bin/sh'
    run alice_slipway shell --shell /bin/nosuch debian.sif
    expect_status 255
    expect_output "command-not-found: '/bin/nosuch'"
}

@test "SquashFS files and directories are images, too" {
    native_tree "$WORK/tree"
    mksquashfs tree image.sqsh -quiet -no-progress -noappend >/dev/null
    run alice_slipway exec image.sqsh echo squash
    expect_status 0
    [ "$output" = squash ]
    run alice_slipway exec ./tree echo dir
    expect_status 0
    [ "$output" = dir ]
    for name in image.sqsh tree; do
        run alice_slipway inspect "$name"
        expect_status 0
        [ "$output" = "maker: alice" ]
        run alice_slipway inspect -r "$name"
        expect_output 'ran with'
    done
}

@test "what an image has in the place of the dynamic loader stops nobody" {
    local machine loader kind
    machine=$(uname -m)
    for kind in fifo directory loop huge; do
        rm -rf odd
        native_tree "$WORK/odd"
        mkdir -p odd/lib odd/lib64
        for loader in lib64/ld-linux-"${machine/_/-}".so.2 lib/ld-linux-"$machine".so.1 lib/ld-musl-"$machine".so.1; do
            case $kind in
                fifo) mkfifo "odd/$loader" ;;
                directory) mkdir "odd/$loader" ;;
                loop) ln -s "/$loader" "odd/$loader" ;;
                huge) truncate -s 64M "odd/$loader" ;;
            esac
        done
        mksquashfs odd odd.sqsh -quiet -no-progress -noappend >/dev/null
        run timeout 20 "$CLUSTER/as" "$ALICE" env -C "$WORK" slipway exec odd.sqsh echo "$kind"
        expect_status 0
        [ "$output" = "$kind" ]
    done
}

@test "an image that only its owner may read is refused to others" {
    cp debian.sif private.sif
    chown "$ALICE:" private.sif
    chmod 600 private.sif
    run alice_slipway exec private.sif true
    expect_status 0
    run bob slipway exec "$WORK/private.sif" true
    expect_status 255
    expect_output '^slipway: error: image-unreadable: '
    run bob slipway inspect "$WORK/private.sif"
    expect_status 255
}

@test "no privileges inside: no capabilities, no new ones, no setuid" {
    run alice_slipway exec debian.sif grep -E '^(Cap|NoNewPrivs)' /proc/self/status
    expect_status 0
    expect_lines 4 '^Cap(Inh|Prm|Eff|Amb):.0000000000000000$'
    expect_output 'NoNewPrivs:.1'
    run alice_slipway exec debian.sif sh -c 'mount -t tmpfs x /mnt'
    expect_failure
}

@test "umask is the caller's, or 0022 on request" {
    run alice sh -c "umask 0027; cd $WORK; slipway exec debian.sif sh -c umask; slipway exec --no-umask debian.sif sh -c umask"
    [ "$output" = $'0027\n0022' ]
}

@test "dry-run shows the plan and starts nothing" {
    run alice_slipway exec --dry-run -B "$WORK:/mnt/w:ro" debian.sif sh -c 'echo started'
    expect_status 0
    expect_output "'/mnt/w'"
    expect_output "command 'sh' '-c' 'echo started'"
    run alice_slipway exec --dry-run --json -B "$WORK:/mnt/w:ro" debian.sif true
    expect_status 0
    jq -e '.command == ["true"] and (.plan.operations | map(.target) | index("/mnt/w") != null)' <<<"$output"
}

@test "a signal to slipway reaches the command, and nothing stays behind" {
    alice env -C "$WORK" slipway exec debian.sif sh -c 'echo $$ >pid; exec sleep 1000' &
    wait_for 10 test -s "$WORK/pid"
    local pid
    pid=$(<"$WORK/pid")
    [ -d "/proc/$pid" ]
    kill -TERM "$pid"
    wait $! || true
    wait_for 5 test ! -d "/proc/$pid"
    no_server_left() { ! pgrep -u "$ALICE" -f 'slipway' >/dev/null; }
    wait_for 5 no_server_left
}

@test "the site's configuration holds at the prompt, a user's own may replace it" {
    mkdir -p site
    printf 'launcher:\n  mount_home: false\n  env: {SITE_SAYS: hello}\n  bind: [%s:/site]\n' "$WORK/site" >own.yaml
    chown -R "$ALICE:" site own.yaml
    run alice_slipway_with "SLIPWAY_CONFIG=$WORK/own.yaml" -- exec debian.sif sh -c 'echo "$SITE_SAYS"; ls -d /site'
    expect_status 0
    [ "$output" = $'hello\n/site' ]
    printf 'launcher: {mount_hmoe: false}\n' >own.yaml
    run alice_slipway_with "SLIPWAY_CONFIG=$WORK/own.yaml" -- exec debian.sif true
    expect_status 255
    expect_output "config-invalid: .*own.yaml:1: unknown key 'mount_hmoe' in launcher .hint: did you mean 'mount_home'"
}

@test "containers in containers of a job: slipway under srun" {
    run alice srun -N2 -n2 env -C "$WORK" slipway exec debian.sif sh -c '. /etc/os-release; echo "$ID $SLURM_PROCID"'
    expect_status 0
    expect_lines 1 '^debian 0$'
    expect_lines 1 '^debian 1$'
}

@test "standard streams that are closed harm nothing" {
    # The redirections by themselves and together; what the command prints must not go anywhere else.
    local streams
    for streams in '<&-' '>&-' '2>&-' '<&- >&-' '<&- 2>&-' '>&- 2>&-' '<&- >&- 2>&-'; do
        run alice sh -c "cd $WORK; slipway exec debian.sif sh -c 'echo out; echo err >&2; cat >/dev/null; exit 7' $streams"
        echo "$streams: $output"
        expect_status 7
        run alice sh -c "cd $WORK; slipway inspect debian.sif $streams"
        expect_status 0
        run alice sh -c "cd $WORK; SLIPWAY_CACHEDIR=$WORK/closed slipway images $streams"
        expect_status 0
    done
    run alice sh -c "cd $WORK; slipway exec debian.sif sh -c 'echo out; echo err >&2' <&- 2>&-"
    [ "$output" = out ]
    run alice sh -c "cd $WORK; slipway exec debian.sif ls -l /proc/self/fd/0 <&-"
    expect_output '/dev/null$'
}

@test "a caller that ignores the end of its children changes nothing" {
    local what
    for what in 'exec debian.sif sh -c "sleep 0.1 & wait; exit 7"' 'exec --pid debian.sif sh -c "exit 7"'; do
        run alice sh -c "trap '' CHLD; cd $WORK; exec slipway $what"
        expect_status 7
    done
    run alice sh -c "trap '' CHLD; cd $WORK; slipway inspect debian.sif"
    expect_status 0
    run alice sh -c "trap '' CHLD; cd $WORK; slipway build ignored.sif debian.sif && slipway exec ignored.sif true"
    expect_status 0
}

@test "a container with processes of its own: what is started in it ends with it" {
    run alice sh -c "cd $WORK; slipway exec --containall debian.sif sh -c 'setsid sleep 4711 & ps -e 2>/dev/null; echo pid \$\$; ls -d /proc/[0-9]* | wc -l'"
    expect_status 0
    expect_lines 1 '^pid [2-9]$'
    ! pgrep -f 'sleep 4711'
    run alice sh -c "cd $WORK; slipway run --pid --no-init debian.sif -c 'echo pid \$\$'"
    expect_lines 1 '^pid 1$'
}

@test "libraries of the user's environment are the command's, not ours" {
    need_plugin
    # As in a conda environment: other builds of what we load, here without any symbol.
    local name
    mkdir -p foreign
    echo 'int nothing_of_use;' >foreign/empty.c
    cc -shared -fPIC -o foreign/empty.so foreign/empty.c
    for name in libisal.so.2 libcurl.so.4 libcrypto.so.3 libssl.so.3 libarchive.so.13 libzstd.so.1 libz.so.1; do
        cp foreign/empty.so "foreign/$name"
    done
    run alice_slipway_with LD_LIBRARY_PATH="$WORK/foreign" -- exec debian.sif sh -c 'echo "in $LD_LIBRARY_PATH"'
    expect_status 0
    expect_output '^in '
    run alice_slipway_with LD_LIBRARY_PATH="$WORK/foreign" -- inspect debian.sif
    expect_status 0
    run alice_slipway_with LD_LIBRARY_PATH="$WORK/foreign" SLIPWAY_CACHEDIR="$WORK/foreign-store" -- images
    expect_status 0
    # Slurm's own programs do without them; the plugin's must, too.
    run alice env -C "$WORK" LD_LIBRARY_PATH="$WORK/foreign" srun --container-image=./debian.sif true
    expect_status 0
    [ -n "$REGISTRY" ] || return 0
    "$CLUSTER/push-images" "$CLUSTER_DIR" busybox >/dev/null
    run alice env -C "$WORK" LD_LIBRARY_PATH="$WORK/foreign" SLIPWAY_CACHEDIR="$WORK/foreign-store" \
        srun --container-image="docker://$REGISTRY/busybox:1" echo staged
    expect_status 0
    expect_output staged
}
