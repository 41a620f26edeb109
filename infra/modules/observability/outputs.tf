output "kms_key_statements" {
  description = "Statements that the policy of kms_key_arn needs, so that CloudWatch can publish alarms; none without a key."
  value = var.kms_key_arn == null ? null : jsonencode([{
    Sid       = "DropforgeAlarms"
    Effect    = "Allow"
    Principal = { Service = "cloudwatch.amazonaws.com" }
    Action    = ["kms:GenerateDataKey*", "kms:Decrypt"]
    Resource  = "*"
    Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
  }])
}

output "topic_arn" {
  description = "Topic that alarms are sent to."
  value       = local.topic_arn
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}
