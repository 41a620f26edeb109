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

variable "buckets" {
  description = "Names of the buckets."
  type = object({
    control   = string
    artifacts = string
    uploads   = string
  })
}

variable "queue_arns" {
  description = "ARNs of the queues and of their dead letters."
  type = object({
    events       = string
    uploads      = string
    dead_letters = list(string)
  })
}

variable "schedule_group" {
  description = "Group that schedules are made in."
  type        = string
}

variable "scheduler_role_arn" {
  description = "Role that schedules send with."
  type        = string
}

variable "functions" {
  description = "The functions' names, to be looked at by whoever operates."
  type        = set(string)
}

variable "cluster_arn" {
  description = "The EKS cluster, to be described by `dropforge doctor`."
  type        = string
}

variable "repository_arn" {
  description = "Repository of the executor's image, to be pushed to by whoever operates; none where null."
  type        = string
  default     = null
}

variable "kms_key_arns" {
  description = "Keys of the buckets and queues."
  type        = list(string)
  default     = []
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
