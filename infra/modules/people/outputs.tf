output "policy_arns" {
  description = "ARNs of the policies: read and submit by namespace, operate; none where they are not made."
  value = {
    read    = { for namespace in var.policies_made ? var.namespaces : [] : namespace => aws_iam_policy.namespace["read-${namespace}"].arn }
    submit  = { for namespace in var.policies_made ? var.namespaces : [] : namespace => aws_iam_policy.namespace["submit-${namespace}"].arn }
    operate = one(aws_iam_policy.operate[*].arn)
  }
}

output "policies" {
  description = "The policies as JSON: read and submit by namespace, operate."
  value       = merge(local.policies, { operate = local.operate_policy })
}
