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

export DEBIAN_FRONTEND=noninteractive

missing=""
while read -r package; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done <requirements/debian.txt

# Debian installs either Postfix or Exim.  The tests want both, so Exim is unpacked only, where nobody looks for it.
exim=/usr/local/lib/mxseal-tests/exim4
have_exim=""
if [ -x /usr/sbin/exim4 ]; then
    have_exim=yes
elif [ -x "$exim/usr/sbin/exim4" ] && ! ldd "$exim/usr/sbin/exim4" | grep -q 'not found'; then
    have_exim=yes
fi

if [ -z "$missing" ] && [ -n "$have_exim" ]; then
    echo "All packages of requirements/debian.txt are installed."
    exit 0
fi

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    # invoke-rc.d(8): 101 forbids every action.
    trap 'rm -f "$policy"' EXIT INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

apt-get update -qq

if [ -z "$have_exim" ]; then
    echo "Unpacking: exim4-daemon-light"
    download=$(mktemp -d)
    chmod 755 "$download"
    (cd "$download" && apt-get download -qq -o APT::Sandbox::User=root exim4-daemon-light)
    mkdir -p "$exim"
    dpkg-deb -x "$download"/*.deb "$exim"
    chmod 755 "$exim/usr/sbin/exim4"
    # Of what it depends on, the libraries.
    libraries=$(dpkg-deb -f "$download"/*.deb Depends | tr ',' '\n' | sed -n 's/^ *\(lib[^ ]*\).*/\1/p' | tr '\n' ' ')
    rm -r "$download"
    missing="$missing $libraries"
fi

echo "Installing:$missing"
# shellcheck disable=SC2086 # a list of words
apt-get install -y --no-install-recommends $missing

if [ -d /run/systemd/system ]; then
    for package in $missing; do
        case $package in
        unbound | nsd | postfix) systemctl disable --quiet "$package" ;;
        bind9) systemctl disable --quiet named ;;
        esac
    done
fi
