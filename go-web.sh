#!/usr/bin/env bash
# Starts the program; the first time it makes the Python environment .venv beside this file.
#
#   bash go-web.sh                             the page
#   bash go-web.sh convert INPUT OUTPUT        convert a recording or a folder
#   bash go-web.sh train --help                train a voice
#   bash go-web.sh download --help             get models
#   bash go-web.sh doctor                      what this machine has
#
# --gpu or --cpu, given first, chooses the build of torch instead of looking at the machine.
set -eu
unset CDPATH
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'

for python in "$here/.venv/bin/python" python3.11 python3.12 python3 python; do
    if "$python" -c "$supported" >/dev/null 2>&1; then
        PYTHONPATH="$here" PYTHONSAFEPATH=1 PYTHONUTF8=1 exec "$python" -m tools.launch "$@"
    fi
done
echo "Python 3.11 or 3.12 was not found: install one of them (on Debian or Ubuntu:" \
    "sudo apt install python3.11 python3.11-venv), then run this file again." >&2
exit 3
