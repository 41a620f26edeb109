variable "name" {
  description = "Name of the stack; the functions' names begin with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", var.name))
    error_message = "name has 2 to 20 lower-case letters, digits and hyphens, begins with a letter and ends with a letter or digit."
  }
}

variable "package_folder" {
  description = "Folder that holds a zip file for each function, FUNCTION-ARCHITECTURE.zip, with its `bootstrap`."
  type        = string

  validation {
    condition = alltrue([
      for function in concat(["ingest", "advance", "sweep"], var.dispatch == null ? [] : ["dispatch"]) :
      fileexists("${var.package_folder}/${function}-${var.architecture}.zip")
    ])
    error_message = "package_folder ${var.package_folder} lacks a package: it holds ingest, advance, sweep (and dispatch, where one is used), each as FUNCTION-${var.architecture}.zip. functions/README.md says how they are made."
  }
}

variable "architecture" {
  description = "Processor of the functions, as Lambda says: arm64 (cheaper) or x86_64."
  type        = string
  default     = "arm64"
  nullable    = false

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture is arm64 or x86_64."
  }
}

variable "buckets" {
  description = "Names of the buckets."
  type = object({
    control   = string
    artifacts = string
    uploads   = string
  })

  validation {
    condition     = alltrue([for each in values(var.buckets) : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", each))])
    error_message = "buckets holds bucket names, not ARNs or URLs."
  }
}

variable "queues" {
  description = "URL and ARN of the queues."
  type = object({
    uploads = object({ url = string, arn = string })
    events  = object({ url = string, arn = string })
  })

  validation {
    condition     = alltrue([for queue in values(var.queues) : startswith(queue.url, "http") && can(regex("^arn:[a-z-]+:sqs:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", queue.arn))])
    error_message = "queues holds URL and ARN of standard queues."
  }
}

variable "scheduler" {
  description = "Group that schedules are made in, and the role they send with."
  type = object({
    group     = string
    group_arn = string
    role_arn  = string
  })

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{1,64}$", var.scheduler.group)) && can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", var.scheduler.role_arn))
    error_message = "scheduler holds a group's name and a role's ARN."
  }
}

variable "cluster" {
  description = "Cluster that runs the steps; its certificate authority as EKS gives it, PEM in base64. Functions that create no pod where null."
  type = object({
    name                  = string
    endpoint              = string
    certificate_authority = string
  })
  default = null

  validation {
    condition     = var.cluster == null || can(regex("^https://", var.cluster.endpoint))
    error_message = "cluster.endpoint begins with https://, as `aws eks describe-cluster --name NAME` shows it."
  }

  validation {
    condition     = var.cluster == null || can(base64decode(var.cluster.certificate_authority))
    error_message = "cluster.certificate_authority is PEM in base64, as `aws eks describe-cluster --name NAME` shows it."
  }
}

variable "namespaces" {
  description = "Kubernetes namespaces of steps."
  type        = set(string)

  validation {
    condition     = length(var.namespaces) > 0 && alltrue([for namespace in var.namespaces : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", namespace))])
    error_message = "namespaces holds at least one Kubernetes namespace: lower-case letters, digits and hyphens, at most 63."
  }
}

variable "artifact_bucket_shared" {
  description = "Whether the artifact bucket holds more than this stack's artifacts; then the functions reach the folders of `namespaces` alone."
  type        = bool
  default     = true
  nullable    = false
}

variable "model_prefixes" {
  description = "Where steps put models beside the artifact bucket (BUCKET/PREFIX), so that `artifactGC` can remove them there."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for prefix in var.model_prefixes : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^*?]*$", prefix))])
    error_message = "model_prefixes holds BUCKET/PREFIX without wildcards."
  }
}

variable "upload_prefixes" {
  description = "Which uploads ingest may read, by the beginnings of their keys: those that it may be told of, and those that steps read. The empty one is all of them."
  type        = set(string)
  default     = [""]
  nullable    = false

  validation {
    condition     = length(var.upload_prefixes) > 0 && alltrue([for prefix in var.upload_prefixes : can(regex("^[^*?]*$", prefix))])
    error_message = "upload_prefixes holds at least one beginning of keys in the upload bucket, without wildcards."
  }
}

variable "executor_image" {
  description = "Image that puts the executor into pods."
  type        = string

  validation {
    condition     = can(regex("^[^ ]+(:|@sha256:)[^ ]+$", var.executor_image))
    error_message = "executor_image names a tag or a digest: without one the newest is taken, which no upgrade decides."
  }
}

