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

resource "aws_cloudwatch_event_rule" "uploads" {
  count = var.upload_notification == "eventbridge" ? 1 : 0

  name        = "${var.name}-uploads"
  description = "Objects that arrive in ${var.upload_bucket}"
  tags        = var.tags

  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail      = { bucket = { name = [var.upload_bucket] } }
  })
}

resource "aws_cloudwatch_event_target" "uploads" {
  count = length(aws_cloudwatch_event_rule.uploads)

  rule = aws_cloudwatch_event_rule.uploads[0].name
  arn  = aws_sqs_queue.this["uploads"].arn

  dead_letter_config {
    arn = aws_sqs_queue.dead["uploads"].arn
  }
}
