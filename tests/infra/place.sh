# A copy of infra/ to work in, since Terraform leaves its folders beside a configuration, and whether Terraform can be used.
# Sourced by the others.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/tests/infra
work=$(mktemp -d)
trap 'leave; rm -rf "$work"' EXIT
leave() { :; } # what a step started and ends with the script
cp -r "$root/infra" "$work/infra"
mkdir "$work/samplepipelines"
cp -r "$root/samplepipelines/ml-pipeline" "$work/samplepipelines/"
# What earlier runs by hand left there is not ours.
find "$work/infra" \( -name .terraform -o -name '.terraform.lock.hcl' -o -name '*.tfstate*' -o -name '*.tfvars' -o -name backend.tf \) -prune -exec rm -rf {} +
export TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1
[ -z "${DROPFORGE_TERRAFORM_PLUGIN_DIR:-}" ] || export TF_CLI_ARGS_init="-plugin-dir=$DROPFORGE_TERRAFORM_PLUGIN_DIR"

terraform_lacks() { # why Terraform can't be used; nothing where it can
  command -v terraform >/dev/null || { echo "terraform is not installed"; return; }
  mkdir -p "$work/probe"
  cp "$root/infra/modules/storage/versions.tf" "$work/probe/"
  timeout 120 terraform -chdir="$work/probe" init -input=false -no-color >"$work/probe/out" 2>&1 ||
    echo "no aws provider: $(grep -m1 -oE '(Could not|Failed to|Unsupported) [^.]*' "$work/probe/out" || echo 'terraform init failed')"
}

python_with() { # NAME PACKAGE…: prints the Python of an environment that has them, which is kept for the next time
  local folder=${XDG_CACHE_HOME:-$HOME/.cache}/dropforge/infra/$1
  shift
  if [ ! -e "$folder/done" ]; then
    rm -rf "$folder"
    { python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" && touch "$folder/done"; } >&2 || return
  fi
  echo "$folder/bin/python"
}
