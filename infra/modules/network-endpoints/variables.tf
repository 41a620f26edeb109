variable "name" {
  description = "Name of the stack; the endpoints' names begin with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", var.name))
    error_message = "name has 2 to 20 lower-case letters, digits and hyphens, begins with a letter and ends with a letter or digit."
  }
}

variable "vpc_id" {
  description = "VPC of the cluster's nodes."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-z]+$", var.vpc_id))
    error_message = "vpc_id begins with vpc-."
  }
}

variable "subnet_ids" {
  description = "Subnets that get the interface endpoints, one for each zone."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.interfaces) == 0 || length(var.subnet_ids) > 0
    error_message = "subnet_ids names at least one subnet for the interface endpoints; interfaces = [] makes the S3 gateway alone."
  }
}

variable "route_table_ids" {
  description = "Route tables of the nodes' subnets: the S3 gateway's way. It costs nothing."
  type        = list(string)

  validation {
    condition     = length(var.route_table_ids) > 0
    error_message = "route_table_ids names at least one route table."
  }
}

variable "client_cidr_blocks" {
  description = "Addresses that may use the interface endpoints: those of the nodes and pods."
  type        = list(string)

  validation {
    condition     = alltrue([for block in var.client_cidr_blocks : can(cidrhost(block, 0)) && !endswith(block, "/0")])
    error_message = "client_cidr_blocks holds blocks like 10.0.0.0/16, not the whole world."
  }
}

variable "interfaces" {
  description = "Services that get an interface endpoint, by AWS's short names; each costs by the hour and zone. What steps, nodes and the functions in the VPC need without a way to the internet, by default."
  type        = set(string)
  default     = ["sqs", "scheduler", "sts", "ecr.api", "ecr.dkr", "eks-auth", "ec2", "logs"]
  nullable    = false

  validation {
    condition     = alltrue([for each in var.interfaces : can(regex("^[a-z0-9][a-z0-9.-]*$", each))])
    error_message = "interfaces holds AWS's short names: sqs, ecr.api."
  }
}

variable "tags" {
  description = "Tags for everything that is made."
  type        = map(string)
  default     = {}
  nullable    = false
}
