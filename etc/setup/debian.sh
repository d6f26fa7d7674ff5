#!/bin/sh
# Installs Debian packages where we may (root on a Debian machine); says what is missing where we may not.
# usage: debian.sh PACKAGE...
missing=
for package in "$@"; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
    echo "not installed:$missing (tests that need them will be skipped; on Debian: sudo apt-get install$missing)" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
apt-get install --yes --quiet --no-install-recommends $missing >/dev/null 2>&1 ||
    { apt-get update --quiet >/dev/null && apt-get install --yes --quiet --no-install-recommends $missing >/dev/null; } ||
    { echo "apt-get could not install:$missing" >&2; exit 1; }
