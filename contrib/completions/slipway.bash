# SPDX-License-Identifier: Apache-2.0
# bash completion for slipway. Made by: slipway help --completion bash
_slipway() {
    local cur=${COMP_WORDS[COMP_CWORD]} verb="" i word previous=""
    local options="" with_file="" with_dir="" with_value="" words="" stops=""
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word != -* ]]; then
            verb=$word
            break
        fi
    done
    case $verb in
        run)
            options="--bind -B --mount --home -H --no-home --no-mount --scratch -S --workdir -W --cwd --pwd --writable-tmpfs --overlay -o --writable -w --contain -c --containall -C --compat --fakeroot -f --pid -p --no-pid --no-init --ipc -i --uts --hostname --net -n --network --dns --userns -u --no-privs --nv --rocm --env --env-file --cleanenv -e --no-eval --no-umask --pull --platform --arch --authfile --no-https --nohttps --disable-cache --dry-run --json --quiet -q --silent -s --verbose -v --debug -d --config --help"
            with_file="|--bind|-B|--overlay|-o|--env-file|--authfile|--config|"
            with_dir="|--home|-H|--workdir|-W|"
            with_value="|--mount|--no-mount|--scratch|-S|--cwd|--pwd|--hostname|--network|--dns|--env|--pull|--platform|--arch|"
            stops=1
            ;;
        exec)
            options="--bind -B --mount --home -H --no-home --no-mount --scratch -S --workdir -W --cwd --pwd --writable-tmpfs --overlay -o --writable -w --contain -c --containall -C --compat --fakeroot -f --pid -p --no-pid --no-init --ipc -i --uts --hostname --net -n --network --dns --userns -u --no-privs --nv --rocm --env --env-file --cleanenv -e --no-eval --no-umask --pull --platform --arch --authfile --no-https --nohttps --disable-cache --dry-run --json --quiet -q --silent -s --verbose -v --debug -d --config --help"
            with_file="|--bind|-B|--overlay|-o|--env-file|--authfile|--config|"
            with_dir="|--home|-H|--workdir|-W|"
            with_value="|--mount|--no-mount|--scratch|-S|--cwd|--pwd|--hostname|--network|--dns|--env|--pull|--platform|--arch|"
            stops=1
            ;;
        shell)
            options="--shell -s --bind -B --mount --home -H --no-home --no-mount --scratch -S --workdir -W --cwd --pwd --writable-tmpfs --overlay -o --writable -w --contain -c --containall -C --compat --fakeroot -f --pid -p --no-pid --no-init --ipc -i --uts --hostname --net -n --network --dns --userns -u --no-privs --nv --rocm --env --env-file --cleanenv -e --no-eval --no-umask --pull --platform --arch --authfile --no-https --nohttps --disable-cache --dry-run --json --quiet -q --silent -s --verbose -v --debug -d --config --help"
            with_file="|--bind|-B|--overlay|-o|--env-file|--authfile|--config|"
            with_dir="|--home|-H|--workdir|-W|"
            with_value="|--shell|-s|--mount|--no-mount|--scratch|-S|--cwd|--pwd|--hostname|--network|--dns|--env|--pull|--platform|--arch|"
            stops=1
            ;;
        inspect)
            options="--labels -l --deffile -d --runscript -r --startscript -s --test -t --environment -e --helpfile -H --list-apps --app --all --json -j --pull --platform --arch --authfile --no-https --nohttps --disable-cache --quiet -q --silent -s --verbose -v --debug -d --config --help"
            with_file="|--authfile|--config|"
            with_value="|--app|--pull|--platform|--arch|"
            ;;
        config)
            options="--quiet -q --silent -s --verbose -v --debug -d --config --help"
            with_file="|--config|"
            words="check show example"
            ;;
        doctor)
            options="--json -j --quiet -q --silent -s --verbose -v --debug -d --config --help"
            with_file="|--config|"
            ;;
        help)
            options="--man --completion --quiet -q --silent -s --verbose -v --debug -d --help"
            with_value="|--completion|"
            words="run exec shell inspect config doctor help version pull stage build images cache"
            ;;
        version)
            options="--json -j --quiet -q --silent -s --verbose -v --debug -d --help"
            ;;
        pull)
            options="--force -F --dir --name --print-path --json -j --allow-unsigned -U --pull --platform --arch --authfile --no-https --nohttps --disable-cache --quiet -q --silent -s --verbose -v --debug -d --config --help"
            with_file="|--authfile|--config|"
            with_dir="|--dir|"
            with_value="|--name|--pull|--platform|--arch|"
            ;;
        stage)
            options="--pull --platform --arch --authfile --no-https --nohttps --disable-cache --print-path --print-keys --detach --json -j --quiet -q --silent -s --verbose -v --debug -d --config --help"
            with_file="|--authfile|--config|"
            with_value="|--pull|--platform|--arch|"
            ;;
        build)
            options="--force -F --print-path --json -j --pull --platform --arch --authfile --no-https --nohttps --disable-cache --quiet -q --silent -s --verbose -v --debug -d --config --help"
            with_file="|--authfile|--config|"
            with_value="|--pull|--platform|--arch|"
            ;;
        images)
            options="--force -F --json -j --quiet -q --silent -s --verbose -v --debug -d --config --help"
            with_file="|--config|"
            words="list rm pin unpin"
            ;;
        cache)
            options="--force -f --dry-run -n --days -D --protected --repair --json -j --quiet -q --silent -s --verbose -v --debug -d --config --help"
            with_file="|--config|"
            with_value="|--days|-D|"
            words="list clean fsck"
            ;;
        "")
            options="--quiet -q --silent -s --verbose -v --debug -d --config --help --version"
            words="run exec shell inspect config doctor help version pull stage build images cache"
            ;;
    esac
    # Behind the verb: what is the word before, and has the image been named already?
    local named=""
    for ((i = i + 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ -n $previous ]]; then
            previous=""
        elif [[ $word == -* && "$with_file$with_dir$with_value" == *"|$word|"* ]]; then
            previous=$word
        elif [[ $word != -* && $word != "=" ]]; then
            named=1
            break
        fi
    done
    if [[ -n $stops && -n $named ]]; then
        compopt -o default 2>/dev/null
    elif [[ -n $previous && $with_dir == *"|$previous|"* ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
    elif [[ -n $previous && $with_file == *"|$previous|"* ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    elif [[ -n $previous ]]; then
        return
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    elif [[ -n $words && -z $named ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    else
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}
complete -F _slipway slipway
