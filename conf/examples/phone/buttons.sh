#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The buttons of conf/examples/phone.json: once a second the guest is signalled, and its answer is
# awaited. When the VM ends or begins anew, the next guest is awaited. Argument: cvd-client.
client=${1:-cvd-client}

while :; do
    if "$client" ping misc --count 1 >/dev/null; then
        echo "the guest sees buttons"
        "$client" ping misc --interval 1 >/dev/null
    else
        sleep 0.2 # there is no guest
    fi
done
