# The cluster is given whole or looked up by name. The list is read first, so that a name that is wrong (or right in
# another region) is told with the names that there are.
data "aws_region" "current" {
  lifecycle {
    postcondition {
      condition     = var.cluster == null || try(split(":", var.cluster.arn)[3], "") == self.id
      error_message = "cluster.arn is ${try(var.cluster.arn, "")}, this stack in ${self.id}: queues and functions serve a cluster of their own region. Correct cluster.arn or the provider's region."
    }

    postcondition {
      condition     = alltrue([for arn in local.own_keys : split(":", arn)[3] == self.id])
      error_message = "kms_key_arns names ${join(", ", [for arn in local.own_keys : arn if split(":", arn)[3] != self.id])}, this stack is in ${self.id}: AWS encrypts with keys of the same region only. Name a key, or the replica of a multi-Region key, in ${self.id}."
    }
  }
}

data "aws_caller_identity" "current" {
  lifecycle {
    postcondition {
      condition     = var.cluster == null || try(split(":", var.cluster.arn)[4], "") == self.account_id
      error_message = "cluster.arn is ${try(var.cluster.arn, "")}, this stack in account ${self.account_id}: EKS lets roles of its own account in. Correct cluster.arn or use credentials of the cluster's account."
    }
  }
}

data "aws_eks_clusters" "here" {
  count = var.cluster_name == null ? 0 : 1
}

data "aws_eks_cluster" "this" {
  count = var.cluster_name == null ? 0 : 1

  name = var.cluster_name

  lifecycle {
    precondition {
      condition     = contains(data.aws_eks_clusters.here[0].names, var.cluster_name)
      error_message = "There is no EKS cluster ${var.cluster_name} in ${data.aws_region.current.id} of account ${data.aws_caller_identity.current.account_id}. Clusters there: ${coalesce(join(", ", sort(data.aws_eks_clusters.here[0].names)), "none")}. Correct cluster_name or the provider's region."
    }
  }
}

locals {
  looked_up = [for cluster in data.aws_eks_cluster.this : {
    name                  = cluster.name
    arn                   = cluster.arn
    endpoint              = cluster.endpoint
    certificate_authority = one(cluster.certificate_authority[*].data)
    authentication_mode   = try(cluster.access_config[0].authentication_mode, null)
  }]
  cluster = var.cluster != null ? var.cluster : local.looked_up[0]

  # Those of what is made here. A key may be another account's; `others` may be that of a bucket in another region.
  own_keys = [for arn in values({ for use, arn in var.kms_key_arns : use => arn if use != "others" }) : arn if can(regex("^arn:[a-z-]+:kms:", arn))]
}
