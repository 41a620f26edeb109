output "urls" {
  description = "URLs of the queues: uploads, events."
  value       = { for queue in local.queues : queue => aws_sqs_queue.this[queue].id }
}

output "arns" {
  description = "ARNs of the queues: uploads, events."
  value       = { for queue in local.queues : queue => aws_sqs_queue.this[queue].arn }

  # S3 asks a queue for its consent before it takes a notification.
  depends_on = [aws_sqs_queue_policy.this]
}

output "dead_letter_urls" {
  description = "URLs of the dead-letter queues: uploads, events."
  value       = { for queue in local.queues : queue => aws_sqs_queue.dead[queue].id }
}

output "dead_letter_names" {
  description = "Names of the dead-letter queues, for alarms: uploads, events."
  value       = { for queue in local.queues : queue => aws_sqs_queue.dead[queue].name }
}

output "dead_letter_arns" {
  description = "ARNs of the dead-letter queues: uploads, events."
  value       = { for queue in local.queues : queue => aws_sqs_queue.dead[queue].arn }
}

output "names" {
  description = "Names of the queues, for alarms: uploads, events."
  value       = { for queue in local.queues : queue => aws_sqs_queue.this[queue].name }
}

output "upload_rule" {
  description = "The rule by which EventBridge tells the upload queue of files; null where none does."
  value       = one(aws_cloudwatch_event_rule.uploads[*].name)
}

output "settings" {
  description = "How long a message is hidden, how long it stays, how often it is received."
  value = {
    visibility_timeout_seconds = aws_sqs_queue.this["events"].visibility_timeout_seconds
    message_retention_days     = aws_sqs_queue.this["events"].message_retention_seconds / 86400
    max_receive_count          = jsondecode(aws_sqs_queue.this["events"].redrive_policy).maxReceiveCount
  }
}

output "upload_pattern" {
  description = "The events that the rule of the uploads takes, as JSON; null where there is none."
  value       = one(aws_cloudwatch_event_rule.uploads[*].event_pattern)
}

output "policies" {
  description = "The policies of the queues: uploads, events."
  value       = { for queue in local.queues : queue => aws_sqs_queue_policy.this[queue].policy }
}

output "kms_key_statements" {
  description = "Statements that the policy of kms_key_arn needs, so that S3 or EventBridge can write to the encrypted upload queue; none without a key."
  value = var.kms_key_arn == null ? null : jsonencode([{
    Sid       = "DropforgeUploadQueue"
    Effect    = "Allow"
    Principal = { Service = local.by_rule ? "events.amazonaws.com" : "s3.amazonaws.com" }
    Action    = ["kms:GenerateDataKey*", "kms:Decrypt"]
    Resource  = "*"
    Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
  }])
}
