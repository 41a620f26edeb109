locals {
  functions = sort(keys(var.function_names))

  widgets = [
    {
      title   = "Runs"
      metrics = [for metric in ["RunsLive", "RunsSucceeded", "RunsFailed", "RunsStuck", "PodsStuck"] : [var.metric_namespace, metric, "Stack", var.name]]
      stat    = "Sum"
    },
    {
      title   = "Namespaces that a sweep could not look into"
      metrics = [[var.metric_namespace, "NamespacesRefused", "Stack", var.name]]
      stat    = "Maximum"
    },
    {
      title   = "Messages waiting"
      metrics = [for queue, name in merge(var.queue_names, { for queue, name in var.dead_letter_names : "dead ${queue}" => name }) : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name]]
      stat    = "Maximum"
    },
    {
      title   = "Age of the oldest message (s)"
      metrics = [for queue, name in var.queue_names : ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", name]]
      stat    = "Maximum"
    },
    {
      title   = "Calls"
      metrics = [for function in local.functions : ["AWS/Lambda", "Invocations", "FunctionName", var.function_names[function]]]
      stat    = "Sum"
    },
    {
      title   = "Duration (ms, p99)"
      metrics = [for function in local.functions : ["AWS/Lambda", "Duration", "FunctionName", var.function_names[function]]]
      stat    = "p99"
    },
    {
      title   = "Errors and throttles"
      metrics = [for pair in setproduct(local.functions, ["Errors", "Throttles"]) : ["AWS/Lambda", pair[1], "FunctionName", var.function_names[pair[0]]]]
      stat    = "Sum"
    },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [
      for index, widget in local.widgets : {
        type   = "metric"
        x      = 12 * (index % 2)
        y      = 6 * floor(index / 2)
        width  = 12
        height = 6
        properties = {
          title   = widget.title
          region  = local.region
          view    = "timeSeries"
          period  = 60
          stat    = widget.stat
          metrics = widget.metrics
        }
      }
    ]
  })
}