variable "pod_defaults" {
  description = "What every pod gets beside its manifest, as JSON: labels, securityContext, imagePullSecrets, a registry rewrite. functions/README.md names the fields."
  type        = string
  default     = null

  validation {
    condition     = var.pod_defaults == null || can(keys(jsondecode(var.pod_defaults)))
    error_message = "pod_defaults is a JSON object."
  }
}

variable "workflow_defaults" {
  description = "Argo's workflowDefaults (`metadata`, `spec`) as JSON, beneath every run that a Trigger or a CronWorkflow starts."
  type        = string
  default     = null

  validation {
    condition     = var.workflow_defaults == null || length(setsubtract(try(keys(jsondecode(var.workflow_defaults)), ["none"]), ["metadata", "spec"])) == 0
    error_message = "workflow_defaults is a JSON object with `metadata` and `spec`, as Argo's workflowDefaults: jsonencode({ spec = { activeDeadlineSeconds = 86400 } })."
  }

  validation {
    condition     = length(coalesce(var.workflow_defaults, " ")) <= 2048
    error_message = "workflow_defaults has at most 2048 characters: Lambda gives a function 4 KB for all of its environment."
  }
}

variable "days_max" {
  description = "How many days a run may last, its retries included; then it ends in Error."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = var.days_max >= 1 && var.days_max <= 3650 && floor(var.days_max) == var.days_max
    error_message = "days_max is a whole number of days, 1 to 3650."
  }
}

variable "dispatch" {
  description = "Subnets and security groups of the function `dispatch`, which creates pods from inside the VPC: for clusters without a public endpoint. `advance` and `sweep` create pods themselves where null."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null

  validation {
    condition     = var.dispatch == null || (try(length(var.dispatch.subnet_ids), 0) > 0 && try(length(var.dispatch.security_group_ids), 0) > 0)
    error_message = "dispatch names at least one subnet and one security group."
  }
}

variable "vpc" {
  description = "Subnets and security groups of the functions: for a private endpoint of the cluster, and where no function may stand outside of a VPC. They need a way to SQS, Scheduler and S3 from there: NAT, or the module network-endpoints. Outside of any VPC where null."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null

  validation {
    condition     = var.vpc == null || var.dispatch == null
    error_message = "Give vpc, in which advance and sweep create pods themselves, or dispatch, which does it for them, not both."
  }

  validation {
    condition     = var.vpc == null || (try(length(var.vpc.subnet_ids), 0) > 0 && try(length(var.vpc.security_group_ids), 0) > 0)
    error_message = "vpc names at least one subnet and one security group."
  }
}

variable "memory_megabytes" {
  description = "Memory of each function; processor time grows with it."
  type = object({
    ingest   = optional(number, 256)
    advance  = optional(number, 512)
    sweep    = optional(number, 256)
    dispatch = optional(number, 256)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for megabytes in values(var.memory_megabytes) : megabytes >= 128 && megabytes <= 10240])
    error_message = "memory_megabytes is between 128 and 10240 for each function."
  }
}

variable "timeout_seconds" {
  description = "How long a function may take for a batch. The queues module gets the same number."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.timeout_seconds >= 10 && var.timeout_seconds <= 900
    error_message = "timeout_seconds is between 10 and 900."
  }
}

variable "batches" {
  description = "How messages reach a function: how many at once, how long Lambda waits for more, how many batches at a time."
  type = object({
    ingest  = optional(object({ size = optional(number, 10), window_seconds = optional(number, 0), concurrency_max = optional(number, 10) }), {})
    advance = optional(object({ size = optional(number, 10), window_seconds = optional(number, 0), concurrency_max = optional(number, 50) }), {})
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for batch in values(var.batches) : batch.size >= 1 && batch.size <= 10000 && batch.window_seconds >= 0 && batch.window_seconds <= 300])
    error_message = "A batch has 1 to 10000 messages and waits for at most 300 seconds."
  }

  validation {
    condition     = alltrue([for batch in values(var.batches) : batch.size <= 10 || batch.window_seconds >= 1])
    error_message = "A batch of more than 10 messages needs window_seconds of at least 1; Lambda refuses it otherwise."
  }

  validation {
    condition     = alltrue([for batch in values(var.batches) : batch.concurrency_max >= 2 && batch.concurrency_max <= 1000])
    error_message = "concurrency_max is between 2 and 1000."
  }
}

