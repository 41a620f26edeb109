variable "name" {
  description = "Name of the stack; the queues' names begin with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", var.name))
    error_message = "name has 2 to 20 lower-case letters, digits and hyphens, begins with a letter and ends with a letter or digit."
  }
}

variable "upload_bucket" {
  description = "Name of the bucket whose uploads the queue is told of."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.upload_bucket))
    error_message = "upload_bucket is a bucket's name, not its ARN or URL."
  }
}

variable "upload_notification" {
  description = "Who writes to the upload queue: `queue` (S3 itself), `eventbridge` (a rule that is made here) or `none`."
  type        = string
  default     = "queue"
  nullable    = false

  validation {
    condition     = contains(["queue", "eventbridge", "none"], var.upload_notification)
    error_message = "upload_notification is queue, eventbridge or none."
  }
}

variable "upload_filters" {
  description = "Which uploads the rule of `eventbridge` tells of: each a prefix and a suffix of keys. All of them by default."
  type = list(object({
    prefix = optional(string, "")
    suffix = optional(string, "")
  }))
  default  = [{}]
  nullable = false

  validation {
    condition     = length(var.upload_filters) >= 1 && alltrue([for filter in var.upload_filters : can(regex("^[^*?]*$", "${filter.prefix}${filter.suffix}"))])
    error_message = "upload_filters has at least one entry, and holds beginnings and ends of keys without wildcards."
  }
}

variable "function_timeout_seconds" {
  description = "How long the functions that read the queues may take for a batch; a message is hidden for six times as long, as AWS advises."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.function_timeout_seconds >= 10 && var.function_timeout_seconds <= 900
    error_message = "function_timeout_seconds is between 10 and 900."
  }
}

variable "retention_days" {
  description = "Days that a message stays in a queue when nothing reads it. Dead letters stay for 14."
  type        = number
  default     = 4
  nullable    = false

  validation {
    condition     = var.retention_days >= 1 && var.retention_days <= 14
    error_message = "retention_days is between 1 and 14."
  }
}

variable "max_receive_count" {
  description = "How often a message is received before it is a dead letter. Contention uses up none of them."
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.max_receive_count >= 2 && var.max_receive_count <= 1000
    error_message = "max_receive_count is between 2 and 1000: with 1, a function that is throttled once loses the message."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts the queues; SQS's own where null. The key's policy must let s3.amazonaws.com (or events.amazonaws.com) use it: see `kms_key_statements`."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn is a key's ARN (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias."
  }
}

variable "tags" {
  description = "Tags for everything that is made."
  type        = map(string)
  default     = {}
  nullable    = false
}
