# Dropforge where others own the account's network, buckets, keys and roles. Nothing of theirs is written: what they must
# add (bucket policies, key policies, what the roles need) is an output. Uploads are told by EventBridge, which the owner
# of the upload bucket turns on, or by a notification to our queue, which the owner wires.
provider "aws" {
  region = var.region

  default_tags {
    tags = var.tags
  }
}

module "dropforge" {
  source = "../../modules/dropforge"

  name           = var.name
  package_folder = var.package_folder
  architecture   = var.architecture

  # Described by its owner: this configuration needs no right to look at it.
  cluster = var.cluster

  # Its endpoint is private: pods are created from inside the VPC, whose endpoints lead to SQS, Scheduler and S3.
  vpc = {
    subnet_ids         = var.subnet_ids
    security_group_ids = var.security_group_ids
  }

  existing_buckets    = var.buckets
  upload_notification = var.upload_notification
  upload_filters      = var.upload_filters
  executor_image      = var.executor_image

  namespaces = {
    for namespace, of in var.namespaces : namespace => {
      role_arn        = of.role_arn
      model_prefixes  = of.model_prefixes
      upload_prefixes = of.upload_prefixes
      pod_security    = "restricted"
    }
  }

  # What the level `restricted` asks of each pod, beneath what a manifest says.
  pod_defaults = jsonencode({
    spec      = { securityContext = { runAsNonRoot = true, runAsUser = 1000, seccompProfile = { type = "RuntimeDefault" } } }
    container = { securityContext = { allowPrivilegeEscalation = false, capabilities = { drop = ["ALL"] } } }
    executor  = { securityContext = { allowPrivilegeEscalation = false, capabilities = { drop = ["ALL"] } } }
  })

  function_role_arns       = var.function_role_arns
  scheduler_role_arn       = var.scheduler_role_arn
  iam_path                 = var.iam_path
  permissions_boundary_arn = var.permissions_boundary_arn
  code_signing_config_arn  = var.code_signing_config_arn
  kms_key_arns = {
    storage     = var.kms_key_arn
    queues      = var.kms_key_arn
    logs        = var.kms_key_arn
    environment = var.kms_key_arn
    schedules   = var.kms_key_arn
  }

  access_entries            = var.access_entries
  pod_identity_associations = var.pod_identity_associations
  people_policies           = var.people_policies

  reserved_concurrency = { ingest = 10, advance = 50, sweep = 2 }
  tracing              = "Active"
  log_retention_days   = 365
  alarm_topic_arn      = var.alarm_topic_arn
}
