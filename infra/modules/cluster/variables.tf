variable "name" {
  description = "Name of the cluster."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-Za-z][A-Za-z0-9_-]{0,39}$", var.name))
    error_message = "name has at most 40 letters, digits, hyphens and underscores: roles' names add to it."
  }
}

variable "kubernetes_version" {
  description = "Kubernetes version; EKS's newest where null. Native sidecars need 1.29."
  type        = string
  default     = null

  validation {
    condition     = var.kubernetes_version == null || can(regex("^1\\.(29|[3-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version is 1.29 or newer, written like 1.34."
  }
}

variable "subnet_ids" {
  description = "Subnets of the nodes, in at least two zones."
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnet_ids)) >= 2
    error_message = "subnet_ids names at least two subnets, in different zones, as EKS asks for."
  }
}

variable "public_access_cidr_blocks" {
  description = "Addresses that reach the Kubernetes endpoint from outside the VPC. Empty: none does, and `dispatch` of the dropforge module creates the pods."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for block in var.public_access_cidr_blocks : can(cidrhost(block, 0))])
    error_message = "public_access_cidr_blocks holds blocks like 203.0.113.0/24."
  }
}

variable "node_pools" {
  description = "Auto Mode's own node pools. Both have no node while no pod needs one. Without any of them EKS makes no NodeClass `default`, which the pool of GPU nodes names."
  type        = set(string)
  default     = ["general-purpose", "system"]
  nullable    = false

  validation {
    condition     = alltrue([for pool in var.node_pools : contains(["general-purpose", "system"], pool)])
    error_message = "node_pools holds general-purpose, system or both. GPU nodes come from the NodePool in infra/kubernetes/cluster."
  }
}

variable "administrator_arns" {
  description = "Roles or users that administer the cluster, beside the one that makes it."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for each in var.administrator_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/.+$", each))])
    error_message = "administrator_arns holds ARNs of roles or users."
  }
}

variable "log_types" {
  description = "Logs of the control plane that are kept in CloudWatch; each costs by its size."
  type        = set(string)
  default     = ["audit", "authenticator", "api", "controllerManager", "scheduler"]
  nullable    = false

  validation {
    condition     = alltrue([for type in var.log_types : contains(["api", "audit", "authenticator", "controllerManager", "scheduler"], type)])
    error_message = "log_types holds api, audit, authenticator, controllerManager or scheduler."
  }
}

variable "log_retention_days" {
  description = "Days that they are kept."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is one that CloudWatch Logs takes: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, …"
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts the cluster's secrets; EKS's own where null."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn is a key's ARN (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias."
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

variable "tags" {
  description = "Tags for everything that is made."
  type        = map(string)
  default     = {}
  nullable    = false
}
