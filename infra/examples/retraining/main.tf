# Dropforge with a pipeline from the first minute: each file that is dropped below ml-pipeline/ is trained on, and once a
# working day `ml-pipeline/current.csv` is trained on again. The pipeline is the sample of samplepipelines/ml-pipeline.
provider "aws" {
  region = var.region
}

locals {
  namespace = "retraining"
  sample    = "${path.module}/../../../samplepipelines/ml-pipeline"
  uploads   = module.dropforge.dropforge.upload_bucket

  # The samples name the laptop's bucket, and an image whose libraries `dropforge apply` packs.
  template = replace(replace(file("${local.sample}/pipeline.yaml"), "value: uploads", "value: ${local.uploads}"), "image: python:3.9", "image: ${var.image}")
  trigger  = replace(file("${local.sample}/trigger.yaml"), "bucket: uploads", "bucket: ${local.uploads}")
  cron     = templatefile("${path.module}/cron.yaml", { bucket = local.uploads, timezone = var.timezone })
}

module "dropforge" {
  source = "../../modules/dropforge"

  name             = var.name
  cluster_name     = var.cluster_name
  package_folder   = var.package_folder
  executor_version = var.executor_version
  architecture     = var.architecture
  force_destroy    = var.force_destroy
  namespaces       = { (local.namespace) = { upload_prefixes = ["ml-pipeline/"] } }

  # What is written elsewhere in the bucket rings nobody.
  upload_filters = [{ prefix = "ml-pipeline/", suffix = ".csv" }]

  # The same times as in cron.yaml, as EventBridge Scheduler writes them.
  crons = {
    ml-pipeline = { namespace = local.namespace, name = "ml-pipeline", expression = "cron(0 6 ? * 2-6 *)", timezone = var.timezone }
  }
}

# A person's `dropforge apply` may replace these later: Terraform makes them and does not set them back.
resource "aws_s3_object" "definition" {
  #checkov:skip=CKV_AWS_186: the bucket encrypts what lies in it, by its own key where it has one
  for_each = {
    "workflowtemplate/ml-pipeline" = local.template
    "trigger/ml-pipeline"          = local.trigger
    "cronworkflow/ml-pipeline"     = local.cron
  }

  bucket       = module.dropforge.dropforge.control_bucket
  key          = "definitions/${local.namespace}/${each.key}.yaml"
  content      = each.value
  content_type = "application/yaml"

  lifecycle {
    ignore_changes = [content, content_type]
  }
}
