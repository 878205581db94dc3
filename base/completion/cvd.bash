# SPDX-License-Identifier: Apache-2.0
# Completion of cvd-ctl, cvd-client, cvd-launch, cvd-up and cvd-vm for bash. The programs say what may follow:
# see base/complete.c.
_cvd() {
    local line lines
    mapfile -t lines < <("$1" --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    if [[ ${lines[0]} == $'\t'* ]]; then
        compopt -o default # the names of files
        return
    fi
    for line in "${lines[@]%%$'\t'*}"; do
        [[ $line == "$2"* ]] && COMPREPLY+=("$line")
    done
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -F _cvd cvd-ctl cvd-client cvd-launch cvd-up cvd-vm
