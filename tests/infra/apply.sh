# The step `apply`: the minimal example against the emulator, from nothing to nothing. Sourced by run.
stack=infra-test
minimal=$work/infra/examples/minimal

step_apply() {
  local python why
  . "$root/tests/cloud/versions"
  if ! python=$(python_with "emulator-$MINISTACK" "ministack==$MINISTACK" 2>"$work/out"); then
    why=$(grep . "$work/out" | tail -1)
    skip apply "the emulator can't be installed: ${why:-no python3}"
    return
  fi
  emulator_starts "$python" || { verdict "the emulator starts" 1; return; }
  packages "$work/packages"
  prepare "$minimal"
  applied || return
  try "an upload reaches its function" account reached "$stack"
  try "other packages move the aliases to a version of theirs, and a pinned version moves one back" upgrades
  if try "the command is built" command_built; then
    try "deploy reads what Terraform made in its folder" deploy_reads
    try "deploy tells of a folder in which nothing was made" says "there are no outputs" dropforge deploy "$work/infra/modules/storage" --print
  fi
  try "buckets whose state is given up are not destroyed" spares_what_is_given_up
  try "a run is not destroyed unasked, and applying again puts back what was taken" refuses_to_destroy
  try "destroy leaves nothing behind" destroys_all
}

emulator_starts() { # it listens at a port of its own, and knows one cluster
  local port
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  export AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
  mkdir -p "$work/emulator"
  TMPDIR=$work/emulator BIND_HOST=127.0.0.1 GATEWAY_PORT=$port LOG_LEVEL=WARNING "$(dirname "$1")/ministack" >"$work/emulator.log" 2>&1 &
  emulator=$!
  leave() { kill "$emulator" 2>/dev/null; wait "$emulator" 2>/dev/null; }
  account() { "$python" "$here/account.py" "$@"; }
  account wait >"$work/out" 2>&1 && account cluster research >"$work/out" 2>&1 && account all >"$work/before"
}

packages() { # FOLDER [EXIT CODE]: real functions are not needed here, these take their place
  mkdir -p "$1"
  python3 - "$1" "${2:-1}" <<'PYTHON'
import sys, zipfile
for function in ("ingest", "advance", "sweep"):
    with zipfile.ZipFile(f"{sys.argv[1]}/{function}-x86_64.zip", "w") as package:
        bootstrap = zipfile.ZipInfo("bootstrap")
        bootstrap.external_attr = 0o755 << 16
        package.writestr(bootstrap, f"#!/bin/sh\nexit {sys.argv[2]}\n")
PYTHON
}

prepare() { # the emulator knows buckets by path
  printf 'provider "aws" {\n  s3_use_path_style           = true\n  skip_credentials_validation = true\n}\n' >"$1/emulator_override.tf"
  export TF_VAR_region=us-east-1 TF_VAR_name=$stack TF_VAR_cluster_name=research TF_VAR_package_folder=$work/packages TF_VAR_architecture=x86_64
  terraform -chdir="$1" init -input=false -no-color >"$work/out" 2>&1 || verdict "terraform init" 1
}

applied() {
  try "a cluster that is not there is told with those that are" says "There is no EKS cluster reserch in us-east-1" \
    terraform -chdir="$minimal" plan -no-color -input=false -var cluster_name=reserch
  try "a region that is none is refused" says "Invalid region value|invalid AWS Region|Invalid AWS Region" \
    terraform -chdir="$minimal" plan -no-color -input=false -var region=moon-1
  try "a provider that is too old is refused" says "no available releases match the given constraints 5\.99\.0, >= 5\.100" too_old
  try "a bucket's name that is taken is refused, and the README names the remedy" taken_is_refused
  try "terraform apply" terraform -chdir="$minimal" apply -auto-approve -no-color -input=false
  [ -e "$minimal/terraform.tfstate" ] || return
  try "a second stack of the name is refused before it touches the first" second_is_refused
}

upgrades() { # the queues call whatever the alias points at
  account live "$stack" ingest=1 advance=1 sweep=1 || return
  packages "$work/packages" 2
  terraform -chdir="$minimal" apply -auto-approve -no-color -input=false && account live "$stack" ingest=2 advance=2 sweep=2 || return
  printf 'module "dropforge" {\n  pinned_versions = { advance = "1" }\n}\n' >"$minimal/pinned_override.tf"
  terraform -chdir="$minimal" apply -auto-approve -no-color -input=false && account live "$stack" ingest=2 advance=1 sweep=2 || return
  rm "$minimal/pinned_override.tf" # the next apply moves it on
}

