# bash completion for c2d(1). It needs nothing of the bash-completion package but to be
# found by it. Held against the program by cmd/c2d/manual_test.go.

_c2d() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "hub version help" -- "$word")
		return
	fi
	[[ ${COMP_WORDS[1]} == hub ]] || return
	case $before in
	--dir)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$word")
		return
		;;
	# These take a value that nobody can guess.
	--device | --host | --mqtt-port | --https-port | --window | --ttl | --max-delivery-count | --receives-per-minute | --retry-after | --date-offset) return ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "--dir --device --host --mqtt-port --https-port --window --ttl --max-delivery-count
		--receives-per-minute --retry-after --date-offset --feedback-batch --ignore-ack-order --ignore-late-ack
		--locks-outlive-connection --redeliver-on-expiry --omit-empty-headers --nested-errors" -- "$word")
}
complete -F _c2d c2d
