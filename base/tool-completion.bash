# SPDX-License-Identifier: Apache-2.0
# Completion of cvd-ctl and cvd-client, which say themselves what may follow.
_cvd_tool() {
    local IFS=$'\n' words
    words=$("$1" --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    COMPREPLY=($(compgen -W "$words" -- "$2"))
}
complete -o default -F _cvd_tool cvd-ctl cvd-client
