# The step `deploy`: `dropforge deploy`, `doctor` and `redrive` against a registry, an emulator and, where
# DROPFORGE_TEST_KUBECONFIG names one, a Kubernetes API server, which is shown the objects of infra/kubernetes too. Sourced
# by run.
REGISTRY=github.com/google/go-containerregistry/cmd/registry@v0.20.6

step_deploy() {
  local python why registry port
  . "$root/tests/cloud/versions"
  if ! python=$(python_with "emulator-$MINISTACK" "ministack==$MINISTACK" 2>"$work/out"); then
    why=$(grep . "$work/out" | tail -1)
    skip deploy "the emulator can't be installed: ${why:-no python3}"
    return
  fi
  emulator_starts "$python" || { verdict "the emulator starts" 1; return; }
  registry=${XDG_CACHE_HOME:-$HOME/.cache}/dropforge/infra/registry-${REGISTRY##*@}
  if [ -x "$registry/registry" ] || GOBIN=$registry go install "$REGISTRY" >"$work/out" 2>&1; then
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    "$registry/registry" -port "$port" >"$work/registry.log" 2>&1 &
    images=$!
    leave() { kill "$emulator" "$images" 2>/dev/null; wait "$emulator" "$images" 2>/dev/null; }
    export DROPFORGE_TEST_REGISTRY=127.0.0.1:$port
  fi
  cargo test --quiet --locked -p dropforge-cli -p dropforge-cluster --all-features --test deploy --test objects -- --show-output >"$work/out" 2>&1
  local status=$?
  tally
  [ $status -eq 0 ] && echo "test deploy, doctor, redrive and Kubernetes' objects ... ok" || verdict "deploy, doctor, redrive and Kubernetes' objects" $status
  leave
}
