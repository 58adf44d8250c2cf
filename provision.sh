#!/usr/bin/env bash
# Makes what this machine lacks, and says so: provision.sh check|trial|test|long|bench
#
#   check   .venv from requirements.lock, and nothing of the system but Python
#   trial   .venv; with a Docker daemon: Compose v2 and a way to the base image; without one: the programs of the
#           embedded engine
#   test    the same, the embedded engine's programs always, because the tests use both engines, and a browser
#   long    the same as test, and the players and tools of the long tests
#   bench   .venv, the server of the benchmarks, and the clients that ours is measured beside
#
# Debian and Ubuntu, as root, are served by apt-get; elsewhere an error lists the exact commands. Servers are installed
# without being started, now or at the next boot. A second call has nothing to do and takes about a second.
#
# Environment: PYTHON (the interpreter to use), DOCKER_CONFIG (where Docker's plugins lie), SEATRIAL_MIRROR
# (http://deb.debian.org/debian: where Debian 12 gets Debian 13's Compose from).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

image=debian:trixie-slim
mirror=${SEATRIAL_MIRROR:-http://deb.debian.org/debian}
plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
wanted=() reasons=() # packages and why, filled by the need_* functions
scratch='' policy='' # what `finish` removes
python='' with_docker=no private_compose=no

say() { printf 'provision: %s\n' "$*"; }

fail() {
  printf 'provision: %s\n' "$@" >&2
  exit 1
}

finish() {
  if [ -n "$scratch" ]; then rm -rf "$scratch"; fi
  if [ -n "$policy" ]; then rm -f "$policy"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

want() { # want PACKAGE WHY
  wanted+=("$1")
  reasons+=("$1: $2")
}

# --- what this machine is ---

release() { # release KEY: a value of os-release
  # shellcheck source=/dev/null
  (. /etc/os-release 2>/dev/null && printf '%s' "${!1:-}") || true
}
distribution=$(release ID)
version=$(release VERSION_ID)

served() { # apt-get can be used for what is missing
  case $distribution in debian | ubuntu) command -v apt-get >/dev/null ;; *) return 1 ;; esac
}

find_python() { # 3.11 or newer which can make virtual environments
  local candidate
  for candidate in ${PYTHON:-python3 /usr/bin/python3 python3.13 python3.12 python3.11 python3.14}; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python=$candidate
      return 0
    fi
  done
  return 1
}

has_docker() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

has_compose() {
  case $(timeout 20 docker compose version --short 2>/dev/null) in 2.* | v2.* | [3-9].* | v[3-9].* | [1-9][0-9].*) ;; *) return 1 ;; esac
}

has_image() { timeout 10 docker image inspect "$image" >/dev/null 2>&1; }

# --- what it lacks ---

need_python() {
  if find_python; then return 0; fi
  if [ "$distribution $version" = 'ubuntu 22.04' ]; then
    want python3.11-venv 'Python 3.11 with its venv module, to make .venv'
  else
    want python3-venv "Python's venv module, to make .venv"
  fi
}

need_compose() {
  if has_compose; then return 0; fi
  if dpkg-query -W -f '${db:Status-Status}' docker-ce-cli 2>/dev/null | grep -qx installed; then
    want docker-compose-plugin 'Compose v2, to bring stacks up'
    want docker-buildx-plugin 'buildx, to build their images'
  elif [ "$distribution" = ubuntu ]; then
    want docker-compose-v2 'Compose v2, to bring stacks up'
    want docker-buildx 'buildx, to build their images'
  elif [ "$distribution $version" = 'debian 12' ]; then
    private_compose=yes # its own docker-compose is 1.29
  else
    want docker-compose 'Compose v2, to bring stacks up'
    want docker-buildx 'buildx, to build their images'
  fi
}

need_image() {
  if has_image || command -v mmdebstrap >/dev/null; then return 0; fi
  if timeout 60 docker pull --quiet "$image" >/dev/null 2>&1; then
    say "pulled $image (the stacks' base image)"
    return 0
  fi
  want mmdebstrap "to make the image $image, which can't be pulled here"
  [ "$distribution" = debian ] || want debian-archive-keyring 'the keys that mmdebstrap checks Debian with'
}

