#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Workflow engines as Debian packages them, which know of Singularity and Apptainer only: `singularity` in
# their PATH is slipway.
# shellcheck disable=SC2154

bats_require_minimum_version 1.5.0
load common

setup_file() {
    [ -n "$REGISTRY" ] || skip "this cluster has no registry"
    "$CLUSTER/push-images" "$CLUSTER_DIR" debian-py >/dev/null
    WORK=$(work_dir)
    cp "$(image debian)" "$WORK/debian.sif"
    mkdir "$WORK/names"
    ln -s "$SLIPWAY_BUILD/bin/slipway" "$WORK/names/singularity"
    chown -R "$ALICE:" "$WORK"
    export WORK
}

setup() { cd "$WORK" || return 1; }

# engine COMMAND…: as Alice, with her own store and with singularity being slipway.
engine() {
    alice env -C "$WORK" PATH="$WORK/names:/usr/bin:/bin" SINGULARITY_CACHEDIR="$WORK/cache" XDG_CACHE_HOME="$WORK/xdg" "$@"
}

write_snakefile() {
    cat >Snakefile <<END
rule all:
    input: "image.txt", "bound.txt"

rule from_file:
    output: "image.txt"
    container: "debian.sif"
    shell: ". /etc/os-release; echo \$ID > {output}; pwd >> {output}; id -un >> {output}; echo \${{LEAK:-}} >> {output}"

rule from_registry:
    input: "image.txt"
    output: "bound.txt"
    container: "docker://$REGISTRY/debian-py:1"
    shell: "cat /extra/word {input} > {output}; python3 -c 'print(6 * 7)' >> {output}"
END
    mkdir -p extra
    echo bound >extra/word
    chown -R "$ALICE:" Snakefile extra
}

@test "the version is one that engines accept" {
    run engine singularity --version
    expect_output '^singularity-ce version 4\.[0-9]+\.[0-9]+\+slipway\.[0-9.]+$'
    run engine singularity version
    expect_output '^4\.'
}

@test "Snakemake: a local image, one of a registry, binds and --cleanenv" {
    write_snakefile
    run engine LEAK=leaked snakemake -j1 --use-singularity --singularity-args "--cleanenv --bind $WORK/extra:/extra"
    expect_status 0
    mapfile -t lines <bound.txt
    [ "${lines[0]}" = bound ]
    [ "${lines[1]}" = debian ]
    [ "${lines[2]}" = "$WORK" ]
    [ "${lines[3]}" = "$(id -un "$ALICE")" ]
    [ "${lines[4]}" = "" ]
    [ "${lines[5]}" = 42 ]
    [ "$(stat -c %u bound.txt)" = "$(id -u "$ALICE")" ]
}

@test "Snakemake: a command that fails in the container fails the rule" {
    printf 'rule one:\n    output: "never.txt"\n    container: "debian.sif"\n    shell: "echo partial > {output}; exit 3"\n' >Failing
    run engine snakemake -s Failing -j1 --use-singularity
    expect_status 1
    [ ! -e never.txt ]
}

# cwl_tool NAME: a tool that says what it finds in its container.
cwl_tool() {
    cat >"$1.cwl" <<END
cwlVersion: v1.2
class: CommandLineTool
requirements:
  DockerRequirement:
    dockerPull: $REGISTRY/debian-py:1
baseCommand: [sh, -c]
arguments:
  - 'cat \$(inputs.file.path); echo "\$HOME" "\$PWD"; echo leak "\$LEAK"; ls /sys/class/net | tr "\\n" " "; python3 -c "print(6 * 7)"'
inputs:
  file: File
outputs:
  out: stdout
stdout: $1.txt
END
    echo hello >word.txt
    echo '{"file": {"class": "File", "path": "word.txt"}}' >job.json
    chown "$ALICE:" "$1.cwl" word.txt job.json
}

@test "cwltool: an image of a registry, contained and without network" {
    cwl_tool tool
    run engine LEAK=leaked cwltool --singularity tool.cwl job.json
    expect_status 0
    mapfile -t lines <tool.txt
    [ "${lines[0]}" = hello ]
    # cwltool gives the command a directory of its own as home and to start in.
    read -r home cwd <<<"${lines[1]}"
    [ -n "$home" ] && [ "$home" = "$cwd" ] && [ "$home" != "$WORK" ]
    [ "${lines[2]}" = "leak " ]
    [ "${lines[3]}" = "lo 42" ]
}
