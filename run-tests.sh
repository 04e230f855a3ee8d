#!/usr/bin/env bash
# Makes the environment with the test tools and runs lint, format check and all tests.
# Arguments go to pytest: bash run-tests.sh tests/lib -k mel
set -eu
unset CDPATH
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
exec bash "$here/go-web.sh" test "$@"
