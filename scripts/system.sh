#!/bin/sh
# Installs the Debian packages of requirements/debian.txt that are missing; called by `make system`, as root.
# Some of them are servers.  The tests start their own with their own configuration, so what is installed
# here is neither started nor enabled at boot; what was there before is left as it is.
set -eu
cd "$(dirname "$0")/.."

if [ "$(id -u)" -ne 0 ]; then
    echo "make system installs packages and needs root: sudo make system" >&2
    exit 77
fi
command -v apt-get >/dev/null || {
    echo "make system knows Debian's apt-get only; install what requirements/debian.txt names by hand" >&2
    exit 69
}

missing=""
while read -r package; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done <requirements/debian.txt
[ -n "$missing" ] || { echo "All packages of requirements/debian.txt are installed."; exit 0; }
echo "Installing:$missing"

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    # invoke-rc.d(8): 101 forbids every action.
    trap 'rm -f "$policy"' EXIT INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

apt-get update -qq
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing

if [ -d /run/systemd/system ]; then
    for package in $missing; do
        case $package in
        unbound | nsd | postfix) systemctl disable --quiet "$package" ;;
        bind9) systemctl disable --quiet named ;;
        esac
    done
fi
