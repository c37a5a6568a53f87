# Completion of the programs' options, for bash.
_kernel_programs()
{
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} options
    case ${COMP_WORDS[0]##*/} in
    server) options="--listen --max-connections --idle-timeout --backend --cores --placement --offload --spin --log-level --no-console --plain --control" ;;
    client) options="--load --connections --pipeline --size --rate --duration --warmup --spin --cpu --verify --json --progress" ;;
    console) options="--plain" ;;
    kernel-top) options="--interval --count --once --json --trace --seconds" ;;
    kernel-topology) options="--json --svg --placement-only --placement --max-cores --io-cores --whole-cores --synthetic --input" ;;
    esac
    case $previous in
    --backend) options="auto epoll" ;;
    --log-level) options="error warning info debug trace" ;;
    --control | --placement | --svg | --input | --trace) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    *) options="$options --help --version" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
}
complete -F _kernel_programs server client console kernel-top kernel-topology
