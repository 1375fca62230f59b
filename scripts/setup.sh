#!/bin/sh
# Installs what Selvage needs and is missing: Debian packages, npm packages (Node 24 among them), bundles.
# Touches no network when everything is there. `--quiet` says nothing unless there is work.
set -eu
cd "$(dirname "$0")/.."

quiet=no
[ "${1:-}" = "--quiet" ] && quiet=yes
say() { printf '%s\n' "setup: $*" >&2; }

if [ "$(id -u)" != 0 ]; then
  say "Selvage makes network namespaces and needs root. Run it again as root (sudo npm run ...)."
  exit 1
fi

# What each is for: docs/decisions/0002-debian-packages.md
packages="libnftables1 nftables iproute2 dnsmasq-base haproxy busybox iputils-ping iputils-arping traceroute
  conntrack bind9-dnsutils isc-dhcp-client curl iperf3 tcpdump iptables wrk keepalived procps psmisc ca-certificates"
missing=""
for package in $packages; do
  dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
if [ -n "$missing" ]; then
  say "installing Debian packages:$missing"
  # The haproxy package would start a system-wide service; the routers start their own.
  made_policy=no
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    made_policy=yes
  fi
  log=$(mktemp)
  status=0
  # shellcheck disable=SC2086 # the list is meant to be split
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing; } >"$log" 2>&1 || status=$?
  [ "$made_policy" = yes ] && rm -f /usr/sbin/policy-rc.d
  if [ "$status" != 0 ]; then
    tail -n 20 "$log" >&2
    say "apt-get failed (above; whole log: $log). Check that this machine reaches Debian's packages, then run this again."
    exit 1
  fi
  rm -f "$log"
fi

stamp=node_modules/.selvage-installed
if [ ! -e "$stamp" ] || ! cmp -s package-lock.json "$stamp"; then
  say "installing npm packages (Node 24 among them)"
  # Not `npm ci`: it insists on the native parts of biome and oxlint for every platform there is, and a registry may not
  # serve those of platforms we do not run on. Versions and checksums are the lockfile's all the same, and --no-save leaves
  # it as it is. npm itself may run on an older Node than the packages ask for; they run on the Node 24 it installs.
  npm install --no-save --no-audit --no-fund --loglevel=error >&2
  cp package-lock.json "$stamp"
fi

node_modules/.bin/node scripts/bundle.ts
[ "$quiet" = yes ] || say "ready ($(node_modules/.bin/node --version))"
