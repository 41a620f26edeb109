data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

data "aws_partition" "current" {}

# Policies to be attached to roles or permission sets. For each namespace: `read` sees its runs, `submit` starts and steers
# them too. For the stack: `operate` deploys and repairs it. Nobody writes a journal, a claim or a verdict: what people want
# of a run is a command in its inbox.
resource "aws_iam_policy" "namespace" {
  for_each = merge([for namespace in var.policies_made ? var.namespaces : [] : {
    for who in ["read", "submit"] : "${who}-${namespace}" => { who = who, namespace = namespace }
  }]...)

  name        = "${var.name}-${each.key}"
  path        = var.iam_path
  description = "${each.value.who == "read" ? "Sees" : "Sees, starts and steers"} runs of ${var.name} in ${each.value.namespace}${each.value.who == "read" ? "" : "; trusted by those of its other namespaces"}"
  policy      = local.policies[each.value.who][each.value.namespace]
  tags        = var.tags

  lifecycle {
    precondition {
      condition     = length(local.policies[each.value.who][each.value.namespace]) <= 6144
      error_message = "The policy ${each.value.who} of ${each.value.namespace} would have ${length(local.policies[each.value.who][each.value.namespace])} characters, and IAM takes 6144: name fewer or shorter model_prefixes and upload_prefixes."
    }
  }
}

resource "aws_iam_policy" "operate" {
  count = var.policies_made ? 1 : 0

  name        = "${var.name}-operate"
  path        = var.iam_path
  description = "Deploys and repairs ${var.name}"
  policy      = local.operate_policy
  tags        = var.tags

  lifecycle {
    precondition {
      condition     = length(local.operate_policy) <= 6144
      error_message = "The policy operate would have ${length(local.operate_policy)} characters, and IAM takes 6144: give fewer roles of one's own (role_arn, function_role_arns)."
    }
  }
}

moved {
  from = aws_iam_policy.operate
  to   = aws_iam_policy.operate[0]
}
