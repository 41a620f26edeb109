variable "region" {
  description = "AWS region of the cluster, the buckets and the keys."
  type        = string
}

variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "tags" {
  description = "Tags for everything that is made."
  type        = map(string)
}

variable "package_folder" {
  description = "Folder that holds the functions' packages."
  type        = string
}

variable "architecture" {
  description = "Processor of the functions: arm64 or x86_64."
  type        = string
  default     = "arm64"
}

variable "cluster" {
  description = "The EKS cluster, with its private endpoint."
  type = object({
    name                  = string
    arn                   = string
    endpoint              = string
    certificate_authority = string
    authentication_mode   = optional(string)
  })
}

variable "subnet_ids" {
  description = "Subnets from which the cluster's endpoint, SQS, Scheduler and S3 are reached."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the functions, which the cluster's own and the endpoints' let in on 443."
  type        = list(string)
}

variable "buckets" {
  description = "The buckets, which are there already."
  type = object({
    control   = string
    artifacts = string
    uploads   = string
  })
}

variable "namespaces" {
  description = "Namespaces of steps: the role of each, where its steps may put models, which uploads they read."
  type = map(object({
    role_arn        = string
    model_prefixes  = optional(list(string), [])
    upload_prefixes = optional(list(string), [])
  }))
}

variable "upload_notification" {
  description = "How uploads are told: `eventbridge` (the bucket's owner turns EventBridge on) or `queue` (the owner names our queue)."
  type        = string
  default     = "eventbridge"

  validation {
    condition     = contains(["eventbridge", "queue"], var.upload_notification)
    error_message = "upload_notification is eventbridge or queue."
  }
}

variable "upload_filters" {
  description = "Which uploads are told, each a prefix and a suffix of keys; all of them by default. Where the bucket's owner names our queue, the notification there has the same."
  type = list(object({
    prefix = optional(string, "")
    suffix = optional(string, "")
  }))
  default = [{}]
}

variable "access_entries" {
  description = "Whether the functions' access entries are made here, and not by the cluster's owner."
  type        = bool
  default     = true
}

variable "pod_identity_associations" {
  description = "Whether the associations of the steps' service accounts are made here, and not by the cluster's owner."
  type        = bool
  default     = true
}

variable "people_policies" {
  description = "Whether IAM policies for people are made here."
  type        = bool
  default     = true
}

variable "executor_image" {
  description = "Image of the executor in the company's own registry, by digest."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.executor_image))
    error_message = "executor_image ends in @sha256: and 64 hexadecimal digits, so that it can't change."
  }
}

variable "function_role_arns" {
  description = "Roles of the functions: ingest, advance, sweep. Those left out are made."
  type        = map(string)
  default     = {}
}

variable "scheduler_role_arn" {
  description = "Role of the schedules; made where null."
  type        = string
  default     = null
}

variable "iam_path" {
  description = "Path of the roles and policies that are made."
  type        = string
  default     = "/"
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the roles that are made."
  type        = string
}

variable "code_signing_config_arn" {
  description = "Code signing configuration that the packages must satisfy."
  type        = string
  default     = null
}

variable "kms_key_arn" {
  description = "The key that encrypts everything."
  type        = string
}

variable "alarm_topic_arn" {
  description = "Topic that alarms are sent to."
  type        = string
}
