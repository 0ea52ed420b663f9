# bash completion for actuatord(8). It needs nothing of the bash-completion package
# but to be found by it. Held against the program by cmd/actuatord/completion_test.go.

# The names of what commands may ask something of, by the configuration. Only what can be
# one: "compgen -W" carries out what it is given, and --config may name anybody's file.
_actuatord_targets() {
	awk -F '"' '/^[[:space:]]*\[/ {of = /output|level|register/}
		of && /^[[:space:]]*name[[:space:]]*=/ && $2 ~ /^[A-Za-z0-9._-]+$/ {print $2}' "$1" 2>/dev/null
}

_actuatord() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local config=/etc/actuatord/actuatord.toml command="" words=0 flags="--config" i
	COMPREPLY=()
	# The command is the first word; flags may stand between and behind the others.
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--config | --command | --for | --percent | --register | --bytes | --bus | --why | -n)
			[[ ${COMP_WORDS[i]} != --config ]] || config=${COMP_WORDS[i + 1]}
			((i++))
			;;
		-*) ;;
		*) if [[ -z $command ]]; then command=${COMP_WORDS[i]}; else ((words++)); fi ;;
		esac
	done
	case $before in
	--config | --command)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--for | --percent | --register | --bytes | --bus | --why | -n) return ;;
	esac
	case $command in
	check) flags+=" --online --command" ;;
	board) flags+=" --json --scan --bus" ;;
	do) flags+=" --for --percent --register --bytes" ;;
	init) flags+=" --force" ;;
	disable) flags+=" --why" ;;
	status) flags+=" --json" ;;
	history) flags+=" -n --json" ;;
	esac
	case $command:$words:$word in
	:*) mapfile -t COMPREPLY < <(compgen -W "init run check board safe disable enable do status history journal version help" -- "$word") ;;
	*:-*) mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word") ;;
	journal:0:*) mapfile -t COMPREPLY < <(compgen -W "check reset" -- "$word") ;;
	do:0:* | disable:0:* | enable:0:*) mapfile -t COMPREPLY < <(compgen -W "all $(_actuatord_targets "$config")" -- "$word") ;;
	do:1:*) mapfile -t COMPREPLY < <(compgen -W "on off toggle pulse set write safe read" -- "$word") ;;
	esac
}
complete -F _actuatord actuatord
