# Who may write to the queues, and what becomes of a message that nobody can handle.
mock_provider "aws" {
  source = "./mocks"
}

variables {
  name          = "demo"
  upload_bucket = "demo-uploads"
}

run "only_the_upload_bucket_of_this_account_tells_of_uploads" {
  module {
    source = "../modules/queues"
  }

  assert {
    condition = [for statement in jsondecode(output.policies.uploads).Statement : statement if statement.Effect == "Allow"] == [{
      Sid       = "FromUploadBucket"
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = "arn:aws:sqs:eu-central-1:111122223333:demo"
      Condition = {
        ArnEquals    = { "aws:SourceArn" = "arn:aws:s3:::demo-uploads" }
        StringEquals = { "aws:SourceAccount" = "111122223333" }
      }
    }]
    error_message = "S3 may, for one bucket of one account, and no other service"
  }
  assert {
    condition     = length([for statement in jsondecode(output.policies.events).Statement : statement if statement.Effect == "Allow"]) == 0
    error_message = "doorbells ring by the right of a role alone"
  }
  assert {
    condition     = alltrue([for policy in concat(values(aws_sqs_queue_policy.this)[*].policy, values(aws_sqs_queue_policy.dead)[*].policy) : anytrue([for statement in jsondecode(policy).Statement : statement.Effect == "Deny" && statement.Condition == { Bool = { "aws:SecureTransport" = "false" } }])])
    error_message = "each queue refuses what comes without TLS"
  }
}

run "a_message_that_fails_five_times_is_a_dead_letter" {
  module {
    source = "../modules/queues"
  }

  assert {
    condition     = alltrue([for queue in aws_sqs_queue.this : jsondecode(queue.redrive_policy).maxReceiveCount == 5])
    error_message = "five receives"
  }
  assert {
    condition     = alltrue([for queue in aws_sqs_queue.dead : queue.message_retention_seconds == 1209600])
    error_message = "dead letters stay for as long as SQS keeps any"
  }
  assert {
    condition     = alltrue([for queue in aws_sqs_queue.this : queue.visibility_timeout_seconds == 360 && queue.sqs_managed_sse_enabled])
    error_message = "a message is hidden for six times the function's time, and encrypted"
  }
}

run "eventbridge_tells_by_one_rule" {
  module {
    source = "../modules/queues"
  }

  variables {
    upload_notification = "eventbridge"
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.uploads[0].event_pattern) == { source = ["aws.s3"], "detail-type" = ["Object Created"], detail = { bucket = { name = ["demo-uploads"] } } }
    error_message = "objects that arrive in this bucket"
  }
  assert {
    condition     = [for statement in jsondecode(output.policies.uploads).Statement : [statement.Principal.Service, statement.Condition.ArnEquals["aws:SourceArn"]] if statement.Effect == "Allow"] == [["events.amazonaws.com", aws_cloudwatch_event_rule.uploads[0].arn]]
    error_message = "EventBridge may, for one rule, and S3 itself may not"
  }
  assert {
    condition     = output.upload_rule == aws_cloudwatch_event_rule.uploads[0].name && output.upload_rule == "demo-uploads"
    error_message = "who operates may look at the rule of this name"
  }
}

run "eventbridge_tells_of_what_the_filters_name" {
  command = plan

  module {
    source = "../modules/queues"
  }

  variables {
    upload_notification = "eventbridge"
    upload_filters = [
      { prefix = "day=1/" }, { suffix = ".parquet" }, { prefix = "in\\", suffix = "a b.csv" }, { prefix = "last.tar.gz", suffix = ".gz.gz" },
    ]
  }

  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.uploads[0].event_pattern).detail == {
      bucket = { name = ["demo-uploads"] }
      object = { key = [
        { prefix = "day=1/" }, { suffix = ".parquet" }, { wildcard = "in\\\\*a b.csv" }, { wildcard = "last.tar.gz*.gz.gz" }, "last.tar.gz.gz",
      ] }
    }
    error_message = "a key that a filter's prefix and suffix share parts of is named, as S3 itself would take it"
  }
}

run "a_rule_that_eventbridge_refuses_is_refused" {
  command = plan

  module {
    source = "../modules/queues"
  }

  variables {
    upload_notification = "eventbridge"
    upload_filters      = [for number in range(100) : { prefix = "team-${number}/incoming/", suffix = ".csv" }]
  }

  expect_failures = [aws_cloudwatch_event_rule.uploads]
}

run "bad_numbers_are_refused" {
  command = plan

  module {
    source = "../modules/queues"
  }

  variables {
    name                     = "demo."
    upload_notification      = "sns"
    upload_filters           = [{ suffix = "*.csv" }]
    function_timeout_seconds = 901
    retention_days           = 15
    max_receive_count        = 1
    kms_key_arn              = "alias/aws/sqs"
  }

  expect_failures = [var.name, var.upload_notification, var.upload_filters, var.function_timeout_seconds, var.retention_days, var.max_receive_count, var.kms_key_arn]
}
