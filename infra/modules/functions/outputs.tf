output "functions" {
  description = "The functions: name, ARN of the alias that everybody calls, role, version that the alias points at."
  value = {
    for function in local.functions : function => {
      name      = aws_lambda_function.this[function].function_name
      alias_arn = aws_lambda_alias.live[function].arn
      role_arn  = local.role_arns[function]
      version   = aws_lambda_alias.live[function].function_version
    }
  }
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

output "environments" {
  description = "Environment variables of each function."
  value       = local.environments
}
