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

variable "image" {
  description = "Image of the pipeline's steps, which holds Python, pandas, scikit-learn and joblib. With `dropforge apply samplepipelines/ml-pipeline` afterwards plain python:3.9 is enough: that packs the libraries."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._/:@-]*$", var.image))
    error_message = "image is an image's name, like 111122223333.dkr.ecr.eu-central-1.amazonaws.com/sklearn:1."
  }
}

variable "timezone" {
  description = "Time zone of the schedule."
  type        = string
  default     = "Europe/Berlin"
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

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete buckets that still hold runs and models."
  type        = bool
  default     = false
}
