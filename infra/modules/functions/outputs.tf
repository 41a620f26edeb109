output "functions" {
  description = "The functions: name, ARN of the alias that everybody calls, role, version that the alias points at."
  value = {
    for function in local.functions : function => {
      name      = aws_lambda_function.this[function].function_name
      alias_arn = "${local.alias_prefix}:${local.names[function]}:${local.alias}"
      role_arn  = local.role_arns[function]
      version   = aws_lambda_alias.live[function].function_version
    }
  }

  # Who calls an alias waits for it.
  depends_on = [aws_lambda_alias.live]
}

output "names" {
  description = "Names of the functions, for dashboards."
  value       = local.names
}

output "cluster_role_arns" {
  description = "Roles that create pods and need an access entry in the cluster, by function."
  value       = { for function in local.hands : function => local.role_arns[function] }
}

output "policies" {
  description = "What each function's role may; for roles that are given, what their owner attaches to them."
  value       = local.policies
}

output "kms_key_statements" {
  description = "Statements that the policy of kms_key_arns.logs needs, so that CloudWatch can encrypt the functions' log groups; none without a key."
  value = var.kms_key_arns.logs == null ? null : jsonencode([{
    Sid       = "DropforgeLogs"
    Effect    = "Allow"
    Principal = { Service = "logs.${local.region}.amazonaws.com" }
    Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    Resource  = "*"
    Condition = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/aws/lambda/${var.name}-*" } }
  }])
}

output "environments" {
  description = "Environment variables of each function."
  value       = local.environments
}
