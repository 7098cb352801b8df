# SPDX-License-Identifier: Apache-2.0
# The configuration files of one cluster. Sourced, never run.
# shellcheck shell=bash

# cgroup if the four v1 controllers can be written here, else linuxproc. (Slurm 22.05 drives cgroup v2
# only through systemd, one scope per slurmd; a cluster on one host without systemd cannot have that.)
choose_proctrack() {
    local controller dir
    for controller in freezer cpuset memory devices; do
        dir=/sys/fs/cgroup/$controller/slipway_probe_$$
        if ! mkdir "$dir" 2>/dev/null || ! [ -e "$dir/tasks" ]; then
            rmdir "$dir" 2>/dev/null || true
            say "no usable cgroup v1 $controller controller: proctrack/linuxproc, no confinement of jobs"
            echo linuxproc
            return
        fi
        rmdir "$dir"
    done
    echo cgroup
}

# Debian's packages bring this user; slurmctld runs as it, as it does at a site.
slurm_user() { if getent passwd slurm >/dev/null; then echo slurm; else echo root; fi; }

# TaskPluginParam=none: nodes claim more cores than there are, so binding happens only where a test asks.
proctrack_lines() {
    if [ "$1" = cgroup ]; then
        cat <<'END'
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup,task/affinity
TaskPluginParam=none
PrologFlags=Alloc,Contain
END
    else
        cat <<'END'
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
PrologFlags=Alloc
END
    fi
}

# write_slurm_conf DIR SLOT NODES PROCTRACK CPUS
write_slurm_conf() {
    local dir=$1 slot=$2 nodes=$3 proctrack=$4 cpus=$5 host
    host=$(hostname -s)
    cat >"$dir/etc/slurm.conf" <<END
ClusterName=slipway$slot
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(slot_port "$slot" slurmctld)
SlurmUser=$(slurm_user)
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$dir/munge/munge.socket
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/nodes/%n
SlurmctldPidFile=$dir/run/slurmctld.own.pid
SlurmdPidFile=$dir/run/%n.own.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/%n.log
SlurmctldDebug=info
SlurmdDebug=info
PlugStackConfig=$dir/etc/plugstack.conf
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1024
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
ReturnToService=2
KillWait=3
UnkillableStepTimeout=20
MessageTimeout=20
SlurmdTimeout=60
InactiveLimit=0
MinJobAge=300
$(proctrack_lines "$proctrack")
$(node_lines "$slot" "$nodes" "$host" "$cpus")
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
END
}

# More CPUs and memory than the machine may have: tests start 64 tasks on a node.
node_lines() {
    local slot=$1 nodes=$2 host=$3 cpus=$4 n
    for ((n = 1; n <= nodes; n++)); do
        printf 'NodeName=sw%sn%d NodeHostname=%s NodeAddr=127.0.0.1 Port=%s ' \
            "$slot" "$n" "$host" "$(slot_port "$slot" "node$n")"
        printf 'Sockets=1 CoresPerSocket=%d ThreadsPerCore=1 RealMemory=%d State=UNKNOWN\n' \
            "$cpus" $((cpus * 1024))
    done
}

write_cgroup_conf() {
    cat >"$1/etc/cgroup.conf" <<'END'
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
CgroupAutomount=no
ConstrainCores=yes
ConstrainDevices=yes
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
END
}

# write_plugstack DIR PLUGIN|none required|optional ARGUMENTS
write_plugstack() {
    if [ "$2" = none ]; then
        echo "# no plugin" >"$1/etc/plugstack.conf"
    else
        echo "$3 $2 config=$1/etc/slipway.yaml${4:+ $4}" >"$1/etc/plugstack.conf"
    fi
}

# write_env DIR SLOT NODES BUILD: the file that users of the cluster source.
write_env() {
    local dir=$1 slot=$2 nodes=$3 build=$4 n names=
    for ((n = 1; n <= nodes; n++)); do names+=" sw${slot}n$n"; done
    cat >"$dir/env.sh" <<END
export CLUSTER_DIR="$dir"
export CLUSTER_NODES="${names# }"
export CLUSTER_SLOT="$slot"
export SLURM_CONF="$dir/etc/slurm.conf"
export SLIPWAY_CONFIG="$dir/etc/slipway.yaml"
export SLIPWAY_BUILD="$build"
export REGISTRY=""
export TEST_USERS="$TEST_USERS"
export TEST_GROUP="$TEST_GROUP"
case ":\$PATH:" in *":$build/bin:"*) ;; *) export PATH="$build/bin:\$PATH" ;; esac
END
}

# write_slipway_yaml DIR SLOT: the site file. Registries on all ports of the cluster's block may be asked,
# whether they run yet or not.
write_slipway_yaml() {
    local dir=$1 slot=$2 base port
    base=$(slot_port "$slot" slurmctld)
    cat >"$dir/etc/slipway.yaml" <<END
store:
  path: $dir/store
service:
  listen: ["unix:$dir/run/slipwayd.sock"]
registries:
  "127.0.0.1:$(slot_port "$slot" registry)": {insecure: true}
  "127.0.0.1:$(slot_port "$slot" registry-tls)": {ca_file: $dir/registry-tls/ca.pem}
END
    for port in 4 5 6 7 8 9; do
        echo "  \"127.0.0.1:$((base + port))\": {insecure: true}"
    done >>"$dir/etc/slipway.yaml"
}
