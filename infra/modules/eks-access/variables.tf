variable "cluster_name" {
  description = "Name of the EKS cluster."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$", var.cluster_name))
    error_message = "cluster_name is an EKS cluster's name: at most 100 letters, digits, hyphens and underscores. It is neither an ARN nor a kubeconfig context."
  }
}

variable "authentication_mode" {
  description = "The cluster's authentication mode, as EKS tells it; null where it is not known."
  type        = string
  default     = null

  validation {
    condition     = var.authentication_mode == null ? true : contains(["API", "API_AND_CONFIG_MAP"], var.authentication_mode)
    error_message = "The cluster's authentication mode is CONFIG_MAP, which knows no access entries. Change it by `aws eks update-cluster-config --name NAME --access-config authenticationMode=API_AND_CONFIG_MAP`; what the aws-auth config map grants stays."
  }
}

variable "role_arns" {
  description = "Roles of the functions that create pods, by function."
  type        = map(string)

  validation {
    condition     = alltrue([for each in values(var.role_arns) : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", each))])
    error_message = "role_arns holds ARNs of roles."
  }
}

variable "kubernetes_group" {
  description = "Kubernetes group that the roles become; the Role in each namespace of steps is bound to it (infra/kubernetes)."
  type        = string
  default     = "dropforge:dispatcher"
  nullable    = false

  validation {
    condition     = !startswith(var.kubernetes_group, "system:")
    error_message = "kubernetes_group does not begin with `system:`; EKS refuses those, since they are Kubernetes' own."
  }
}

variable "tags" {
  description = "Tags for everything that is made."
  type        = map(string)
  default     = {}
  nullable    = false
}
