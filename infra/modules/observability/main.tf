data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

locals {
  region    = data.aws_region.current.id
  topic_arn = var.topic_arn == null ? aws_sns_topic.this[0].arn : var.topic_arn
}

resource "aws_sns_topic" "this" {
  #checkov:skip=CKV_AWS_26: `kms_key_arn` asks for a key; an alarm names a queue and no data, and AWS's own key lets CloudWatch publish nothing
  count = var.topic_arn == null ? 1 : 0

  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_arn
  tags              = var.tags
}

resource "aws_sns_topic_policy" "this" {
  count = length(aws_sns_topic.this)

  arn = aws_sns_topic.this[0].arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Alarms"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.this[0].arn
        Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
      },
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.this[0].arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.emails

  topic_arn = local.topic_arn
  protocol  = "email"
  endpoint  = each.key
}
