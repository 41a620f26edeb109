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
  description = "Kubernetes namespaces of steps: where steps may put models beside the artifact bucket (BUCKET/PREFIX), which uploads its steps and people read (prefixes), the pod security level that is enforced."
  type = map(object({
    model_prefixes  = optional(list(string), [])
    upload_prefixes = optional(list(string), [""])
    pod_security    = optional(string, "baseline")
  }))
  default = { dropforge = {} }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete buckets that still hold runs and models."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags for everything that is made."
  type        = map(string)
  default     = {}
}
