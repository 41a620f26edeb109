data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

data "aws_partition" "current" {}

locals {
  region    = data.aws_region.current.id
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  functions = toset(concat(["ingest", "advance", "sweep"], var.dispatch == null ? [] : ["dispatch"]))
  names     = { for function in local.functions : function => "${var.name}-${function}" }

  # Who talks to Kubernetes: `dispatch` where there is one.
  hands = toset(var.cluster == null ? [] : var.dispatch == null ? ["advance", "sweep"] : ["dispatch"])

  # Where `dispatch` reaches the private endpoint the others stay outside; else all stand in the VPC, if there is one.
  networks = { for function in local.functions : function => var.dispatch == null ? var.vpc[*] : function == "dispatch" ? [var.dispatch] : [] }

  # Known before the function is made, so that no policy waits for one.
  alias        = "live"
  alias_prefix = "arn:${local.partition}:lambda:${local.region}:${local.account}:function"
  dispatch_arn = "${local.alias_prefix}:${var.name}-dispatch:${local.alias}"

  deployment = {
    DROPFORGE_STACK              = var.name
    DROPFORGE_CONTROL_BUCKET     = var.buckets.control
    DROPFORGE_ARTIFACT_BUCKET    = var.buckets.artifacts
    DROPFORGE_EVENTS_QUEUE_URL   = var.queues.events.url
    DROPFORGE_EVENTS_QUEUE_ARN   = var.queues.events.arn
    DROPFORGE_UPLOAD_QUEUE_URL   = var.queues.uploads.url
    DROPFORGE_UPLOAD_QUEUE_ARN   = var.queues.uploads.arn
    DROPFORGE_SCHEDULE_GROUP     = var.scheduler.group
    DROPFORGE_SCHEDULER_ROLE_ARN = var.scheduler.role_arn
    DROPFORGE_NAMESPACES         = join(",", sort(var.namespaces))
    DROPFORGE_EXECUTOR_IMAGE     = var.executor_image
  }

  cluster = var.cluster == null || contains(keys(var.environment), "DROPFORGE_KUBECONFIG") ? {} : {
    DROPFORGE_CLUSTER_NAME     = var.cluster.name
    DROPFORGE_CLUSTER_ENDPOINT = var.cluster.endpoint
    DROPFORGE_CLUSTER_CA       = var.cluster.certificate_authority
  }

  environments = {
    for function in local.functions : function => merge(
      var.environment,
      { for name, value in local.deployment : name => value if function != "dispatch" || name == "DROPFORGE_NAMESPACES" },
      contains(local.hands, function) ? local.cluster : {},
      var.pod_defaults == null || function == "dispatch" ? {} : { DROPFORGE_POD_DEFAULTS = var.pod_defaults },
      function != "ingest" ? {} : merge({ DROPFORGE_DAYS_MAX = tostring(var.days_max) }, var.workflow_defaults == null ? {} : { DROPFORGE_WORKFLOW_DEFAULTS = var.workflow_defaults }),
      var.dispatch != null && contains(["advance", "sweep"], function) ? { DROPFORGE_DISPATCH_FUNCTION = local.dispatch_arn } : {},
    )
  }

  # What reads a queue, and which.
  readers = {
    ingest  = var.queues.uploads.arn
    advance = var.queues.events.arn
  }
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_50: `tracing` turns X-Ray on
  #checkov:skip=CKV_AWS_115: `reserved_concurrency` reserves; a new account has too little for it, and the event source mappings cap concurrency anyway
  #checkov:skip=CKV_AWS_116: what the queues' readers can't handle goes to the queues' own dead-letter queues; a lost sweep is made up for a minute later
  #checkov:skip=CKV_AWS_117: only who reaches a private Kubernetes endpoint needs the VPC (`vpc`, `dispatch`); for the others it would cost endpoints or NAT
  #checkov:skip=CKV_AWS_173: `kms_key_arns.environment` asks for a key; the variables hold names and no secret
  #checkov:skip=CKV_AWS_272: `code_signing_config_arn` asks for signed packages
  for_each = local.functions

  function_name                  = local.names[each.key]
  description                    = "Dropforge ${each.key} of ${var.name}"
  role                           = local.role_arns[each.key]
  filename                       = "${var.package_folder}/${each.key}-${var.architecture}.zip"
  source_code_hash               = filebase64sha256("${var.package_folder}/${each.key}-${var.architecture}.zip")
  handler                        = "bootstrap"
  runtime                        = "provided.al2023"
  architectures                  = [var.architecture]
  memory_size                    = var.memory_megabytes[each.key]
  timeout                        = var.timeout_seconds
  reserved_concurrent_executions = coalesce(var.reserved_concurrency[each.key], -1)
  kms_key_arn                    = var.kms_key_arns.environment
  code_signing_config_arn        = var.code_signing_config_arn
  publish                        = true
  tags                           = var.tags

  environment {
    variables = local.environments[each.key]
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.this[each.key].name
  }

  tracing_config {
    mode = var.tracing
  }

  dynamic "vpc_config" {
    for_each = local.networks[each.key]

    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  lifecycle {
    precondition {
      condition     = length(jsonencode(local.environments[each.key])) <= 4096
      error_message = "The environment of ${each.key} would have ${length(jsonencode(local.environments[each.key]))} characters, and Lambda takes 4096: name fewer or shorter namespaces, shorten pod_defaults or workflow_defaults, or divide the namespaces among two stacks."
    }
  }

  depends_on = [aws_iam_role_policy.this]
}

# Everybody calls the alias: an upgrade is one move of it, and so is the way back.
resource "aws_lambda_alias" "live" {
  for_each = local.functions

  name             = local.alias
  function_name    = aws_lambda_function.this[each.key].function_name
  function_version = lookup(var.pinned_versions, each.key, aws_lambda_function.this[each.key].version)
}

resource "aws_lambda_event_source_mapping" "this" {
  for_each = local.readers

  function_name                      = aws_lambda_alias.live[each.key].arn
  event_source_arn                   = each.value
  batch_size                         = var.batches[each.key].size
  maximum_batching_window_in_seconds = var.batches[each.key].window_seconds
  function_response_types            = ["ReportBatchItemFailures"]
  tags                               = var.tags

  scaling_config {
    maximum_concurrency = var.batches[each.key].concurrency_max
  }
}

# A run rings itself on: for a retry's delay, for what a batch left over. Lambda would take that for a runaway loop and
# stop it at the seventeenth hop. The functions count hops themselves and begin again at what came from outside.
resource "aws_lambda_function_recursion_config" "allow" {
  for_each = toset(["advance", "sweep"])

  function_name  = aws_lambda_function.this[each.key].function_name
  recursive_loop = "Allow"
}

# A sweep that failed is not repeated: the next one comes within a minute.
resource "aws_lambda_function_event_invoke_config" "sweep" {
  function_name                = aws_lambda_function.this["sweep"].function_name
  qualifier                    = aws_lambda_alias.live["sweep"].name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 60
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158: `kms_key_arns.logs` asks for a key; without one CloudWatch Logs encrypts with its own
  #checkov:skip=CKV_AWS_338: `log_retention_days` says how long; a run's history and logs are objects that stay for 400 days
  for_each = local.functions

  name              = "/aws/lambda/${local.names[each.key]}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arns.logs
  tags              = var.tags
}
