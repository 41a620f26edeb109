# The cluster is given whole or looked up by name. The list is read first, so that a name that is wrong (or right in
# another region) is told with the names that there are.
data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

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
}