need_programs() { # of the embedded engine
  local PATH=$PATH:/usr/sbin:/sbin pair
  for pair in nginx:nginx docker-registry:docker-registry redis-server:redis-server gunicorn:gunicorn uwsgi:uwsgi-core; do
    command -v "${pair%%:*}" >/dev/null || want "${pair##*:}" 'a program of the embedded engine'
  done
  [ -e /usr/lib/uwsgi/plugins/python3_plugin.so ] || want uwsgi-plugin-python3 'a program of the embedded engine'
  for pair in flask:python3-flask jwt:python3-jwt bcrypt:python3-bcrypt redis:python3-redis cryptography:python3-cryptography \
    gevent:python3-gevent PIL:python3-pil; do
    /usr/bin/python3 -c "import ${pair%%:*}" 2>/dev/null || want "${pair##*:}" "a library of the embedded engine's services"
  done
}

need_bench() { # k6 is in no distribution: it is measured where it is on the PATH
  local PATH=$PATH:/usr/sbin:/sbin pair
  command -v nginx >/dev/null || want nginx 'the server that the benchmarks load'
  for pair in openssl:openssl taskset:util-linux setpriv:util-linux; do
    command -v "${pair%%:*}" >/dev/null || want "${pair##*:}" 'a tool of the benchmarks'
  done
  for pair in hey:hey wrk:wrk curl:curl; do
    command -v "${pair%%:*}" >/dev/null || want "${pair##*:}" 'a client that ours is measured beside'
  done
}

need_browser() {
  if command -v chromium >/dev/null || command -v google-chrome >/dev/null; then return 0; fi
  if [ "$distribution" = ubuntu ]; then # its chromium is a snap, which a container can't start
    say "no chromium or google-chrome: the test of Locust's web page can't run"
  else
    want chromium "the browser of the test of Locust's web page"
  fi
}

need_players() { # ffmpeg brings ffprobe along; Ubuntu's firefox is a snap, as its chromium is
  command -v ffmpeg >/dev/null || want ffmpeg 'a player, and the tool that the MP4 parser is tested against'
  if command -v firefox-esr >/dev/null || command -v firefox >/dev/null; then return 0; fi
  if [ "$distribution" = ubuntu ]; then
    say "no firefox: what is tested with it can't run"
  else
    want firefox-esr 'a player that the player models are tested against'
  fi
}

need_engine() { # what brings stacks up: Docker, or else the embedded engine; the tests need both
  if has_docker; then
    with_docker=yes
    need_compose
    need_image
  else
    say 'no Docker daemon answers: the embedded engine will be used'
  fi
  if [ "$with_docker" = no ] || [ "$1" = test ]; then need_programs; fi
}

# --- mending it ---

apt() { # only Debian's or Ubuntu's own packages are wanted: a third party's broken source must not cost minutes
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 -o Acquire::Retries=1 -o Acquire::http::Timeout=20 \
    -o Acquire::https::Timeout=20 -o Dpkg::Use-Pty=0 "$@"
}

keep_servers_down() { # a package's own scripts would start its server; policy-rc.d is Debian's way to forbid it
  if [ -e /usr/sbin/policy-rc.d ]; then return 0; fi
  policy=/usr/sbin/policy-rc.d
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
}

keep_servers_disabled() { # those that are new here; one that was there before keeps its settings
  local server
  for server in "${wanted[@]}"; do
    case $server in nginx | redis-server | docker-registry) ;; *) continue ;; esac
    if [ -d /run/systemd/system ]; then systemctl --quiet stop "$server.service" >/dev/null 2>&1 || true; fi
    # both: the first also works in a container without an init system, which may get one; the second knows aliases
    update-rc.d "$server" disable >/dev/null 2>&1 || say "could not disable $server: it may start at the next boot"
    if command -v systemctl >/dev/null; then systemctl --quiet disable "$server.service" >/dev/null 2>&1 || true; fi
  done
}

