variable "name" {
  description = "Name of the stack; everything's name begins with it. Two stacks in one account have two names."
  type        = string
  default     = "dropforge"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", var.name))
    error_message = "name has 2 to 20 lower-case letters, digits and hyphens, begins with a letter and ends with a letter or digit: bucket names add the account and the region to it and may have 63 characters."
  }
}

variable "package_folder" {
  description = "Folder that holds a zip file for each function, FUNCTION-ARCHITECTURE.zip."
  type        = string
}

variable "architecture" {
  description = "Processor of the functions: arm64 (cheaper) or x86_64."
  type        = string
  default     = "arm64"
  nullable    = false
}

variable "cluster_name" {
  description = "Name of an EKS cluster of this account and region, to be looked up. `cluster` instead says everything and looks nothing up."
  type        = string
  default     = null

  validation {
    condition     = (var.cluster_name == null) != (var.cluster == null)
    error_message = "Give either cluster_name, which is looked up, or cluster, which is taken as it is."
  }

  validation {
    condition     = var.cluster_name == null || can(regex("^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$", var.cluster_name))
    error_message = "cluster_name is an EKS cluster's name: at most 100 letters, digits, hyphens and underscores. It is neither an ARN nor a kubeconfig context."
  }
}

variable "cluster" {
  description = "The EKS cluster, for whoever makes it in the same configuration or may not describe it."
  type = object({
    name                  = string
    arn                   = string
    endpoint              = string
    certificate_authority = string
    authentication_mode   = optional(string)
  })
  default = null

  validation {
    condition     = var.cluster == null || can(regex("^arn:[a-z-]+:eks:[a-z0-9-]+:[0-9]{12}:cluster/${var.cluster.name}$", var.cluster.arn))
    error_message = "cluster.arn is the ARN of the EKS cluster that cluster.name names: arn:aws:eks:REGION:ACCOUNT:cluster/NAME. `aws eks describe-cluster --name NAME --query cluster.arn` tells it."
  }
}

variable "namespaces" {
  description = "Kubernetes namespaces of steps: the service accounts that get the role (the first is what steps run as that name none, the same in all namespaces), where steps may put models beside the artifact bucket (BUCKET/PREFIX), which uploads they may read (prefixes), a role that is there already, the pod security level that is enforced, the pull secrets that the functions may read beside those of `pod_defaults`, for what images start by themselves."
  type = map(object({
    service_accounts = optional(list(string), ["dropforge-step"])
    model_prefixes   = optional(list(string), [])
    upload_prefixes  = optional(list(string), [""])
    role_arn         = optional(string)
    pod_security     = optional(string, "baseline")
    pull_secrets     = optional(list(string), [])
  }))
  default  = { dropforge = {} }
  nullable = false

  validation {
    condition     = alltrue([for namespace, of in var.namespaces : contains(["privileged", "baseline", "restricted"], of.pod_security)])
    error_message = "pod_security is privileged, baseline or restricted, Kubernetes' pod security standards."
  }

  validation {
    condition     = alltrue(flatten([for namespace, of in var.namespaces : [for secret in of.pull_secrets : length(secret) <= 253 && can(regex("^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", secret))]]))
    error_message = "pull_secrets are names of Kubernetes secrets: lower-case letters, digits, hyphens and dots, at most 253."
  }

  validation {
    condition     = length(distinct([for namespace, of in var.namespaces : of.service_accounts[0]])) <= 1
    error_message = "The first of service_accounts is the same in all namespaces: it is what every step runs as that names none."
  }
}

variable "executor_version" {
  description = "Version of the executor: the tag of its image in the repository that is made here. `dropforge deploy` pushes its own version."
  type        = string
  default     = "0.1.0"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.executor_version))
    error_message = "executor_version is an image's tag: at most 128 letters, digits, underscores, dots and hyphens, of which dots and hyphens do not come first."
  }
}

variable "executor_image" {
  description = "Image of the executor where it lies elsewhere; no repository is made then."
  type        = string
  default     = null
}

