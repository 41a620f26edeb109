data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account           = data.aws_caller_identity.current.account_id
  partition         = data.aws_partition.current.partition
  upload_bucket_arn = "arn:${local.partition}:s3:::${var.upload_bucket}"

  queues = toset(["uploads", "events"])
}

# Standard queues: order comes from the journal, and a FIFO queue would refuse S3's notifications, refuse a delay of a
# single message, and cap a run at one batch of ten at a time.
resource "aws_sqs_queue" "this" {
  #checkov:skip=CKV_AWS_27: `kms_key_arn` asks for a key; without one SQS encrypts with its own
  for_each = local.queues

  name                       = "${var.name}-${each.key}"
  visibility_timeout_seconds = min(6 * var.function_timeout_seconds, 43200)
  message_retention_seconds  = var.retention_days * 86400
  receive_wait_time_seconds  = 20
  sqs_managed_sse_enabled    = var.kms_key_arn == null ? true : null
  kms_master_key_id          = var.kms_key_arn
  tags                       = var.tags

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead[each.key].arn
    maxReceiveCount     = var.max_receive_count
  })
}

resource "aws_sqs_queue" "dead" {
  #checkov:skip=CKV_AWS_27: `kms_key_arn` asks for a key; without one SQS encrypts with its own
  for_each = local.queues

  name                      = "${var.name}-${each.key}-dead"
  message_retention_seconds = 14 * 86400
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  kms_master_key_id         = var.kms_key_arn
  tags                      = var.tags
}

resource "aws_sqs_queue_redrive_allow_policy" "dead" {
  for_each = local.queues

  queue_url = aws_sqs_queue.dead[each.key].id

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.this[each.key].arn]
  })
}

# What `upload_filters` means to S3's own notifications, in EventBridge's words. One pattern holds a prefix or a suffix; both
# of them need a wildcard, in which a backslash stands for itself behind another one. Nothing lies between the two where
# they share the key's middle: such keys are named.
locals {
  whole_filters = [for filter in var.upload_filters : filter if filter.prefix != "" && filter.suffix != ""]
  upload_keys = concat(
    [for filter in var.upload_filters : { prefix = filter.prefix } if filter.prefix != "" && filter.suffix == ""],
    [for filter in var.upload_filters : { suffix = filter.suffix } if filter.prefix == "" && filter.suffix != ""],
    [for filter in local.whole_filters : { wildcard = replace("${filter.prefix}*${filter.suffix}", "\\", "\\\\") }],
    flatten([for filter in local.whole_filters : [
      for shared in range(1, min(length(filter.prefix), length(filter.suffix)) + 1) : "${filter.prefix}${substr(filter.suffix, shared, -1)}"
      if endswith(filter.prefix, substr(filter.suffix, 0, shared))
    ]]),
  )
  upload_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail      = merge({ bucket = { name = [var.upload_bucket] } }, [for keys in [local.upload_keys] : { object = { key = keys } } if length(keys) > 0]...)
  })
}

resource "aws_cloudwatch_event_rule" "uploads" {
  count = var.upload_notification == "eventbridge" ? 1 : 0

  name          = "${var.name}-uploads"
  description   = "Objects that arrive in ${var.upload_bucket}"
  event_pattern = local.upload_pattern
  tags          = var.tags

  lifecycle {
    precondition {
      condition     = length(local.upload_pattern) <= 2048
      error_message = "The rule of the uploads would have ${length(local.upload_pattern)} characters, and EventBridge takes 2048: name fewer or shorter upload_filters."
    }
  }
}

resource "aws_cloudwatch_event_target" "uploads" {
  count = length(aws_cloudwatch_event_rule.uploads)

  rule = aws_cloudwatch_event_rule.uploads[0].name
  arn  = aws_sqs_queue.this["uploads"].arn

  dead_letter_config {
    arn = aws_sqs_queue.dead["uploads"].arn
  }
}