install_wanted() {
  [ ${#wanted[@]} -gt 0 ] || return 0
  local command="apt-get install -y --no-install-recommends ${wanted[*]}"
  if ! served; then
    fail "this machine lacks:" "${reasons[@]/#/  }" "on ${distribution:-this system} install them yourself; on Debian 12 or newer it would be:" \
      "  sudo apt-get update && sudo $command" "then run this again"
  fi
  if [ "$(id -u)" != 0 ]; then
    fail "this machine lacks:" "${reasons[@]/#/  }" "run these, then this again:" "  sudo apt-get update" "  sudo $command"
  fi
  say "installing" && printf '  %s\n' "${reasons[@]}"
  keep_servers_down
  local lists=(/var/lib/apt/lists/*_Packages*)
  if [ ! -e "${lists[0]}" ] || ! apt install -y --no-install-recommends "${wanted[@]}" >/dev/null 2>&1; then
    say 'apt-get update (the package lists are missing or old)'
    apt update >/dev/null 2>&1 || true # a broken third-party source fails it, while Debian's own lists are fresh
    local words # of the packages' own scripts, which are many, and only matter if something fails
    words=$(apt install -y --no-install-recommends "${wanted[@]}" 2>&1) || fail "failed: $command" "$words"
  fi
  keep_servers_disabled
}

unpack_compose() { # Debian 13's packages run on Debian 12 (they need libc6 2.34); no apt source is left behind
  [ "$private_compose" = yes ] || return 0
  say "unpacking Debian 13's docker-compose and docker-buildx into $plugins (Compose v2, to bring stacks up)"
  scratch=$(mktemp -d)
  mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial" "$plugins"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s trixie main\n' "$mirror" >"$scratch/sources.list"
  local private=(-o "Dir::Etc::sourcelist=$scratch/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::Etc::preferencesparts=/dev/null -o Dir::Etc::preferences=/dev/null
    -o "Dir::State::lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none)
  apt "${private[@]}" update || fail "no package lists from $mirror (SEATRIAL_MIRROR names another)"
  (cd "$scratch" && apt "${private[@]}" download docker-compose docker-buildx) || fail "no packages from $mirror"
  local package
  for package in "$scratch"/docker-*.deb; do dpkg-deb -x "$package" "$scratch/tree"; done
  install -m 755 "$scratch"/tree/usr/libexec/docker/cli-plugins/docker-{compose,buildx} "$plugins/"
}

environment() { # .venv, exactly as locked, and this project in it as it stands
  local stamp=.venv/.provisioned now
  now=$(cat requirements.lock pyproject.toml | sha256sum)
  if [ -x .venv/bin/seatrial ] && .venv/bin/python -c '' 2>/dev/null && [ "$(cat "$stamp" 2>/dev/null)" = "$now" ]; then return 0; fi
  if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
  fi
  say 'installing requirements.lock and this project into .venv'
  local pip=(.venv/bin/python -m pip --disable-pip-version-check --quiet install)
  "${pip[@]}" --require-hashes -r requirements.lock || fail 'pip could not install requirements.lock (see above)'
  "${pip[@]}" --no-deps --no-build-isolation --editable . || fail 'pip could not install this project (see above)'
  printf '%s' "$now" >"$stamp"
}

main() {
  local target=${1:-}
  case $target in check | trial | test | long | bench) ;; *) fail 'usage: provision.sh check|trial|test|long|bench' ;; esac
  need_python
  case $target in
    bench) need_bench ;;
    trial) need_engine trial ;;
    test)
      need_engine test
      need_browser
      ;;
    long)
      need_engine test
      need_browser
      need_players
      ;;
  esac
  install_wanted
  find_python || fail "Python 3.11 or newer with venv is needed; seen: $(python3 --version 2>&1)" \
    'install one and name it: PYTHON=/path/to/python3.12 make trial'
  unpack_compose
  if [ "$with_docker" = yes ] && ! has_compose; then
    fail "Compose v2 is needed; \`docker compose version\` says: $(docker compose version 2>&1 | head -1)"
  fi
  environment
}

main "$@"
