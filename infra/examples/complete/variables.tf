variable "region" {
  description = "AWS region of everything that is made."
  type        = string
  default     = "us-east-1"
}

variable "name" {
  description = "Name of the stack and of its cluster."
  type        = string
  default     = "dropforge"
}

variable "package_folder" {
  description = "Folder that holds the functions' packages."
  type        = string
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

variable "vpc_cidr_block" {
  description = "Addresses of the VPC. Each pod takes one."
  type        = string
  default     = "10.80.0.0/16"

  validation {
    condition     = can(cidrsubnet(var.vpc_cidr_block, 8, 255))
    error_message = "vpc_cidr_block is a block like 10.80.0.0/16, at most a /24."
  }
}

variable "public_access_cidr_blocks" {
  description = "Addresses that reach the Kubernetes endpoint from outside the VPC: those of the people who deploy. Unless it is open to all (0.0.0.0/0), the functions that create pods stand in the VPC."
  type        = list(string)
  default     = []
}

variable "reserved_concurrency" {
  description = "Concurrency of the account that is kept for a function; none where null. A new account has too little to reserve any."
  type = object({
    ingest  = optional(number)
    advance = optional(number)
    sweep   = optional(number)
  })
  default = {}
}

variable "administrator_arns" {
  description = "Roles or users that administer the cluster, beside the one that makes it."
  type        = set(string)
  default     = []
}

variable "model_prefixes" {
  description = "Where steps may put models beside the artifact bucket (BUCKET/PREFIX)."
  type        = list(string)
  default     = []
}

variable "alarm_emails" {
  description = "Addresses that are told of alarms."
  type        = set(string)
  default     = []
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
