data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  group_arn = "arn:${data.aws_partition.current.partition}:scheduler:${data.aws_region.current.id}:${local.account}:schedule-group/${var.name}"
  role_arn  = var.role_arn == null ? aws_iam_role.this[0].arn : var.role_arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        { Sid = "Ring", Effect = "Allow", Action = ["sqs:SendMessage"], Resource = var.queue_arns },
        { Sid = "Sweep", Effect = "Allow", Action = ["lambda:InvokeFunction"], Resource = [var.sweep_function_arn] },
      ],
      length(compact(values(var.kms_key_arns))) == 0 ? [] : [
        { Sid = "Keys", Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = distinct(compact(values(var.kms_key_arns))) },
      ],
    )
  })
}

# Timers of runs and ticks of CronWorkflows are made in this group while Dropforge works; deleting the group deletes them.
resource "aws_scheduler_schedule_group" "this" {
  name = var.name
  tags = var.tags
}

resource "aws_iam_role" "this" {
  count = var.role_arn == null ? 1 : 0

  name                 = "${var.name}-scheduler"
  path                 = var.iam_path
  permissions_boundary = var.permissions_boundary_arn
  description          = "Dropforge schedules of ${var.name}"
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Scheduler"
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnEquals    = { "aws:SourceArn" = local.group_arn }
      }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  count = length(aws_iam_role.this)

  name   = "dropforge"
  role   = aws_iam_role.this[0].id
  policy = local.policy
}

# Never switched off: with nothing live a sweep is one listing, and a switch would be a race.
resource "aws_scheduler_schedule" "sweep" {
  #checkov:skip=CKV_AWS_297: `kms_key_arns.schedules` asks for a key; the sweep's payload is empty
  name                = "sweep"
  group_name          = aws_scheduler_schedule_group.this.name
  description         = "Rings what moved or may be stuck"
  state               = "ENABLED"
  schedule_expression = var.sweep_minutes == 1 ? "rate(1 minute)" : "rate(${var.sweep_minutes} minutes)"
  kms_key_arn         = var.kms_key_arns.schedules

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = var.sweep_function_arn
    role_arn = local.role_arn
    input    = "{}"

    # The next one comes within a minute.
    retry_policy {
      maximum_retry_attempts       = 0
      maximum_event_age_in_seconds = 60
    }
  }

  depends_on = [aws_iam_role_policy.this]
}

resource "aws_scheduler_schedule" "cron" {
  #checkov:skip=CKV_AWS_297: `kms_key_arns.schedules` asks for a key; the payload names a CronWorkflow and no more
  for_each = var.crons

  name                         = "cron-${each.key}"
  group_name                   = aws_scheduler_schedule_group.this.name
  description                  = "CronWorkflow ${each.value.namespace}/${each.value.name}"
  schedule_expression          = each.value.expression
  schedule_expression_timezone = each.value.timezone
  kms_key_arn                  = var.kms_key_arns.schedules

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = var.upload_queue_arn
    role_arn = local.role_arn
    input = jsonencode({
      format = 1
      remind = { cronWorkflow = { namespace = each.value.namespace, name = each.value.name } }
    })
  }

  depends_on = [aws_iam_role_policy.this]
}
