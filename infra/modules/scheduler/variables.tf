variable "name" {
  description = "Name of the stack, and of the schedule group."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", var.name))
    error_message = "name has 2 to 20 lower-case letters, digits and hyphens, begins with a letter and ends with a letter or digit."
  }
}

variable "queue_arns" {
  description = "Queues that schedules may send to."
  type        = list(string)

  validation {
    condition     = length(var.queue_arns) > 0 && alltrue([for arn in var.queue_arns : can(regex("^arn:[a-z-]+:sqs:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", arn))])
    error_message = "queue_arns holds ARNs of standard queues."
  }
}

variable "sweep_function_arn" {
  description = "Alias of the function `sweep`."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_-]+:[A-Za-z0-9_-]+$", var.sweep_function_arn))
    error_message = "sweep_function_arn is the ARN of a function's alias."
  }
}

variable "sweep_minutes" {
  description = "Minutes between two sweeps: how long a lost doorbell or a pod that ended without a word may stay unnoticed."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.sweep_minutes >= 1 && var.sweep_minutes <= 15 && floor(var.sweep_minutes) == var.sweep_minutes
    error_message = "sweep_minutes is a whole number from 1 to 15."
  }
}

variable "crons" {
  description = "Reminders of CronWorkflows that come with the configuration, by any name: when (a schedule expression of EventBridge Scheduler) which CronWorkflow of which namespace is looked at. The CronWorkflow itself says which runs are due then. `dropforge apply` makes these by itself."
  type = map(object({
    namespace  = string
    name       = string
    expression = string
    timezone   = optional(string, "UTC")
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for cron in values(var.crons) : can(regex("^(cron|rate|at)\\(.+\\)$", cron.expression))])
    error_message = "expression is one of EventBridge Scheduler: cron(0 6 ? * 2-6 *), six fields in which Sunday is 1, or rate(1 hour)."
  }

  validation {
    condition     = alltrue([for cron in values(var.crons) : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", cron.namespace))])
    error_message = "namespace is a Kubernetes namespace: lower-case letters, digits and hyphens, at most 63."
  }

  validation {
    condition     = alltrue([for cron in values(var.crons) : length(cron.name) <= 52 && can(regex("^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$", cron.name))])
    error_message = "name is a CronWorkflow's: lower-case letters, digits, hyphens and dots, at most 52."
  }

  validation {
    condition     = alltrue([for cron in values(var.crons) : can(regex("^(UTC|(Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Etc|Europe|Indian|Pacific)(/[A-Za-z0-9_+-]+){1,2})$", cron.timezone))])
    error_message = "timezone is UTC or an area and a city of the IANA database: Europe/Berlin, America/Argentina/Salta."
  }

  validation {
    condition     = alltrue([for key in keys(var.crons) : can(regex("^[A-Za-z0-9_.-]{1,59}$", key))])
    error_message = "crons' keys have at most 59 letters, digits, dots, hyphens and underscores: they are schedules' names."
  }
}

variable "upload_queue_arn" {
  description = "Queue that reminders of CronWorkflows are sent to; needed with `crons`."
  type        = string
  default     = null

  validation {
    condition     = length(var.crons) == 0 || var.upload_queue_arn != null
    error_message = "upload_queue_arn names the queue that the reminders of `crons` are sent to."
  }
}

variable "kms_key_arns" {
  description = "Keys: of the schedules' payloads, of the queues they send to. AWS's own where null."
  type = object({
    schedules = optional(string)
    queues    = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for arn in values(var.kms_key_arns) : arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", arn))])
    error_message = "kms_key_arns holds keys' ARNs, not aliases."
  }
}

variable "role_arn" {
  description = "Role that schedules send with, where one is there already. Nothing is attached to it: `policy` says what it needs."
  type        = string
  default     = null

  validation {
    condition     = var.role_arn == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", var.role_arn))
    error_message = "role_arn is a role's ARN."
  }
}

variable "iam_path" {
  description = "Path of the role that is made."
  type        = string
  default     = "/"
  nullable    = false

  validation {
    condition     = can(regex("^/([A-Za-z0-9_.,+@=-]+/)*$", var.iam_path))
    error_message = "iam_path begins and ends with a slash."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the role that is made."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn is a policy's ARN."
  }
}

variable "tags" {
  description = "Tags for everything that is made."
  type        = map(string)
  default     = {}
  nullable    = false
}
