variable "name" {
  description = "Name of the stack; the buckets' names begin with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", var.name))
    error_message = "name has 2 to 20 lower-case letters, digits and hyphens, begins with a letter and ends with a letter or digit: bucket names add the account and the region to it and may have 63 characters."
  }
}

variable "existing_buckets" {
  description = "Names of buckets that are there already, to be used as they are: nothing about them is written, neither policy nor notifications nor lifecycle. What is left out is made."
  type = object({
    control   = optional(string)
    artifacts = optional(string)
    uploads   = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for bucket in values(var.existing_buckets) : bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", bucket))])
    error_message = "existing_buckets holds bucket names, not ARNs or URLs: 3 to 63 lower-case letters, digits, dots and hyphens."
  }

  validation {
    condition     = length(distinct([for bucket in values(var.existing_buckets) : bucket if bucket != null])) == length([for bucket in values(var.existing_buckets) : bucket if bucket != null])
    error_message = "existing_buckets names one bucket twice: control, artifacts and uploads are kept apart, so that what a step writes never starts a run by itself."
  }
}

variable "bucket_names" {
  description = "Names for the buckets that are made, instead of name-account-region-control, -artifacts and -uploads; for where such a name is taken."
  type = object({
    control   = optional(string)
    artifacts = optional(string)
    uploads   = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for bucket in values(var.bucket_names) : bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", bucket))])
    error_message = "bucket_names holds names of 3 to 63 lower-case letters, digits, dots and hyphens."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete buckets that still hold objects, runs and models among them."
  type        = bool
  default     = false
  nullable    = false
}

variable "kms_key_arn" {
  description = "Key that encrypts the buckets; S3's own where null."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn is a key's ARN (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias: policies name the key itself."
  }
}

variable "control_versioning" {
  description = "Whether the control bucket keeps old versions. Its journals are written once and never again; the markers below live/ come and go with each run, and with versions each leaves a delete marker that every listing has to pass."
  type        = bool
  default     = false
  nullable    = false
}

variable "days_max" {
  description = "How many days a run may last; journals stay for longer."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = var.days_max >= 1 && floor(var.days_max) == var.days_max
    error_message = "days_max is a whole number of days."
  }
}

variable "retention_days" {
  description = "Days after which objects are deleted, counted from when each was written last, those without a number never: journals with claims and verdicts; logs; what is known of images; packed environments; what `memoize` keeps; artifacts, models among them; uploads; old versions. A run ends by itself after `days_max` days: what it needs stays for at least as long."
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

  validation {
    condition     = var.retention_days.journals >= var.days_max + 15
    error_message = "retention_days.journals is at least ${var.days_max + 15}: a run may last ${var.days_max} days (days_max) and a message about it 14 more, and a journal that goes before its run breaks it."
  }

  validation {
    condition     = alltrue([for days in [var.retention_days.environments, var.retention_days.artifacts] : coalesce(days, var.days_max) >= var.days_max])
    error_message = "retention_days.environments and retention_days.artifacts are at least ${var.days_max}, the days that a run may last (days_max): a step reads what was packed when its run began, and what earlier ones wrote."
  }

  validation {
    condition     = alltrue([for days in values(var.retention_days) : days == null || try(days >= 1 && floor(days) == days, false)])
    error_message = "retention_days counts whole days, at least 1."
  }
}

variable "upload_notification" {
  description = "How uploads are told: `queue` (S3 writes to the upload queue), `eventbridge` (S3 writes to EventBridge, whose rule the queues module makes) or `none`. A bucket that was there already is never written to: its owner does this."
  type        = string
  default     = "queue"
  nullable    = false

  validation {
    condition     = contains(["queue", "eventbridge", "none"], var.upload_notification)
    error_message = "upload_notification is queue, eventbridge or none."
  }
}

variable "upload_queue_arn" {
  description = "Queue that S3 tells of uploads; needed where upload_notification is `queue`."
  type        = string
  default     = null

  validation {
    condition     = var.upload_queue_arn == null || can(regex("^arn:[a-z-]+:sqs:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", var.upload_queue_arn))
    error_message = "upload_queue_arn is the ARN of a standard queue; S3 does not write to FIFO queues."
  }
}

variable "upload_filters" {
  description = "Which uploads are told: each a prefix and a suffix of keys as they are, not URL-encoded. No object may be named by two of them. All uploads by default; Triggers choose among what is told."
  type = list(object({
    prefix = optional(string, "")
    suffix = optional(string, "")
  }))
  default  = [{}]
  nullable = false

  validation {
    condition     = length(var.upload_filters) >= 1 && length(var.upload_filters) <= 100
    error_message = "upload_filters has 1 to 100 entries, as many as S3 takes; upload_notification = \"none\" tells of nothing."
  }

  validation {
    condition     = alltrue([for filter in var.upload_filters : can(regex("^[^*?]*$", "${filter.prefix}${filter.suffix}")) && !strcontains("${filter.prefix}${filter.suffix}", "$${")])
    error_message = "upload_filters holds beginnings and ends of keys: S3 knows no wildcard in them, and policies would read ? and $${ as their own."
  }

  # S3 refuses them when they are applied.
  validation {
    condition = alltrue(flatten([for at, one in var.upload_filters : [for other in slice(var.upload_filters, 0, at) : !(
      (startswith(one.prefix, other.prefix) || startswith(other.prefix, one.prefix)) &&
      (endswith(one.suffix, other.suffix) || endswith(other.suffix, one.suffix))
    )]]))
    error_message = "Two of upload_filters may name the same object, since neither their prefixes nor their suffixes exclude each other: S3 refuses such filters. Leave one out, or make them longer."
  }
}

variable "access_log_bucket" {
  description = "Bucket that gets S3's access logs; none are kept where null."
  type        = string
  default     = null

  validation {
    condition     = var.access_log_bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.access_log_bucket))
    error_message = "access_log_bucket is a bucket's name, not its ARN or URL."
  }
}

variable "tags" {
  description = "Tags for everything that is made."
  type        = map(string)
  default     = {}
  nullable    = false
}
