locals {
  dead = {
    for queue, name in var.dead_letter_names : "dead-${queue}" => {
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = name }
      statistic   = "Maximum"
      threshold   = 0
      description = "${name} holds messages that failed five times. Look at one, mend what it needs, and put them back: dropforge redrive."
    }
  }

  old = {
    for queue, name in var.queue_names : "old-${queue}" => {
      namespace   = "AWS/SQS"
      metric      = "ApproximateAgeOfOldestMessage"
      dimensions  = { QueueName = name }
      statistic   = "Maximum"
      threshold   = var.oldest_message_minutes * 60
      description = "A message has waited in ${name} for ${var.oldest_message_minutes} minutes: its function is throttled, fails or is switched off."
    }
  }

  runs = {
    "runs-failed" = {
      namespace   = var.metric_namespace
      metric      = "RunsFailed"
      dimensions  = { Stack = var.name }
      statistic   = "Sum"
      threshold   = 0
      description = "A run has failed. dropforge list --status Failed names it, dropforge explain RUN tells why."
    }
    "runs-stuck" = {
      namespace   = var.metric_namespace
      metric      = "PodsStuck"
      dimensions  = { Stack = var.name }
      statistic   = "Maximum"
      threshold   = 0
      description = "A pod has not started for ten minutes, and its run does not move. dropforge list shows which runs, dropforge explain RUN tells what it waits for."
      periods     = 10
    }
  }

  alarms = merge(local.dead, local.old, local.runs)
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanThreshold"
  period              = 60
  evaluation_periods  = lookup(each.value, "periods", 1)
  treat_missing_data  = "notBreaching"
  alarm_actions       = [local.topic_arn]
  ok_actions          = [local.topic_arn]
  tags                = var.tags
}
