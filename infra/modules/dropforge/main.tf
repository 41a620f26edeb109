module "storage" {
  source = "../storage"

  name                = var.name
  existing_buckets    = var.existing_buckets
  bucket_names        = var.bucket_names
  force_destroy       = var.force_destroy
  kms_key_arn         = var.kms_key_arns.storage
  retention_days      = var.retention_days
  upload_notification = var.upload_notification
  upload_queue_arn    = module.queues.arns.uploads
  upload_filters      = var.upload_filters
  access_log_bucket   = var.access_log_bucket
  tags                = var.tags
}

module "queues" {
  source = "../queues"

  name                = var.name
  upload_bucket       = module.storage.names.uploads
  upload_notification = var.upload_notification
  kms_key_arn         = var.kms_key_arns.queues
  tags                = var.tags
}

module "registry" {
  source = "../registry"
  count  = var.executor_image == null ? 1 : 0

  name        = var.name
  kms_key_arn = var.kms_key_arns.images
  tags        = var.tags
}

locals {
  executor_image = var.executor_image != null ? var.executor_image : "${module.registry[0].repository_url}:${var.executor_version}"
}

module "functions" {
  source = "../functions"

  name                       = var.name
  package_folder             = var.package_folder
  architecture               = var.architecture
  buckets                    = module.storage.buckets
  queues                     = { for queue in ["uploads", "events"] : queue => { url = module.queues.urls[queue], arn = module.queues.arns[queue] } }
  scheduler                  = { group = module.scheduler.group, group_arn = module.scheduler.group_arn, role_arn = module.scheduler.role_arn }
  cluster                    = { for field in ["name", "endpoint", "certificate_authority"] : field => local.cluster[field] }
  namespaces                 = toset(keys(var.namespaces))
  executor_image             = local.executor_image
  pod_defaults               = var.pod_defaults
  dispatch                   = var.dispatch
  memory_megabytes           = var.memory_megabytes
  batches                    = var.batches
  reserved_concurrency       = var.reserved_concurrency
  pinned_versions            = var.pinned_versions
  entrypoint_repository_arns = var.entrypoint_repository_arns
  environment                = var.environment
  kms_key_arns               = { for use in ["storage", "queues", "logs", "environment"] : use => var.kms_key_arns[use] }
  role_arns                  = var.function_role_arns
  iam_path                   = var.iam_path
  permissions_boundary_arn   = var.permissions_boundary_arn
  code_signing_config_arn    = var.code_signing_config_arn
  tracing                    = var.tracing
  log_retention_days         = var.log_retention_days
  tags                       = var.tags
}

module "scheduler" {
  source = "../scheduler"

  name                     = var.name
  queue_arns               = [module.queues.arns.uploads, module.queues.arns.events]
  sweep_function_arn       = module.functions.functions.sweep.alias_arn
  kms_key_arns             = { schedules = var.kms_key_arns.schedules, queues = var.kms_key_arns.queues }
  role_arn                 = var.scheduler_role_arn
  iam_path                 = var.iam_path
  permissions_boundary_arn = var.permissions_boundary_arn
  tags                     = var.tags
}

module "eks_access" {
  source = "../eks-access"

  cluster_name        = local.cluster.name
  authentication_mode = local.cluster.authentication_mode
  role_arns           = module.functions.cluster_role_arns
  tags                = var.tags
}

module "pod_identity" {
  source = "../pod-identity"

  name                     = var.name
  cluster                  = { name = local.cluster.name, arn = local.cluster.arn }
  oidc_provider            = var.oidc_provider
  install_agent            = var.install_pod_identity_agent
  namespaces               = var.namespaces
  buckets                  = module.storage.names
  events_queue_arn         = module.queues.arns.events
  kms_key_arns             = compact([var.kms_key_arns.storage, var.kms_key_arns.queues])
  iam_path                 = var.iam_path
  permissions_boundary_arn = var.permissions_boundary_arn
  tags                     = var.tags
}
