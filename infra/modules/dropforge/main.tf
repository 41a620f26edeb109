# The name is the stack's claim: the schedule group is made first, since AWS refuses a second one of its name, where it would
# give a second stack the first one's queues. Everything else has its name from the group.
locals {
  name = module.scheduler.group
}

module "storage" {
  source = "../storage"

  name                = local.name
  existing_buckets    = var.existing_buckets
  bucket_names        = var.bucket_names
  force_destroy       = var.force_destroy
  kms_key_arn         = var.kms_key_arns.storage
  retention_days      = var.retention_days
  days_max            = var.days_max
  upload_notification = var.upload_notification
  upload_queue_arn    = module.queues.arns.uploads
  upload_filters      = var.upload_filters
  control_versioning  = var.control_versioning
  access_log_bucket   = var.access_log_bucket
  tags                = var.tags
}

module "queues" {
  source = "../queues"

  name                     = local.name
  upload_bucket            = module.storage.names.uploads
  upload_notification      = var.upload_notification
  upload_filters           = var.upload_filters
  function_timeout_seconds = var.timeout_seconds
  retention_days           = var.message_retention_days
  max_receive_count        = var.max_receive_count
  kms_key_arn              = var.kms_key_arns.queues
  tags                     = var.tags
}

module "registry" {
  source = "../registry"
  count  = var.executor_image == null ? 1 : 0

  name        = local.name
  kms_key_arn = var.kms_key_arns.images
  tags        = var.tags
}

locals {
  # AWS gives the role to this account; Pod Identity brings a token of its own.
  account_spec = { serviceAccountName = values(var.namespaces)[0].service_accounts[0], automountServiceAccountToken = false }
  # Karpenter and Auto Mode move pods to save money, and a step that is moved begins again.
  annotations    = { "karpenter.sh/do-not-disrupt" = "true" }
  given_defaults = jsondecode(var.pod_defaults)
  pod_defaults = merge(local.given_defaults, {
    annotations = merge(local.annotations, try(local.given_defaults.annotations, {}))
    spec        = merge(local.account_spec, try(local.given_defaults.spec, {}))
  })

  data_keys      = compact(concat([var.kms_key_arns.storage, var.kms_key_arns.queues], var.kms_key_arns.others))
  executor_image = var.executor_image != null ? var.executor_image : "${module.registry[0].repository_url}:${var.executor_version}"
}

module "functions" {
  source = "../functions"

  name                       = local.name
  package_folder             = var.package_folder
  architecture               = var.architecture
  buckets                    = module.storage.buckets
  queues                     = { for queue in ["uploads", "events"] : queue => { url = module.queues.urls[queue], arn = module.queues.arns[queue] } }
  scheduler                  = { group = module.scheduler.group, group_arn = module.scheduler.group_arn, role_arn = module.scheduler.role_arn }
  cluster                    = { for field in ["name", "endpoint", "certificate_authority"] : field => local.cluster[field] }
  namespaces                 = toset(keys(var.namespaces))
  executor_image             = local.executor_image
  pod_defaults               = jsonencode(local.pod_defaults)
  workflow_defaults          = var.workflow_defaults
  days_max                   = var.days_max
  dispatch                   = var.dispatch
  vpc                        = var.vpc
  memory_megabytes           = var.memory_megabytes
  timeout_seconds            = var.timeout_seconds
  batches                    = var.batches
  reserved_concurrency       = var.reserved_concurrency
  pinned_versions            = var.pinned_versions
  entrypoint_repository_arns = var.entrypoint_repository_arns
  environment                = var.environment
  artifact_bucket_shared     = var.existing_buckets.artifacts != null
  model_prefixes             = toset(flatten([for of in values(var.namespaces) : of.model_prefixes]))
  upload_prefixes            = toset(concat([for filter in var.upload_filters : filter.prefix], flatten([for of in values(var.namespaces) : of.upload_prefixes])))
  kms_key_arns               = { storage = var.kms_key_arns.storage, queues = var.kms_key_arns.queues, logs = var.kms_key_arns.logs, environment = var.kms_key_arns.environment, others = var.kms_key_arns.others }
  role_arns                  = var.function_role_arns
  iam_path                   = var.iam_path
  permissions_boundary_arn   = var.permissions_boundary_arn
  code_signing_config_arn    = var.code_signing_config_arn
  tracing                    = var.tracing
  alarm_topic_arns           = [module.observability.topic_arn]
  log_retention_days         = var.log_retention_days
  tags                       = var.tags
}

