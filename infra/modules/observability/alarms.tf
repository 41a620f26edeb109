locals {
  dead = {
    for queue, name in var.dead_letter_names : "dead-${queue}" => {
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = name }
      statistic   = "Maximum"
      threshold   = 0
      description = "${name} holds messages that failed ${var.max_receive_count} times. Look at one, mend what it needs, and put them back: dropforge redrive."
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
    "pods-stuck" = {
      namespace   = var.metric_namespace
      metric      = "PodsStuck"
      dimensions  = { Stack = var.name }
      statistic   = "Maximum"
      threshold   = 0
      description = "A pod has not started for ten minutes, and its run does not move. dropforge list shows which runs, dropforge explain RUN tells what it waits for."
      # A period for each sweep, and ten minutes in all; one that comes a little late leaves a period without a word.
      period     = 60 * var.sweep_minutes
      periods    = ceil(10 / var.sweep_minutes)
      datapoints = ceil(8 / var.sweep_minutes)
    }
    "runs-stuck" = {
      namespace   = var.metric_namespace
      metric      = "RunsStuck"
      dimensions  = { Stack = var.name }
      statistic   = "Maximum"
      threshold   = 0
      description = "Nothing of a run has run for an hour, and its next step can't be made: the cluster does not answer or refuses its pods, or has no room. The log of ${var.function_names.advance} names it, dropforge explain RUN tells what it waits for, dropforge doctor what is missing."
      # Of many live runs each is looked at every quarter of an hour only.
      period     = 15 * 60
      periods    = 2
      datapoints = 1
    }
    "namespaces-refused" = {
      namespace   = var.metric_namespace
      metric      = "NamespacesRefused"
      dimensions  = { Stack = var.name }
      statistic   = "Maximum"
      threshold   = 0
      description = "The functions may not look into a namespace, or it is gone: what becomes of its pods is not seen. The log of ${var.function_names.sweep} names it. dropforge deploy puts its Role back, dropforge doctor tells what is missing; one that is given up leaves `namespaces`."
      # While no run is live, a sweep looks there every ten minutes only. A stack that is new has half an hour for its deploy.
      period     = 15 * 60
      periods    = 3
      datapoints = 2
    }
  }

  # What is never called has no error: without a sweep lost doorbells stay lost, and nobody would be told.
  sweep_seconds = max(5, 2 * var.sweep_minutes) * 60
  sweep = {
    "sweep-missing" = {
      namespace   = "AWS/Lambda"
      metric      = "Invocations"
      dimensions  = { FunctionName = var.function_names.sweep }
      statistic   = "Sum"
      threshold   = 1
      description = "${var.function_names.sweep} was not called for ${local.sweep_seconds / 60} minutes: its schedule `sweep` is gone or disabled, the schedules' role may not call it, or the account has no concurrency left. A stack that is new may ring once before its first sweep."
      comparison  = "LessThanThreshold"
      period      = local.sweep_seconds
      missing     = "breaching"
    }
  }

  alarms = merge(local.dead, local.old, local.runs, local.sweep)
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
  comparison_operator = lookup(each.value, "comparison", "GreaterThanThreshold")
  period              = lookup(each.value, "period", 60)
  evaluation_periods  = lookup(each.value, "periods", 1)
  datapoints_to_alarm = lookup(each.value, "datapoints", null)
  treat_missing_data  = lookup(each.value, "missing", "notBreaching")
  alarm_actions       = [local.topic_arn]
  ok_actions          = [local.topic_arn]
  tags                = var.tags
}