variable "existing_buckets" {
  description = "Names of buckets that are there already, to be used as they are. What is left out is made."
  type = object({
    control   = optional(string)
    artifacts = optional(string)
    uploads   = optional(string)
  })
  default  = {}
  nullable = false
}

variable "bucket_names" {
  description = "Names for the buckets that are made, for where the usual name is taken."
  type = object({
    control   = optional(string)
    artifacts = optional(string)
    uploads   = optional(string)
  })
  default  = {}
  nullable = false
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete buckets that still hold objects, runs and models among them."
  type        = bool
  default     = false
  nullable    = false
}

variable "retention_days" {
  description = "Days after which objects are deleted, those without a number never: journals, logs, what is known of images, packed environments, what `memoize` keeps, artifacts, uploads, old versions."
  type = object({
    journals     = optional(number, 400)
    logs         = optional(number, 400)
    images       = optional(number, 400)
    environments = optional(number)
    memo         = optional(number)
    artifacts    = optional(number)
    uploads      = optional(number)
    old_versions = optional(number, 30)
  })
  default  = {}
  nullable = false
}

variable "days_max" {
  description = "How many days a run may last, its retries included; then it ends in Error. Journals are kept for 15 days more at least (`retention_days`)."
  type        = number
  default     = 365
  nullable    = false
}

variable "workflow_defaults" {
  description = "Argo's workflowDefaults (`metadata`, `spec`) as JSON, beneath every run that a Trigger or a CronWorkflow starts. What a person submits has those of its `dropforge.toml`."
  type        = string
  default     = null
}

variable "upload_notification" {
  description = "How uploads are told: `queue` (S3 writes to the upload queue), `eventbridge` (a rule does) or `none`."
  type        = string
  default     = "queue"
  nullable    = false
}

variable "upload_filters" {
  description = "Which uploads are told, each a prefix and a suffix of keys as they are; all by default. No object may be named by two. Where the owner of an existing bucket wires the queue, the notification there has the same filters: ingest may read no other uploads, but for those that steps may read."
  type = list(object({
    prefix = optional(string, "")
    suffix = optional(string, "")
  }))
  default  = [{}]
  nullable = false
}

variable "control_versioning" {
  description = "Whether the control bucket keeps old versions; each run that ends leaves delete markers then, which listings pass."
  type        = bool
  default     = false
  nullable    = false
}

variable "access_log_bucket" {
  description = "Bucket that gets S3's access logs; none are kept where null."
  type        = string
  default     = null
}

variable "dispatch" {
  description = "Subnets and security groups from which the function `dispatch` reaches the cluster's private endpoint for `advance` and `sweep`, which stay outside the VPC."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null
}

variable "vpc" {
  description = "Subnets and security groups of all functions: for a cluster's private endpoint, or where none may stand outside of a VPC; they need a way to SQS, Scheduler and S3 from there."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null
}

variable "oidc_provider" {
  description = "OIDC provider of a cluster without Pod Identity; steps are then kept apart by namespace only."
  type = object({
    arn = string
    url = string
  })
  default = null
}

variable "install_pod_identity_agent" {
  description = "Whether to install the Pod Identity agent's add-on; Auto Mode has it built in."
  type        = bool
  default     = false
  nullable    = false
}

variable "pod_defaults" {
  description = "What every pod gets beside its manifest, as JSON: over the service account, no token of it, and the annotation that keeps Karpenter from moving a step, which stand there already."
  type        = string
  default     = "{}"
  nullable    = false

  validation {
    condition     = can(keys(jsondecode(var.pod_defaults)))
    error_message = "pod_defaults is a JSON object; functions/README.md names its fields."
  }
}

variable "alarm_topic_arn" {
  description = "SNS topic that alarms are sent to, where one is there already."
  type        = string
  default     = null
}

