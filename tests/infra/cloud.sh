# The step `cloud`: the minimal example on the test bed of tests/cloud, deployed to its Kubernetes by `dropforge deploy`; then
# a dropped file becomes a model on what Terraform made, by real functions and pods. Sourced by run.

step_cloud() {
  [ -x "$root/functions/build" ] || { skip cloud "the functions can't be built here"; return; }
  local code=0 cloud
  "$root/tests/cloud/up" >"$work/out" 2>&1 || code=$?
  [ $code -ne 3 ] || { skip cloud "$(grep -m1 -oE 'SKIPPED: .*' "$work/out" | sed 's/SKIPPED: //')"; return; }
  [ $code -eq 0 ] || { verdict "the test bed starts" $code; return; }
  cloud=$(. "$root/tests/cloud/bed/place.sh" && echo "$cloud")
  . "$cloud/env"
  python=$(. "$root/tests/cloud/bed/place.sh" && echo "$cloud/emulator-$MINISTACK/bin/python")
  account() { "$python" "$here/account.py" "$@"; }
  if account exists uploads >/dev/null 2>&1; then
    skip cloud "the test bed has a deployment already: tests/cloud/down makes room"
    return
  fi
  minimal=$work/infra/examples/bed stack=infra-bed
  cp -r "$work/infra/examples/minimal" "$minimal"
  rm -f "$minimal"/terraform.tfstate*
  try "the functions are built" functions_built || return
  account cluster research >"$work/out" 2>&1 || { verdict "the emulator knows a cluster" 1; return; }
  prepare "$minimal"
  on_bed
  try "terraform apply on the test bed" bed_applies || return
  try "the command is built" command_built || return
  try "the test bed's Kubernetes forgets the namespace" kubectl delete namespace dropforge
  try "deploy makes of the test bed's Kubernetes what doctor finds nothing missing in" bed_deploys
  try "deploy can be said again" bed_deploys
  try "doctor names what somebody has taken away, and deploy brings it back" doctor_names_what_is_gone
  try "a dropped file becomes a model on what Terraform made" "$root/tests/cloud/run" --deployment "$work/deployment.json" sample_ml_pipeline
  try "destroy leaves nothing behind on the test bed" bed_destroys
}

functions_built() {
  packages=$("$root/functions/build" "$(uname -m)") && cp -r "$packages" "$work/packages"
}

on_bed() { # the bed's Kubernetes knows no role of AWS: functions and pods are told what EKS would tell them
  export TF_VAR_namespaces='{"dropforge": {}}' TF_VAR_package_folder=$work/packages
  cat >"$minimal/emulator_override.tf" <<HCL
provider "aws" {
  s3_use_path_style           = true
  skip_credentials_validation = true
}

module "dropforge" {
  force_destroy  = true
  bucket_names   = { uploads = "uploads" }
  executor_image = "dropforge.local/executor:1"
  environment = {
    AWS_ENDPOINT_URL     = "$DROPFORGE_CLOUD_PROXY"
    DROPFORGE_KUBECONFIG = "$("$root/tests/cloud/bed/namespace")"
  }
  pod_defaults = jsonencode({
    envFrom   = [{ secretRef = { name = "emulator" } }]
    container = { imagePullPolicy = "IfNotPresent" }
    # The sample asks for two cores, which is all that a small machine has.
    executor = { imagePullPolicy = "IfNotPresent", resources = { requests = { cpu = "0" } } }
  })
}
HCL
}

bed_applies() {
  account all >"$work/before" && terraform -chdir="$minimal" apply -auto-approve -no-color -input=false &&
    terraform -chdir="$minimal" output -json dropforge >"$work/deployment.json"
}

command_built() {
  cargo build --quiet --locked -p dropforge-cli --features aws && command=${CARGO_TARGET_DIR:-$root/target}/debug/dropforge
}

dropforge() { # with contexts of its own
  DROPFORGE_CONFIG=$work/contexts.toml "$command" "$@"
}

bed_deploys() { # what its doctor can't tell is told so; what will not work is an exit code
  local part code=0
  dropforge deploy "$minimal" --endpoint "$AWS_ENDPOINT_URL" --kubeconfig "$KUBECONFIG" --any-cluster >"$work/deployed" || code=$?
  cat "$work/deployed"
  # Everything of which the emulator and the cluster can tell.
  for part in "control bucket" "conditional writes" "policy of" "artifact bucket" "announcements of uploads" "events queue" "upload queue" "dead letters of events" \
    "authentication mode of research" "access entry of advance" "access entry of sweep" "role of steps in dropforge" "function ingest" \
    "function advance" "function sweep" "permissions of function ingest" "permissions of function advance" "permissions of function sweep" "way of the functions to research" "your permissions" "isolation of steps in dropforge" \
    "Pod Identity agent" "rights of functions in dropforge" "cluster" "namespace dropforge" "service account dropforge-step of dropforge" "storage classes"; do
    grep -q "^ok    $part" "$work/deployed" || { echo "doctor does not say ok of: $part"; code=1; }
  done
  return $code
}

doctor_names_what_is_gone() {
  kubectl --namespace dropforge delete serviceaccount dropforge-step &&
    terraform -chdir="$minimal" destroy -auto-approve -no-color -input=false -target=module.dropforge.module.storage.aws_s3_bucket_notification.uploads &&
    account unpermit "$stack-advance" &&
    ! dropforge --context "$stack" doctor >"$work/said" && cat "$work/said" &&
    grep -q "^FAIL  service account dropforge-step of dropforge: it is not there" "$work/said" &&
    grep -q "^FAIL  announcements of uploads: nothing is told of its objects" "$work/said" &&
    grep -q "^FAIL  permissions of function advance: .* may not .*s3:PutObject" "$work/said" &&
    [ "$(grep -c '^FAIL' "$work/said")" -eq 3 ] &&
    terraform -chdir="$minimal" apply -auto-approve -no-color -input=false && bed_deploys
}

bed_destroys() {
  terraform -chdir="$minimal" destroy -auto-approve -no-color -input=false && account all >"$work/after" && diff "$work/before" "$work/after"
}
