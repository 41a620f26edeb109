data "aws_partition" "current" {}

locals {
  partition = data.aws_partition.current.partition
  made      = { for namespace, of in var.namespaces : namespace => of if of.role_arn == null }
  role_arns = { for namespace, of in var.namespaces : namespace => of.role_arn == null ? aws_iam_role.this[namespace].arn : of.role_arn }

  accounts = merge([for namespace, of in var.namespaces : {
    for account in of.service_accounts : "${namespace}/${account}" => { namespace = namespace, account = account }
  }]...)
}

resource "aws_iam_role" "this" {
  for_each = local.made

  # A namespace may have 63 characters and a role's name 64: a long one ends in a hash of the whole.
  name                 = length("${var.name}-step-${each.key}") <= 64 ? "${var.name}-step-${each.key}" : "${substr("${var.name}-step-${each.key}", 0, 55)}-${substr(sha256(each.key), 0, 8)}"
  path                 = var.iam_path
  permissions_boundary = var.permissions_boundary_arn
  description          = "Dropforge steps of ${var.name} in namespace ${each.key}"
  assume_role_policy   = local.trust[each.key]
  tags                 = var.tags
}

resource "aws_iam_role_policy" "this" {
  for_each = local.made

  name   = "dropforge"
  role   = aws_iam_role.this[each.key].id
  policy = local.policies[each.key]

  lifecycle {
    precondition {
      condition     = length(local.policies[each.key]) <= 10240
      error_message = "The policy of the steps of ${each.key} would have ${length(local.policies[each.key])} characters, and IAM takes 10240 for a role: name fewer or shorter model_prefixes and upload_prefixes."
    }
  }
}

resource "aws_eks_pod_identity_association" "this" {
  for_each = var.oidc_provider == null && var.associations ? local.accounts : {}

  cluster_name    = var.cluster.name
  namespace       = each.value.namespace
  service_account = each.value.account
  role_arn        = local.role_arns[each.value.namespace]
  tags            = var.tags
}

resource "aws_eks_addon" "agent" {
  count = var.install_agent ? 1 : 0

  cluster_name = var.cluster.name
  addon_name   = "eks-pod-identity-agent"
  tags         = var.tags
}
