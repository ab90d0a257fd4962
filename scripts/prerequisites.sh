# Functions that the other scripts source: each installs or starts one thing that is missing, and says so.
# They ask for nothing, can be run again, and end the script with one clear sentence where they cannot go on.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# install_packages PACKAGE...: Debian packages that are not installed yet.
install_packages() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null)" = "install ok installed" ] || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  [ "$(id -u)" = 0 ] || fail "root is needed to install ${missing[*]}: run this script with sudo"
  command -v apt-get >/dev/null || fail "please install ${missing[*]} (only apt-get is known to this script)"
  say "installing ${missing[*]}"
  apt-get update -qq >/dev/null 2>&1 || say "note: the package lists could not be refreshed"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 \
    || fail "apt-get could not install ${missing[*]}"
}

# ensure_python [EXTRA]: .venv with the package and its dependencies; EXTRA is for instance "dev".
ensure_python() {
  local extra=${1:-} python stamp wanted
  python=${PYTHON:-python3}
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || fail "Python 3.11 or newer is needed as $python"
  if [ ! -x "$root/.venv/bin/python" ]; then
    say "making the virtual environment .venv"
    "$python" -m venv "$root/.venv" 2>/dev/null || {
      install_packages python3-venv
      "$python" -m venv "$root/.venv" || fail "could not make a virtual environment with $python"
    }
  fi
  stamp=$root/.venv/.installed${extra:+-$extra}
  wanted=$(sha256sum "$root/pyproject.toml")
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    say "installing the package and its dependencies${extra:+ ($extra)}"
    local log=$root/.venv/install.log
    "$root/.venv/bin/python" -m pip install --disable-pip-version-check --config-settings editable_mode=compat \
      -e "$root${extra:+[$extra]}" >"$log" 2>&1 \
      || fail "pip could not install the dependencies: $(grep -i error "$log" | tail -n 1) (all of it: $log)"
    # A cluster's processes run without docstrings: compiled now, the first cluster starts as fast as the next.
    "$root/.venv/bin/python" -OO -m compileall -q "$root"/.venv/lib/python3*/site-packages >/dev/null 2>&1 || true
    printf '%s' "$wanted" >"$stamp"
  fi
}

engine_answers() { curl -fs --max-time 3 --unix-socket /var/run/docker.sock http://engine/_ping >/dev/null 2>&1; }

engine_pid=
start_engine() {
  # What an engine that was killed left behind must not be taken for a running one.
  local file pid
  for file in /var/run/docker.pid /var/run/docker/containerd/containerd.pid; do
    pid=$(cat "$file" 2>/dev/null || true)
    # A process that has ended and is not yet reaped has no program any more.
    case $(readlink "/proc/${pid:-none}/exe" 2>/dev/null) in
      *dockerd* | *containerd*) ;;
      *) rm -f "$file" ;;
    esac
  done
  setsid dockerd >>/var/log/dockerd.log 2>&1 </dev/null &
  engine_pid=$!
  disown
}

# ensure_engine: a Docker Engine that answers on its socket.
ensure_engine() {
  engine_answers && return 0
  [ "$(id -u)" = 0 ] || fail "no Docker Engine answers, and root is needed to start one: run this script with sudo"
  command -v dockerd >/dev/null || install_packages docker.io iptables
  if [ -d /run/systemd/system ] && systemctl start docker >/dev/null 2>&1; then
    say "started the Docker Engine (systemd)"
  else
    say "starting the Docker Engine (its log: /var/log/dockerd.log)"
    start_engine
  fi
  local attempt
  for attempt in $(seq 1 150); do
    engine_answers && return 0
    # One that found another on its way out has given up: try again.
    [ -z "$engine_pid" ] || kill -0 "$engine_pid" 2>/dev/null || start_engine
    sleep 0.2
  done
  fail "the Docker Engine did not answer within 30 s: see /var/log/dockerd.log"
}

# ensure_kubectl: some kubectl on PATH, or Debian's.
ensure_kubectl() {
  command -v kubectl >/dev/null && return 0
  install_packages kubernetes-client
}
