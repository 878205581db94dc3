# SPDX-License-Identifier: Apache-2.0
# Completion of cvd-ctl, cvd-client, cvd-launch, cvd-up and cvd-vm for fish. The programs say what may follow:
# see base/complete.c.
function __cvd_complete
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l found ($words[1] --complete $words[2..-1] (commandline --current-token) 2>/dev/null)
    if string match --quiet (printf '\t*') -- "$found[1]"
        __fish_complete_path (commandline --current-token)
    else
        printf '%s\n' $found
    end
end
for program in cvd-ctl cvd-client cvd-launch cvd-up cvd-vm
    complete --command $program --no-files --arguments '(__cvd_complete)'
end
