# Dropforge on a cluster that is there already.
provider "aws" {
  region = var.region
}

module "dropforge" {
  source = "../../modules/dropforge"

  name             = var.name
  cluster_name     = var.cluster_name
  namespaces       = var.namespaces
  package_folder   = var.package_folder
  executor_version = var.executor_version
  architecture     = var.architecture
  force_destroy    = var.force_destroy
  tags             = var.tags
}