module "scheduler" {
  source = "../scheduler"

  name                     = var.name
  queue_arns               = [module.queues.arns.uploads, module.queues.arns.events]
  sweep_function_arn       = module.functions.functions.sweep.alias_arn
  sweep_minutes            = var.sweep_minutes
  crons                    = var.crons
  upload_queue_arn         = module.queues.arns.uploads
  kms_key_arns             = { schedules = var.kms_key_arns.schedules, queues = var.kms_key_arns.queues }
  role_arn                 = var.scheduler_role_arn
  iam_path                 = var.iam_path
  permissions_boundary_arn = var.permissions_boundary_arn
  tags                     = var.tags
}

module "eks_access" {
  source = "../eks-access"

  cluster_name        = local.cluster.name
  authentication_mode = var.access_entries ? local.cluster.authentication_mode : null
  role_arns           = var.access_entries ? module.functions.cluster_role_arns : {}
  # Each stack has its own: with one for all, the functions of one could do in the namespaces of another what it may itself.
  kubernetes_group = "${local.name}:dispatcher"
  tags             = var.tags
}

module "pod_identity" {
  source = "../pod-identity"

  name                     = local.name
  cluster                  = { name = local.cluster.name, arn = local.cluster.arn }
  oidc_provider            = var.oidc_provider
  install_agent            = var.install_pod_identity_agent
  namespaces               = var.namespaces
  associations             = var.pod_identity_associations
  buckets                  = module.storage.names
  events_queue_arn         = module.queues.arns.events
  kms_key_arns             = local.data_keys
  iam_path                 = var.iam_path
  permissions_boundary_arn = var.permissions_boundary_arn
  tags                     = var.tags
}

module "people" {
  source = "../people"

  name                   = local.name
  policies_made          = var.people_policies
  namespaces             = toset(keys(var.namespaces))
  model_prefixes         = { for namespace, of in var.namespaces : namespace => of.model_prefixes }
  upload_prefixes        = { for namespace, of in var.namespaces : namespace => of.upload_prefixes }
  artifact_bucket_shared = var.existing_buckets.artifacts != null
  buckets                = module.storage.names
  queue_arns             = { events = module.queues.arns.events, uploads = module.queues.arns.uploads, dead_letters = values(module.queues.dead_letter_arns) }
  functions              = toset(values(module.functions.names))
  cluster_arn            = local.cluster.arn
  repository_arn         = one(module.registry[*].repository_arn)
  role_arns              = concat(values(var.function_role_arns), compact([var.scheduler_role_arn]), compact([for of in values(var.namespaces) : of.role_arn]))
  kms_key_arns           = local.data_keys
  iam_path               = var.iam_path
  tags                   = var.tags
}

module "observability" {
  source = "../observability"

  name                   = local.name
  queue_names            = module.queues.names
  dead_letter_names      = module.queues.dead_letter_names
  function_names         = module.functions.names
  topic_arn              = var.alarm_topic_arn
  kms_key_arn            = var.kms_key_arns.alarms
  emails                 = var.alarm_emails
  sweep_minutes          = var.sweep_minutes
  max_receive_count      = module.queues.settings.max_receive_count
  oldest_message_minutes = var.oldest_message_minutes
  tags                   = var.tags
}
