# Where the test bed lies and how its parts are started and ended. Sourced by the others.
# Addresses, ports and names are its own, so that another Kubernetes can run on the same machine.
bed=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cloud=${DROPFORGE_CLOUD_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/dropforge/cloud}
# Pid files and sockets: a reboot takes them along with what they name.
run=/run/dropforge-cloud
[[ $(id -u) == 0 ]] || run=$cloud/run
containerd=$run/containerd.sock
cgroup=dropforge
node=dropforge
bridge=dropforge0
bridge_address=0a:5c:0a:5c:00:01
gateway=10.92.0.1 # the node, as pods see it: the emulator listens here
pods=10.92.0.0/16
services=10.93.0.0/16
service=10.93.0.1 # the first of them, which the API server's certificate must name
api_port=16443
emulator_port=4566
# The keys open nothing; a test looks for the secret one in all that is kept.
emulator_key=test
emulator_secret=no-secret-but-looked-for
proxy_port=4567 # the emulator as functions and pods see it
. "$bed/../versions"
export PATH=$cloud/bin:$PATH

born() { # when the process began, so that a pid used again is not taken for ours
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return
  # What follows the name: state, parent, …; one that has ended and is not waited for yet is none.
  set -- ${stat##*) }
  [[ $1 != Z ]] && echo "${20}"
}

running() {
  local pid begun
  read -r pid begun 2>/dev/null <"$run/$1.pid" && [[ -n $begun && $(born "$pid") == "$begun" ]]
}

start() { # start NAME COMMAND…
  local name=$1
  shift
  running "$name" && return
  setsid "$@" >>"$cloud/log/$name.log" 2>&1 </dev/null &
  echo "$! $(born $!)" >"$run/$name.pid"
}

stop() { # stop NAME: asks, waits 10 s, then kills
  local pid
  if running "$1"; then
    read -r pid _ <"$run/$1.pid"
    kill "$pid"
    for _ in $(seq 100); do running "$1" || break; sleep 0.1; done
    running "$1" && kill -KILL "$pid"
  fi
  rm -f "$run/$1.pid"
}

wait_for() { # wait_for SECONDS NAME COMMAND…: NAME is the part whose log tells why
  local limit=$((SECONDS + $1)) name=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= limit)) || ! running "$name"; then
      echo "$name did not become ready; the end of $cloud/log/$name.log:" >&2
      tail -20 "$cloud/log/$name.log" >&2
      exit 1
    fi
    sleep 0.2
  done
}

export begun=${begun:-$EPOCHSECONDS}
say() { printf '%4d s  %s\n' "$((EPOCHSECONDS - begun))" "$1" >&2; }
