variable "name" {
  description = "Name of the stack; the alarms' names begin with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", var.name))
    error_message = "name has 2 to 20 lower-case letters, digits and hyphens, begins with a letter and ends with a letter or digit."
  }
}

variable "queue_names" {
  description = "Names of the queues: uploads, events."
  type        = map(string)

  validation {
    condition     = alltrue([for each in values(var.queue_names) : can(regex("^[A-Za-z0-9_-]{1,80}$", each))])
    error_message = "queue_names holds names, not URLs or ARNs."
  }
}

variable "dead_letter_names" {
  description = "Names of the dead-letter queues: uploads, events."
  type        = map(string)

  validation {
    condition     = alltrue([for each in values(var.dead_letter_names) : can(regex("^[A-Za-z0-9_-]{1,80}$", each))])
    error_message = "dead_letter_names holds names, not URLs or ARNs."
  }
}

variable "function_names" {
  description = "Names of the functions, by function; `advance` and `sweep` among them."
  type        = map(string)

  validation {
    condition     = alltrue([for function in ["advance", "sweep"] : contains(keys(var.function_names), function)])
    error_message = "function_names names advance and sweep: alarms tell of them."
  }

  validation {
    condition     = alltrue([for each in values(var.function_names) : can(regex("^[A-Za-z0-9_-]{1,64}$", each))])
    error_message = "function_names holds names, not ARNs."
  }
}

variable "topic_arn" {
  description = "SNS topic that alarms are sent to, where one is there already."
  type        = string
  default     = null

  validation {
    condition     = var.topic_arn == null || can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", var.topic_arn))
    error_message = "topic_arn is the ARN of an SNS topic."
  }
}

variable "emails" {
  description = "Addresses that are told of alarms; each gets a message to confirm it first."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for address in var.emails : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "emails holds addresses like someone@example.com."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts the topic that is made; CloudWatch must be allowed to use it. SNS's own where null."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn is a key's ARN (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias."
  }
}

variable "sweep_minutes" {
  description = "Minutes between two sweeps; the alarm rings where none comes for twice as long, and at least for five."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.sweep_minutes >= 1 && var.sweep_minutes <= 15 && floor(var.sweep_minutes) == var.sweep_minutes
    error_message = "sweep_minutes is a whole number from 1 to 15."
  }
}

variable "max_receive_count" {
  description = "How often a message is received before it is a dead letter."
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.max_receive_count >= 1
    error_message = "max_receive_count is at least 1."
  }
}

variable "oldest_message_minutes" {
  description = "Minutes that a message may wait before the alarm of that queue rings: more than the 15 that a message may be put off at once."
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.oldest_message_minutes >= 1
    error_message = "oldest_message_minutes is at least 1."
  }
}

variable "metric_namespace" {
  description = "Namespace of the metrics that the functions log."
  type        = string
  default     = "Dropforge"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9._/#-]{1,255}$", var.metric_namespace)) && !startswith(var.metric_namespace, "AWS/")
    error_message = "metric_namespace is not one of AWS's own."
  }
}

variable "tags" {
  description = "Tags for everything that is made."
  type        = map(string)
  default     = {}
  nullable    = false
}