variable "alarm_emails" {
  description = "Addresses that are told of alarms."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "entrypoint_repository_arns" {
  description = "ECR repositories of step images whose entrypoint may be looked up."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "memory_megabytes" {
  description = "Memory of each function."
  type = object({
    ingest   = optional(number, 256)
    advance  = optional(number, 512)
    sweep    = optional(number, 256)
    dispatch = optional(number, 256)
  })
  default  = {}
  nullable = false
}

variable "timeout_seconds" {
  description = "How long a call of a function may last; messages are hidden for six times as long."
  type        = number
  default     = 60
  nullable    = false
}

variable "sweep_minutes" {
  description = "Minutes between two sweeps: how long a lost doorbell or a pod that ended without a word may stay unnoticed."
  type        = number
  default     = 1
  nullable    = false
}

variable "message_retention_days" {
  description = "Days that a message stays in a queue when nothing reads it."
  type        = number
  default     = 4
  nullable    = false
}

variable "max_receive_count" {
  description = "How often a message is received before it is a dead letter."
  type        = number
  default     = 5
  nullable    = false
}

variable "oldest_message_minutes" {
  description = "Minutes that a message may wait before an alarm rings."
  type        = number
  default     = 20
  nullable    = false
}

variable "access_entries" {
  description = "Whether the functions' access entries are made here; where not, whoever owns the cluster lets the roles in (as the group `kubernetes_group`)."
  type        = bool
  default     = true
  nullable    = false
}

variable "pod_identity_associations" {
  description = "Whether the associations of the steps' service accounts are made here; where not, whoever owns the cluster makes them."
  type        = bool
  default     = true
  nullable    = false
}

variable "people_policies" {
  description = "Whether IAM policies for people are made; `policies` says them in any case."
  type        = bool
  default     = true
  nullable    = false
}

variable "batches" {
  description = "How messages reach a function: how many at once, how long Lambda waits for more, how many batches at a time."
  type = object({
    ingest  = optional(object({ size = optional(number, 10), window_seconds = optional(number, 0), concurrency_max = optional(number, 10) }), {})
    advance = optional(object({ size = optional(number, 10), window_seconds = optional(number, 0), concurrency_max = optional(number, 50) }), {})
  })
  default  = {}
  nullable = false
}

variable "reserved_concurrency" {
  description = "Concurrency of the account that is kept for a function; none where null."
  type = object({
    ingest   = optional(number)
    advance  = optional(number)
    sweep    = optional(number)
    dispatch = optional(number)
  })
  default  = {}
  nullable = false
}

variable "pinned_versions" {
  description = "Versions that the functions' aliases point at instead of the newest, by function: the way back after an upgrade."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "environment" {
  description = "More environment variables for every function."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "crons" {
  description = "Reminders of CronWorkflows that come with the configuration: when which CronWorkflow of which namespace is looked at. `dropforge apply` makes these by itself."
  type = map(object({
    namespace  = string
    name       = string
    expression = string
    timezone   = optional(string, "UTC")
  }))
  default  = {}
  nullable = false
}

variable "kms_key_arns" {
  description = "Keys: of the buckets, of the queues, of the functions' logs, of their environment variables, of the schedules' payloads, of the executor's images, of the alarms' topic; others that existing buckets and those of models are encrypted with. AWS's own where null."
  type = object({
    storage     = optional(string)
    queues      = optional(string)
    logs        = optional(string)
    environment = optional(string)
    schedules   = optional(string)
    images      = optional(string)
    alarms      = optional(string)
    others      = optional(list(string), [])
  })
  default  = {}
  nullable = false
}

variable "function_role_arns" {
  description = "Roles of functions that are there already, by function."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "scheduler_role_arn" {
  description = "Role of the schedules, where one is there already."
  type        = string
  default     = null
}

variable "iam_path" {
  description = "Path of the roles and policies that are made."
  type        = string
  default     = "/"
  nullable    = false
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the roles that are made."
  type        = string
  default     = null
}

variable "code_signing_config_arn" {
  description = "Code signing configuration that the functions' packages must satisfy."
  type        = string
  default     = null
}

variable "tracing" {
  description = "X-Ray: PassThrough or Active."
  type        = string
  default     = "PassThrough"
  nullable    = false
}

variable "log_retention_days" {
  description = "Days that the functions' own logs are kept."
  type        = number
  default     = 30
  nullable    = false
}

variable "tags" {
  description = "Tags for everything that is made."
  type        = map(string)
  default     = {}
  nullable    = false
}