variable "reserved_concurrency" {
  description = "Concurrency of the account that is kept for a function, and its most; none is where null. An account must keep 100 for the rest, so a new account, which has 10, can reserve none."
  type = object({
    ingest   = optional(number)
    advance  = optional(number)
    sweep    = optional(number)
    dispatch = optional(number)
  })
  default  = {}
  nullable = false

  validation {
    condition = alltrue([
      for function, batch in var.batches :
      var.reserved_concurrency[function] == null ? true : var.reserved_concurrency[function] >= batch.concurrency_max
    ])
    error_message = "reserved_concurrency is at least the function's concurrency_max in `batches`: otherwise Lambda throttles batches, whose messages then become dead letters."
  }
}

variable "pinned_versions" {
  description = "Versions that the functions' aliases point at instead of the newest, by function: the way back after an upgrade."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for function, version in var.pinned_versions : contains(["ingest", "advance", "sweep", "dispatch"], function) && can(regex("^[1-9][0-9]*$", version))])
    error_message = "pinned_versions maps ingest, advance, sweep or dispatch to a published version, a number."
  }
}

variable "entrypoint_repository_arns" {
  description = "ECR repositories of step images whose entrypoint may be looked up, for steps that name no command."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.entrypoint_repository_arns : can(regex("^arn:[a-z-]+:ecr:[a-z0-9-]+:[0-9]{12}:repository/.+$", arn))])
    error_message = "entrypoint_repository_arns holds ARNs of ECR repositories; `*` may stand at their end."
  }
}

variable "environment" {
  description = "More environment variables for every function. DROPFORGE_KUBECONFIG, a file in the package, stands for `cluster` where that is not on EKS."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for variable in keys(var.environment) : !startswith(variable, "DROPFORGE_") || variable == "DROPFORGE_KUBECONFIG"])
    error_message = "environment sets no DROPFORGE_ variable but DROPFORGE_KUBECONFIG: the module's own variables set them."
  }
}

variable "kms_key_arns" {
  description = "Keys: of the buckets, of the queues, of the functions' logs, of their environment variables; others that buckets of one's own are encrypted with. AWS's own where null."
  type = object({
    storage     = optional(string)
    queues      = optional(string)
    logs        = optional(string)
    environment = optional(string)
    others      = optional(list(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for arn in flatten(values(var.kms_key_arns)) : arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", arn))])
    error_message = "kms_key_arns holds keys' ARNs (arn:aws:kms:REGION:ACCOUNT:key/ID), not aliases."
  }
}

variable "role_arns" {
  description = "Roles that are there already, by function. Nothing is attached to them: `policies` says what each needs."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for function, arn in var.role_arns : contains(["ingest", "advance", "sweep", "dispatch"], function) && can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", arn))])
    error_message = "role_arns maps ingest, advance, sweep or dispatch to a role's ARN."
  }

  validation {
    condition     = length(distinct(values(var.role_arns))) == length(var.role_arns)
    error_message = "role_arns gives one role to two functions; each has its own, which may no more than that function does."
  }
}

variable "iam_path" {
  description = "Path of the roles that are made."
  type        = string
  default     = "/"
  nullable    = false

  validation {
    condition     = can(regex("^/([A-Za-z0-9_.,+@=-]+/)*$", var.iam_path))
    error_message = "iam_path begins and ends with a slash."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the roles that are made."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn is a policy's ARN."
  }
}

variable "code_signing_config_arn" {
  description = "Code signing configuration that the packages must satisfy."
  type        = string
  default     = null

  validation {
    condition     = var.code_signing_config_arn == null || can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:code-signing-config:.+$", var.code_signing_config_arn))
    error_message = "code_signing_config_arn is a code signing configuration's ARN."
  }
}

variable "tracing" {
  description = "X-Ray: PassThrough (only what a caller traces) or Active."
  type        = string
  default     = "PassThrough"
  nullable    = false

  validation {
    condition     = contains(["PassThrough", "Active"], var.tracing)
    error_message = "tracing is PassThrough or Active."
  }
}

variable "log_retention_days" {
  description = "Days that the functions' own logs are kept. What steps print is an object of the run."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is one that CloudWatch Logs takes: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, …"
  }
}

variable "alarm_topic_arns" {
  description = "Topics that are told when a function fails or is throttled."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for each in var.alarm_topic_arns : can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:.+$", each))])
    error_message = "alarm_topic_arns holds ARNs of SNS topics."
  }
}

variable "tags" {
  description = "Tags for everything that is made."
  type        = map(string)
  default     = {}
  nullable    = false
}
