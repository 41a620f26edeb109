# Who in this account may send is said by the roles' own policies. Here stand the services of AWS that may, each for one
# source of this account (so that another account's bucket can't ring), and that nobody may without TLS.
locals {
  # Of the queue itself and of its dead letters.
  arns = {
    this = { for queue in local.queues : queue => aws_sqs_queue.this[queue].arn }
    dead = { for queue in local.queues : queue => aws_sqs_queue.dead[queue].arn }
  }

  tls_only = {
    for of, arns in local.arns : of => {
      for queue, arn in arns : queue => {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }
    }
  }

  from_s3 = {
    Sid       = "FromUploadBucket"
    Effect    = "Allow"
    Principal = { Service = "s3.amazonaws.com" }
    Action    = "sqs:SendMessage"
    Resource  = local.arns.this.uploads
    Condition = {
      ArnEquals    = { "aws:SourceArn" = local.upload_bucket_arn }
      StringEquals = { "aws:SourceAccount" = local.account }
    }
  }

  from_rule = {
    for of, arns in local.arns : of => {
      Sid       = "FromUploadRule"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = arns.uploads
      Condition = {
        ArnEquals    = { "aws:SourceArn" = one(aws_cloudwatch_event_rule.uploads[*].arn) }
        StringEquals = { "aws:SourceAccount" = local.account }
      }
    }
  }

  by_rule = var.upload_notification == "eventbridge"

  policies = {
    for of in keys(local.arns) : of => {
      uploads = concat(
        [local.tls_only[of].uploads],
        of == "this" && var.upload_notification == "queue" ? [local.from_s3] : [],
        local.by_rule ? [local.from_rule[of]] : [],
      )
      events = [local.tls_only[of].events]
    }
  }
}

resource "aws_sqs_queue_policy" "this" {
  for_each = local.queues

  queue_url = aws_sqs_queue.this[each.key].id
  policy    = jsonencode({ Version = "2012-10-17", Statement = local.policies.this[each.key] })
}

resource "aws_sqs_queue_policy" "dead" {
  for_each = local.queues

  queue_url = aws_sqs_queue.dead[each.key].id
  policy    = jsonencode({ Version = "2012-10-17", Statement = local.policies.dead[each.key] })
}
