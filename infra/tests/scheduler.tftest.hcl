# The sweep never stops, and the scheduler's role serves this group alone.
mock_provider "aws" {
  source = "./mocks"
}

variables {
  name               = "demo"
  queue_arns         = ["arn:aws:sqs:eu-central-1:111122223333:demo-uploads", "arn:aws:sqs:eu-central-1:111122223333:demo-events"]
  upload_queue_arn   = "arn:aws:sqs:eu-central-1:111122223333:demo-uploads"
  sweep_function_arn = "arn:aws:lambda:eu-central-1:111122223333:function:demo-sweep:live"
}

run "a_sweep_each_minute" {
  module {
    source = "../modules/scheduler"
  }

  assert {
    condition     = aws_scheduler_schedule.sweep.schedule_expression == "rate(1 minute)" && aws_scheduler_schedule.sweep.state == "ENABLED" && aws_scheduler_schedule.sweep.target[0].arn == var.sweep_function_arn
    error_message = "each minute, always"
  }
}

run "the_role_is_the_groups" {
  module {
    source = "../modules/scheduler"
  }

  assert {
    condition = jsondecode(aws_iam_role.this[0].assume_role_policy).Statement[0].Condition == {
      StringEquals = { "aws:SourceAccount" = "111122223333" }
      ArnEquals    = { "aws:SourceArn" = "arn:aws:scheduler:eu-central-1:111122223333:schedule-group/demo" }
    }
    error_message = "no other group and no other account lends it to itself"
  }
  assert {
    condition     = { for statement in jsondecode(output.policy).Statement : statement.Action[0] => statement.Resource } == { "sqs:SendMessage" = ["arn:aws:sqs:eu-central-1:111122223333:demo-uploads", "arn:aws:sqs:eu-central-1:111122223333:demo-events"], "lambda:InvokeFunction" = ["arn:aws:lambda:eu-central-1:111122223333:function:demo-sweep:live"] }
    error_message = "it rings and sweeps, and no more"
  }
}

run "a_cron_reminds_ingest" {
  module {
    source = "../modules/scheduler"
  }

  variables {
    crons = { nightly = { namespace = "ml", name = "train", expression = "cron(0 6 ? * 2-6 *)", timezone = "Europe/Berlin" } }
  }

  assert {
    condition     = jsondecode(aws_scheduler_schedule.cron["nightly"].target[0].input) == { format = 1, remind = { cronWorkflow = { namespace = "ml", name = "train" } } } && aws_scheduler_schedule.cron["nightly"].target[0].arn == var.upload_queue_arn
    error_message = "it names the CronWorkflow, which says what is due"
  }
}

run "bad_schedules_are_refused" {
  command = plan

  module {
    source = "../modules/scheduler"
  }

  variables {
    sweep_minutes = 0.5
    queue_arns    = ["https://sqs"]
    role_arn      = "role"
    crons         = { nightly = { namespace = "ml", name = "train", expression = "0 6 * * 1-5" } }
  }

  expect_failures = [var.sweep_minutes, var.queue_arns, var.role_arn, var.crons]
}

run "a_cron_without_a_queue_is_refused" {
  command = plan

  module {
    source = "../modules/scheduler"
  }

  variables {
    upload_queue_arn = null
    crons            = { nightly = { namespace = "ml", name = "train", expression = "rate(1 day)" } }
  }

  expect_failures = [var.upload_queue_arn]
}

run "a_cron_of_no_namespace_is_refused" {
  command = plan

  module {
    source = "../modules/scheduler"
  }

  variables {
    crons = { nightly = { namespace = "Not A Namespace", name = "train", expression = "rate(1 day)", timezone = "UTC" } }
  }

  expect_failures = [var.crons]
}

run "a_cron_of_no_name_is_refused" {
  command = plan

  module {
    source = "../modules/scheduler"
  }

  variables {
    crons = { nightly = { namespace = "ml", name = "", expression = "rate(1 day)", timezone = "UTC" } }
  }

  expect_failures = [var.crons]
}

run "a_cron_of_a_name_that_is_too_long_is_refused" {
  command = plan

  module {
    source = "../modules/scheduler"
  }

  variables {
    crons = { nightly = { namespace = "ml", name = "a-cron-workflow-whose-name-has-fifty-three-characters", expression = "rate(1 day)", timezone = "UTC" } }
  }

  expect_failures = [var.crons]
}

run "a_cron_of_no_time_zone_is_refused" {
  command = plan

  module {
    source = "../modules/scheduler"
  }

  variables {
    crons = { nightly = { namespace = "ml", name = "train", expression = "rate(1 day)", timezone = "Mars/Base" } }
  }

  expect_failures = [var.crons]
}
