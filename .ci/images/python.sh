#!/usr/bin/env bash
# usage: python.sh TAG. A minimal Debian with Python 3.11 where the official image has it, imported as TAG.
#
# How this machine reaches its package mirrors (apt sources, pip's index, proxies, certificates) goes into the image, and
# nowhere else: the repository stays the same everywhere.
set -euo pipefail
tag=$1
suite=bookworm
root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT

repositories() { apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | grep " $suite"; }

# The first mirror that carries the suite itself; none: debootstrap's own default.
mirror=$(repositories | awk -v suite="$suite" '$2 == suite {print $1; exit}' || true)
debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv "$suite" "$root" ${mirror:+"$mirror"} >"$root.log" ||
  { tail -20 "$root.log" >&2; exit 1; }
rm -f "$root.log"

if [ -n "$mirror" ]; then
  repositories | sed 's/^/deb /' >"$root/etc/apt/sources.list"
fi
apt-config dump | grep -E '^Acquire::(http::Proxy|https::Proxy|Check-Valid-Until|Check-Date) ' >"$root/etc/apt/apt.conf.d/90machine" || true
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"

# Indexes in a folder of this machine are of no use inside a container.
reachable() { tr ' ' '\n' | grep -E '^https?://' | paste -sd ' ' || true; }
pip_value() {
  local variable=PIP_$(echo "$1" | tr a-z- A-Z_)
  echo "${!variable:-$(python3 -m pip config get "global.$1" 2>/dev/null || true)}"
}
{
  echo "[global]"
  echo "cert = /etc/ssl/certs/ca-certificates.crt"
  for name in index-url extra-index-url proxy; do
    value=$(pip_value "$name" | reachable)
    [ -z "$value" ] || echo "$name = $value"
  done
  for name in trusted-host timeout; do
    value=$(pip_value "$name")
    [ -z "$value" ] || echo "$name = $value"
  done
} >"$root/etc/pip.conf"

for name in python python3 python3.11; do
  ln -s /usr/bin/python3.11 "$root/usr/local/bin/$name"
done
rm -f "$root"/usr/lib/python3.11/EXTERNALLY-MANAGED
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # packages must not start their services in a build
chmod 755 "$root/usr/sbin/policy-rc.d"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/* "$root"/var/log/*

tar -C "$root" --numeric-owner -c . | docker import \
  --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
  --change 'ENV LANG=C.UTF-8' \
  --change 'CMD ["python3"]' \
  --change 'LABEL paylab.stand-in=true' \
  - "$tag" >/dev/null
