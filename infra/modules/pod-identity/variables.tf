variable "name" {
  description = "Name of the stack; the roles' names begin with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", var.name))
    error_message = "name has 2 to 20 lower-case letters, digits and hyphens, begins with a letter and ends with a letter or digit."
  }
}

variable "cluster" {
  description = "Name and ARN of the EKS cluster."
  type = object({
    name = string
    arn  = string
  })

  validation {
    condition     = can(regex("^arn:[a-z-]+:eks:[a-z0-9-]+:[0-9]{12}:cluster/.+$", var.cluster.arn))
    error_message = "cluster.arn is an EKS cluster's ARN."
  }
}

variable "oidc_provider" {
  description = "OIDC provider of the cluster, for clusters without Pod Identity: steps then get their role by IRSA, whose sessions carry no pod's name, so that only namespaces are kept apart and not pods. Pod Identity where null."
  type = object({
    arn = string
    url = string
  })
  default = null

  validation {
    condition     = var.oidc_provider == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:oidc-provider/.+$", var.oidc_provider.arn))
    error_message = "oidc_provider.arn is an IAM OIDC provider's ARN; `aws iam list-open-id-connect-providers` lists them."
  }

  # A role that trusts another issuer than the provider's would be made, and taken by nobody.
  validation {
    condition     = var.oidc_provider == null || try(endswith(var.oidc_provider.arn, ":oidc-provider/${trimprefix(var.oidc_provider.url, "https://")}"), false)
    error_message = "oidc_provider.url is the issuer that oidc_provider.arn ends with: https:// and what follows oidc-provider/ there."
  }
}

variable "install_agent" {
  description = "Whether to install the Pod Identity agent's add-on. Auto Mode has it built in, and a cluster that uses Pod Identity has it already."
  type        = bool
  default     = false
  nullable    = false
}

variable "namespaces" {
  description = "Namespaces of steps: the service accounts that get the role (the first is what steps run as that name none), where steps may put models beside the artifact bucket (BUCKET/PREFIX), which uploads they may read (prefixes), a role that is there already."
  type = map(object({
    service_accounts = optional(list(string), ["dropforge-step"])
    model_prefixes   = optional(list(string), [])
    upload_prefixes  = optional(list(string), [""])
    role_arn         = optional(string)
  }))

  validation {
    condition     = length(var.namespaces) > 0 && alltrue([for namespace in keys(var.namespaces) : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", namespace))])
    error_message = "namespaces has at least one entry; each key is a Kubernetes namespace: lower-case letters, digits and hyphens, at most 63."
  }

  validation {
    condition     = alltrue([for namespace, of in var.namespaces : alltrue([for prefix in of.model_prefixes : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^*?]*$", prefix))])])
    error_message = "model_prefixes are BUCKET/PREFIX, without s3:// and without wildcards; BUCKET/ is the whole bucket."
  }

  validation {
    condition     = alltrue([for namespace, of in var.namespaces : alltrue([for prefix in of.upload_prefixes : can(regex("^[^*?]*$", prefix)) && !startswith(prefix, "/")])])
    error_message = "upload_prefixes are prefixes of keys in the upload bucket: no wildcard, no slash in front. The empty one is all of it."
  }

  validation {
    condition     = alltrue([for namespace, of in var.namespaces : length(of.service_accounts) > 0 && alltrue([for account in of.service_accounts : can(regex("^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", account))])])
    error_message = "service_accounts names at least one Kubernetes service account for each namespace."
  }

  validation {
    condition     = alltrue([for namespace, of in var.namespaces : of.role_arn == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", of.role_arn))])
    error_message = "role_arn of a namespace is a role's ARN."
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

variable "events_queue_arn" {
  description = "Queue that an executor rings when its step has ended."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:sqs:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", var.events_queue_arn))
    error_message = "events_queue_arn is the ARN of a standard queue."
  }
}

variable "kms_key_arns" {
  description = "Keys: of the buckets (those for models among them), of the queues. AWS's own where empty."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.kms_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", arn))])
    error_message = "kms_key_arns holds keys' ARNs (arn:aws:kms:REGION:ACCOUNT:key/ID), not aliases."
  }
}

variable "associations" {
  description = "Whether the associations of service accounts with roles are made here; where not, whoever owns the cluster makes them."
  type        = bool
  default     = true
  nullable    = false
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

variable "tags" {
  description = "Tags for everything that is made."
  type        = map(string)
  default     = {}
  nullable    = false
}
