variable "name" {
  description = "Name of the stack; the policies' names begin with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", var.name))
    error_message = "name has 2 to 20 lower-case letters, digits and hyphens, begins with a letter and ends with a letter or digit."
  }
}

variable "namespaces" {
  description = "Namespaces whose runs, logs and models these people see and start."
  type        = set(string)

  validation {
    condition     = length(var.namespaces) > 0 && alltrue([for namespace in var.namespaces : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", namespace))])
    error_message = "namespaces holds at least one Kubernetes namespace: lower-case letters, digits and hyphens, at most 63."
  }
}

variable "model_prefixes" {
  description = "Where models are put beside the artifact bucket (BUCKET/PREFIX), to be read, by namespace."
  type        = map(list(string))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for prefix in flatten(values(var.model_prefixes)) : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^*?]*$", prefix))])
    error_message = "model_prefixes are BUCKET/PREFIX, without s3:// and without wildcards."
  }
}

variable "upload_prefixes" {
  description = "Which uploads these people see and make, by namespace (prefixes of keys): those that the namespace's steps read. All of them where a namespace is not named."
  type        = map(list(string))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for prefix in flatten(values(var.upload_prefixes)) : can(regex("^[^*?]*$", prefix)) && !startswith(prefix, "/")])
    error_message = "upload_prefixes are prefixes of keys in the upload bucket: no wildcard, no slash in front. The empty one is all of it."
  }
}

variable "artifact_bucket_shared" {
  description = "Whether the artifact bucket holds more than this stack's artifacts; then these people list their namespace's folder alone."
  type        = bool
  default     = true
  nullable    = false
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

variable "queue_arns" {
  description = "ARNs of the queues and of their dead letters."
  type = object({
    events       = string
    uploads      = string
    dead_letters = list(string)
  })

  validation {
    condition     = alltrue([for each in concat([var.queue_arns.events, var.queue_arns.uploads], var.queue_arns.dead_letters) : can(regex("^arn:[a-z-]+:sqs:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", each))])
    error_message = "queue_arns holds ARNs of standard queues."
  }
}

variable "functions" {
  description = "The functions' names, to be looked at by whoever operates."
  type        = set(string)

  validation {
    condition     = alltrue([for each in var.functions : can(regex("^[A-Za-z0-9_-]{1,64}$", each))])
    error_message = "functions holds names, not ARNs."
  }
}

variable "cluster_arn" {
  description = "The EKS cluster, to be described by `dropforge doctor`."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:eks:[a-z0-9-]+:[0-9]{12}:cluster/.+$", var.cluster_arn))
    error_message = "cluster_arn is an EKS cluster's ARN."
  }
}

variable "repository_arn" {
  description = "Repository of the executor's image, to be pushed to by whoever operates; none where null."
  type        = string
  default     = null

  validation {
    condition     = var.repository_arn == null || can(regex("^arn:[a-z-]+:ecr:[a-z0-9-]+:[0-9]{12}:repository/.+$", var.repository_arn))
    error_message = "repository_arn is an ECR repository's ARN."
  }
}

variable "role_arns" {
  description = "Roles that are there already, of functions, schedules and steps, whose permissions `dropforge doctor` asks IAM about beside the stack's own."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for each in var.role_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", each))])
    error_message = "role_arns holds roles' ARNs."
  }
}

variable "kms_key_arns" {
  description = "Keys of the buckets and queues."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for each in var.kms_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", each))])
    error_message = "kms_key_arns holds keys' ARNs, not aliases."
  }
}

variable "policies_made" {
  description = "Whether the policies are made as IAM policies; where not, `policies` says them for who writes their own."
  type        = bool
  default     = true
  nullable    = false
}

variable "iam_path" {
  description = "Path of the policies."
  type        = string
  default     = "/"
  nullable    = false

  validation {
    condition     = can(regex("^/([A-Za-z0-9_.,+@=-]+/)*$", var.iam_path))
    error_message = "iam_path begins and ends with a slash."
  }
}

variable "tags" {
  description = "Tags for everything that is made."
  type        = map(string)
  default     = {}
  nullable    = false
}
