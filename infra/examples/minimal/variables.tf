variable "region" {
  description = "AWS region of the cluster, and of everything that is made."
  type        = string
}

variable "cluster_name" {
  description = "Name of the EKS cluster."
  type        = string
}

variable "package_folder" {
  description = "Folder that holds the functions' packages."
  type        = string
}

variable "name" {
  description = "Name of the stack."
  type        = string
  default     = "dropforge"
}

variable "executor_version" {
  description = "Version of the executor's image, which `dropforge deploy . --push VERSION` has pushed; the module's where null."
  type        = string
  default     = null
}

variable "architecture" {
  description = "Processor of the functions: arm64 or x86_64."
  type        = string
  default     = "arm64"
}

variable "namespaces" {
  description = "Kubernetes namespaces of steps, with the prefixes (BUCKET/PREFIX) where steps may put models beside the artifact bucket."
  type = map(object({
    model_prefixes = optional(list(string), [])
  }))
  default = { dropforge = {} }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete buckets that still hold runs and models."
  type        = bool
  default     = false
}
