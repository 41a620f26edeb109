locals {
  made_roles = setsubtract(local.functions, keys(var.role_arns))
  role_arns  = { for function in local.functions : function => contains(local.made_roles, function) ? aws_iam_role.this[function].arn : var.role_arns[function] }
}

resource "aws_iam_role" "this" {
  for_each = local.made_roles

  name                 = local.names[each.key]
  path                 = var.iam_path
  permissions_boundary = var.permissions_boundary_arn
  description          = "Dropforge ${each.key} of ${var.name}"
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Lambda"
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = local.made_roles

  name   = "dropforge"
  role   = aws_iam_role.this[each.key].id
  policy = local.policies[each.key]

  lifecycle {
    precondition {
      condition     = length(local.policies[each.key]) <= 10240
      error_message = "The policy of ${each.key} would have ${length(local.policies[each.key])} characters, and IAM takes 10240 for a role: name fewer namespaces or model_prefixes, or shorter ones (one prefix for several namespaces is enough), or divide them among two stacks."
    }
  }
}
