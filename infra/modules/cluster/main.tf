data "aws_partition" "current" {}

locals {
  policies = "arn:${data.aws_partition.current.partition}:iam::aws:policy"

  # What AWS says that Auto Mode needs.
  cluster_policies = toset(["AmazonEKSClusterPolicy", "AmazonEKSComputePolicy", "AmazonEKSBlockStoragePolicy", "AmazonEKSLoadBalancingPolicy", "AmazonEKSNetworkingPolicy"])
  node_policies    = toset(["AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly"])
}

# Auto Mode: nodes come when a pod needs one and go when none does. Karpenter, the GPU device plugin, cluster DNS and the
# Pod Identity agent are parts of it and no pods, so that a cluster in which nothing runs has no node at all.
resource "aws_eks_cluster" "this" {
  #checkov:skip=CKV_AWS_38: `public_access_cidr_blocks` says who reaches the endpoint; nobody by default
  #checkov:skip=CKV_AWS_39: as above: without blocks the endpoint is not public
  #checkov:skip=CKV_AWS_58: `kms_key_arn` asks for a key; EKS encrypts secrets with its own otherwise
  name                          = var.name
  version                       = var.kubernetes_version
  role_arn                      = aws_iam_role.this["cluster"].arn
  bootstrap_self_managed_addons = false
  enabled_cluster_log_types     = var.log_types
  tags                          = var.tags

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = true
  }

  compute_config {
    enabled       = true
    node_pools    = var.node_pools
    node_role_arn = length(var.node_pools) == 0 ? null : aws_iam_role.this["node"].arn
  }

  kubernetes_network_config {
    elastic_load_balancing {
      enabled = true
    }
  }

  storage_config {
    block_storage {
      enabled = true
    }
  }

  vpc_config {
    subnet_ids              = var.subnet_ids
    endpoint_private_access = true
    endpoint_public_access  = length(var.public_access_cidr_blocks) > 0
    public_access_cidrs     = length(var.public_access_cidr_blocks) > 0 ? var.public_access_cidr_blocks : null
  }

  dynamic "encryption_config" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      resources = ["secrets"]

      provider {
        key_arn = encryption_config.value
      }
    }
  }

  depends_on = [aws_iam_role_policy_attachment.this, aws_cloudwatch_log_group.this]
}

resource "aws_iam_role" "this" {
  for_each = toset(["cluster", "node"])

  name                 = "${var.name}-eks-${each.key}"
  path                 = var.iam_path
  permissions_boundary = var.permissions_boundary_arn
  description          = "EKS Auto Mode ${each.key} of ${var.name}"
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Assume"
      Effect    = "Allow"
      Principal = { Service = each.key == "cluster" ? "eks.amazonaws.com" : "ec2.amazonaws.com" }
      Action    = each.key == "cluster" ? ["sts:AssumeRole", "sts:TagSession"] : ["sts:AssumeRole"]
    }]
  })
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each = merge(
    { for policy in local.cluster_policies : policy => "cluster" },
    { for policy in local.node_policies : policy => "node" },
  )

  role       = aws_iam_role.this[each.value].name
  policy_arn = "${local.policies}/${each.key}"
}

resource "aws_eks_access_entry" "administrator" {
  for_each = var.administrator_arns

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.key
  tags          = var.tags
}

resource "aws_eks_access_policy_association" "administrator" {
  for_each = aws_eks_access_entry.administrator

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.value.principal_arn
  policy_arn    = "arn:${data.aws_partition.current.partition}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"

  access_scope {
    type = "cluster"
  }
}

# Made before EKS makes it, so that it does not keep logs for ever.
resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158: the control plane's logs hold no secret; CloudWatch Logs encrypts them with its own key
  #checkov:skip=CKV_AWS_338: `log_retention_days` says how long
  name              = "/aws/eks/${var.name}/cluster"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

# A warning and no refusal: whoever makes a NodeClass and pools of their own needs none of EKS's.
check "node_class" {
  assert {
    condition     = length(var.node_pools) > 0
    error_message = "With no pool of its own EKS makes no NodeClass `default`, and the NodePool dropforge-gpu, which names it, makes no node. Leave one in node_pools (it has no node while no pod needs one), or make a NodeClass with the role of the output node_role_name and name it in the NodePool: kubectl edit nodepool dropforge-gpu."
  }
}