deploy_reads() { # it asks Terraform itself; no cluster is asked
  dropforge deploy "$minimal" --print --has auto-mode >"$work/printed" || return
  local kinds
  kinds=$(sed -n 's/^kind: "\{0,1\}\([A-Za-z]*\).*/\1/p' "$work/printed" | tr '\n' ' ')
  [ "$kinds" = "Namespace ServiceAccount Role RoleBinding NetworkPolicy StorageClass NodePool " ] &&
    grep -q "\"$stack:dispatcher\"" "$work/printed" || { cat "$work/printed"; return 1; }
}

says() { # PATTERN COMMAND…: it fails, and says why
  local pattern=$1
  shift
  ! "$@" >"$work/said" 2>&1 && tr '\n' ' ' <"$work/said" | sed 's/│//g; s/  */ /g' | tee "$work/out" | grep -qE "$pattern"
}

too_old() {
  mkdir -p "$work/old"
  printf 'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws", version = "5.99.0" }\n  }\n}\nmodule "queues" {\n  source        = "../infra/modules/queues"\n  name          = "demo"\n  upload_bucket = "uploads"\n}\n' >"$work/old/main.tf"
  terraform -chdir="$work/old" init -input=false -no-color
}

taken_is_refused() { # in a stack of its own, of which nothing but buckets is made
  local other=$work/infra/examples/taken status=0
  cp -r "$minimal" "$other"
  printf 'module "dropforge" {\n  bucket_names = { uploads = "taken" }\n}\n' >"$other/taken_override.tf"
  account bucket taken
  taken() { TF_VAR_name=infra-taken terraform -chdir="$other" "$@" -auto-approve -no-color -input=false; }
  { says "BucketAlready(Exists|OwnedByYou)" taken apply -target=module.dropforge.module.storage.aws_s3_bucket.this &&
    grep -q "BucketAlreadyExists.*bucket_names" "$root/infra/README.md"; } || status=1
  account exists taken || status=1
  taken destroy && account unbucket taken || status=1
  return $status
}

second_is_refused() { # it makes nothing, so that destroying it would not destroy the first one's queues
  cp -r "$minimal" "$work/infra/examples/second"
  rm -f "$work/infra/examples/second"/terraform.tfstate*
  says "ConflictException|already exists" terraform -chdir="$work/infra/examples/second" apply -auto-approve -no-color -input=false &&
    ! terraform -chdir="$work/infra/examples/second" state list | grep -E 'aws_sqs_queue|aws_s3_bucket|aws_lambda_function'
}

spares_what_is_given_up() { # of a copy of the state, so that the rest of the tests goes on
  local copy=$work/infra/examples/spared
  cp -r "$minimal" "$copy"
  terraform -chdir="$copy" state rm module.dropforge.module.storage &&
    terraform -chdir="$copy" plan -destroy -no-color -input=false -out=plan &&
    terraform -chdir="$copy" show -json plan | python3 -c '
import json, sys
gone = [change["address"] for change in json.load(sys.stdin)["resource_changes"] if "delete" in change["change"]["actions"]]
assert any("aws_sqs_queue" in address for address in gone) and not any("aws_s3" in address for address in gone), gone'
}

refuses_to_destroy() {
  local control=$stack-000000000000-us-east-1-control
  account put "$control" runs/ab/u1/spec.json &&
    says "BucketNotEmpty" terraform -chdir="$minimal" destroy -auto-approve -no-color -input=false &&
    account has "$control" runs/ab/u1/spec.json &&
    terraform -chdir="$minimal" apply -auto-approve -no-color -input=false &&
    account guarded "$control"
}

destroys_all() { # where somebody asks for it
  terraform -chdir="$minimal" apply -auto-approve -no-color -input=false -var force_destroy=true -target='module.dropforge.module.storage.aws_s3_bucket.this' &&
    terraform -chdir="$minimal" destroy -auto-approve -no-color -input=false -var force_destroy=true &&
    account all >"$work/after" && diff "$work/before" "$work/after"
}
