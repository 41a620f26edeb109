# How the functions are called, and that each may no more than it does. What the policies allow key by key is asked by
# the policy tests of tests/infra.
mock_provider "aws" {
  source = "./mocks"
}

variables {
  name           = "demo"
  package_folder = "./packages"
  buckets        = { control = "demo-control", artifacts = "demo-artifacts", uploads = "demo-uploads" }
  queues = {
    uploads = { url = "https://sqs.eu-central-1.amazonaws.com/111122223333/demo-uploads", arn = "arn:aws:sqs:eu-central-1:111122223333:demo-uploads" }
    events  = { url = "https://sqs.eu-central-1.amazonaws.com/111122223333/demo-events", arn = "arn:aws:sqs:eu-central-1:111122223333:demo-events" }
  }
  scheduler = {
    group     = "demo"
    group_arn = "arn:aws:scheduler:eu-central-1:111122223333:schedule-group/demo"
    role_arn  = "arn:aws:iam::111122223333:role/demo-scheduler"
  }
  cluster        = { name = "research", endpoint = "https://0.eks.amazonaws.com", certificate_authority = "LS0tLS1CRUdJTg==" }
  namespaces     = ["team-b", "team-a"]
  executor_image = "repository/executor:1"
}

run "batches_may_fail_in_part_and_are_bounded" {
  module {
    source = "../modules/functions"
  }

  assert {
    condition     = alltrue([for mapping in aws_lambda_event_source_mapping.this : mapping.function_response_types == toset(["ReportBatchItemFailures"])])
    error_message = "one bad message takes no other with it"
  }
  assert {
    condition     = { for function, mapping in aws_lambda_event_source_mapping.this : function => mapping.scaling_config[0].maximum_concurrency } == { advance = 50, ingest = 10 }
    error_message = "no flood takes the account's concurrency"
  }
  assert {
    condition     = { for function, mapping in aws_lambda_event_source_mapping.this : function => mapping.event_source_arn } == { advance = var.queues.events.arn, ingest = var.queues.uploads.arn }
    error_message = "doorbells go to advance, uploads to ingest"
  }
  assert {
    condition     = alltrue([for mapping in aws_lambda_event_source_mapping.this : endswith(mapping.function_name, ":live")])
    error_message = "the alias is called, so that an upgrade is one move"
  }
  assert {
    condition     = keys(aws_lambda_function_recursion_config.allow) == ["advance", "sweep"]
    error_message = "Lambda would stop a run at its seventeenth ring of its own"
  }
}

run "each_function_knows_its_deployment" {
  module {
    source = "../modules/functions"
  }

  assert {
    condition = output.environments.advance == {
      DROPFORGE_STACK              = "demo"
      DROPFORGE_CONTROL_BUCKET     = "demo-control"
      DROPFORGE_ARTIFACT_BUCKET    = "demo-artifacts"
      DROPFORGE_EVENTS_QUEUE_URL   = var.queues.events.url
      DROPFORGE_EVENTS_QUEUE_ARN   = var.queues.events.arn
      DROPFORGE_UPLOAD_QUEUE_URL   = var.queues.uploads.url
      DROPFORGE_UPLOAD_QUEUE_ARN   = var.queues.uploads.arn
      DROPFORGE_SCHEDULE_GROUP     = "demo"
      DROPFORGE_SCHEDULER_ROLE_ARN = var.scheduler.role_arn
      DROPFORGE_NAMESPACES         = "team-a,team-b"
      DROPFORGE_EXECUTOR_IMAGE     = "repository/executor:1"
      DROPFORGE_CLUSTER_NAME       = "research"
      DROPFORGE_CLUSTER_ENDPOINT   = "https://0.eks.amazonaws.com"
      DROPFORGE_CLUSTER_CA         = "LS0tLS1CRUdJTg=="
    }
    error_message = "advance makes pods itself where no dispatch is used"
  }
  assert {
    condition     = !contains(keys(output.environments.ingest), "DROPFORGE_CLUSTER_NAME") && keys(output.cluster_role_arns) == ["advance", "sweep"]
    error_message = "ingest never talks to Kubernetes"
  }
  assert {
    condition     = alltrue([for function in aws_lambda_function.this : function.architectures == tolist(["arm64"]) && function.runtime == "provided.al2023" && function.timeout == 60 && function.publish])
    error_message = "arm64 by default"
  }
  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.this : group.retention_in_days == 30])
    error_message = "no log is kept for ever"
  }
}

run "a_function_that_fails_or_is_throttled_wakes_somebody" {
  module {
    source = "../modules/functions"
  }

  variables {
    dispatch         = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
    alarm_topic_arns = ["arn:aws:sns:eu-central-1:111122223333:demo"]
  }

  assert {
    condition = { for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name => join(" ", [alarm.namespace, alarm.metric_name, alarm.dimensions.FunctionName]) } == {
      for pair in setproduct(["advance", "dispatch", "ingest", "sweep"], ["Errors", "Throttles"]) : "demo-${pair[0]}-${lower(pair[1])}" => "AWS/Lambda ${pair[1]} demo-${pair[0]}"
    }
    error_message = "each function has both"
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : join(" ", [alarm.statistic, alarm.comparison_operator, alarm.threshold, alarm.period, alarm.evaluation_periods, alarm.treat_missing_data]) == "Sum GreaterThanThreshold 0 60 3 notBreaching"])
    error_message = "three minutes one after the other, in each of which one call fails; no call is no failure"
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_actions == toset(var.alarm_topic_arns) && alarm.ok_actions == toset(var.alarm_topic_arns)])
    error_message = "the topic is told when it begins and when it is over"
  }
}

run "a_private_cluster_is_reached_by_dispatch_alone" {
  module {
    source = "../modules/functions"
  }

  variables {
    dispatch = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  }

  assert {
    condition     = keys(output.cluster_role_arns) == ["dispatch"] && !contains(keys(output.environments.advance), "DROPFORGE_CLUSTER_NAME")
    error_message = "dispatch alone has an entry in the cluster"
  }
  assert {
    condition     = keys(output.environments.dispatch) == ["DROPFORGE_CLUSTER_CA", "DROPFORGE_CLUSTER_ENDPOINT", "DROPFORGE_CLUSTER_NAME", "DROPFORGE_NAMESPACES"]
    error_message = "dispatch knows the cluster and nothing else"
  }
  assert {
    condition     = [for statement in jsondecode(output.policies.dispatch).Statement : statement.Sid] == ["OwnLogs", "NetworkInterfaces"]
    error_message = "dispatch reaches no bucket and no queue, so that the VPC needs no endpoint for it"
  }
  assert {
    condition     = { for function, of in aws_lambda_function.this : function => length(of.vpc_config) } == { advance = 0, dispatch = 1, ingest = 0, sweep = 0 }
    error_message = "the others stay outside the VPC, where AWS's services cost no endpoint"
  }
  assert {
    condition     = output.environments.advance.DROPFORGE_DISPATCH_FUNCTION == "arn:aws:lambda:eu-central-1:111122223333:function:demo-dispatch:live" && output.environments.sweep.DROPFORGE_DISPATCH_FUNCTION == output.environments.advance.DROPFORGE_DISPATCH_FUNCTION
    error_message = "both ask dispatch"
  }
}

run "or_all_stand_in_the_vpc" {
  module {
    source = "../modules/functions"
  }

  variables {
    vpc = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  }

  assert {
    condition     = { for function, of in aws_lambda_function.this : function => length(of.vpc_config) } == { advance = 1, ingest = 1, sweep = 1 }
    error_message = "an account may forbid functions outside of a VPC"
  }
  assert {
    condition     = { for function, policy in output.policies : function => strcontains(policy, "ec2:CreateNetworkInterface") } == { advance = true, ingest = true, sweep = true }
    error_message = "who stands in the VPC makes its interfaces there"
  }
}

run "not_by_both" {
  command = plan

  module {
    source = "../modules/functions"
  }

  variables {
    vpc      = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
    dispatch = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  }

  expect_failures = [var.vpc]
}

run "no_policy_says_everything" {
  module {
    source = "../modules/functions"
  }

  variables {
    dispatch                   = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
    tracing                    = "Active"
    entrypoint_repository_arns = ["arn:aws:ecr:eu-central-1:111122223333:repository/*"]
  }

  assert {
    condition     = alltrue(flatten([for policy in output.policies : [for statement in jsondecode(policy).Statement : [for action in statement.Action : !strcontains(action, "*")]]]))
    error_message = "actions are named, none by a wildcard"
  }
  assert {
    condition     = toset(flatten([for policy in output.policies : [for statement in jsondecode(policy).Statement : statement.Sid if contains(statement.Resource, "*")]])) == toset(["ListSchedules", "NetworkInterfaces", "RegistryLogin", "Traces"])
    error_message = "only actions that AWS knows for no single resource have all"
  }
  assert {
    condition     = alltrue(flatten([for policy in output.policies : [for statement in jsondecode(policy).Statement : statement.Condition.StringEquals["iam:PassedToService"] == "scheduler.amazonaws.com" if contains(statement.Action, "iam:PassRole")]]))
    error_message = "the scheduler's role is lent to the scheduler alone"
  }
}

run "what_given_roles_need_is_known_before_the_functions_are_made" {
  command = plan

  module {
    source = "../modules/functions"
  }

  variables {
    role_arns = { for function in ["ingest", "advance", "sweep"] : function => "arn:aws:iam::111122223333:role/corp/${function}" }
    vpc       = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  }

  assert {
    condition     = alltrue([for policy in values(output.policies) : length(jsondecode(policy).Statement) > 0])
    error_message = "Lambda refuses a mapping, and a function in a VPC, while its role may not do what they need"
  }
  assert {
    condition     = output.functions.sweep.alias_arn == "arn:aws:lambda:eu-central-1:111122223333:function:demo-sweep:live"
    error_message = "what the schedules' role may call is known too"
  }
}

run "given_roles_are_used_and_not_written" {
  module {
    source = "../modules/functions"
  }

  variables {
    role_arns                = { ingest = "arn:aws:iam::111122223333:role/corp/ingest", advance = "arn:aws:iam::111122223333:role/corp/advance" }
    iam_path                 = "/dropforge/"
    permissions_boundary_arn = "arn:aws:iam::111122223333:policy/boundary"
  }

  assert {
    condition     = keys(aws_iam_role.this) == ["sweep"] && keys(aws_iam_role_policy.this) == ["sweep"]
    error_message = "only the role that was not given is made"
  }
  assert {
    condition     = aws_iam_role.this["sweep"].path == "/dropforge/" && aws_iam_role.this["sweep"].permissions_boundary == var.permissions_boundary_arn
    error_message = "within the boundary, below the path"
  }
  assert {
    condition     = aws_lambda_function.this["ingest"].role == "arn:aws:iam::111122223333:role/corp/ingest" && length(jsondecode(output.policies.ingest).Statement) > 0
    error_message = "its owner is told what it needs"
  }
}

run "an_alias_can_stay_behind" {
  module {
    source = "../modules/functions"
  }

  variables {
    pinned_versions = { advance = "3" }
  }

  assert {
    condition     = { for function, alias in aws_lambda_alias.live : function => alias.function_version } == { advance = "3", ingest = "7", sweep = "7" }
    error_message = "the way back after an upgrade"
  }
}

run "in_a_bucket_of_others_the_functions_reach_their_namespaces_alone" {
  command = plan

  module {
    source = "../modules/functions"
  }

  assert {
    condition     = one([for statement in jsondecode(output.policies.advance).Statement : statement.Resource if statement.Sid == "Artifacts"]) == ["arn:aws:s3:::demo-artifacts/team-a/*", "arn:aws:s3:::demo-artifacts/team-b/*"]
    error_message = "what another stack keeps there is not theirs"
  }
  assert {
    condition     = [for statement in jsondecode(output.policies.advance).Statement : statement.Condition if statement.Sid == "ListArtifacts"] == [{ StringLike = { "s3:prefix" = ["team-a/*", "team-b/*"] } }]
    error_message = "nor is it listed"
  }
}

run "in_a_bucket_of_the_stacks_own_they_name_no_namespace" {
  command = plan

  module {
    source = "../modules/functions"
  }

  variables {
    artifact_bucket_shared = false
  }

  assert {
    condition = { for statement in jsondecode(output.policies.advance).Statement : statement.Sid => [statement.Resource, can(statement.Condition)] if contains(["Artifacts", "ListArtifacts"], statement.Sid) } == {
      Artifacts     = [["arn:aws:s3:::demo-artifacts/*"], false]
      ListArtifacts = [["arn:aws:s3:::demo-artifacts"], false]
    }
    error_message = "its policy does not grow with the namespaces"
  }
}

run "ingest_reads_the_uploads_that_it_is_told_of" {
  command = plan

  module {
    source = "../modules/functions"
  }

  variables {
    upload_prefixes = ["churn/", "churn/new/", "day=1/"]
  }

  assert {
    condition = { for statement in jsondecode(output.policies.ingest).Statement : statement.Sid => statement.Resource if strcontains(statement.Sid, "Uploads") } == {
      ReadUploads = ["arn:aws:s3:::demo-uploads/churn/*", "arn:aws:s3:::demo-uploads/day=1/*"]
      ListUploads = ["arn:aws:s3:::demo-uploads"]
    }
    error_message = "and no others; one that is gone is told to be missing, not forbidden"
  }
  assert {
    condition     = length([for function in ["advance", "sweep"] : function if strcontains(output.policies[function], "demo-uploads/")]) == 0
    error_message = "the other functions read no upload"
  }
}

run "all_uploads_are_all" {
  command = plan

  module {
    source = "../modules/functions"
  }

  variables {
    upload_prefixes = ["", "churn/"]
  }

  assert {
    condition     = one([for statement in jsondecode(output.policies.ingest).Statement : statement.Resource if statement.Sid == "ReadUploads"]) == ["arn:aws:s3:::demo-uploads/*"]
    error_message = "a bucket whose uploads are all told of is read whole"
  }
}

run "more_namespaces_than_fit_into_a_policy_are_refused" {
  command = plan

  module {
    source = "../modules/functions"
  }

  variables {
    namespaces = [for number in range(200) : "research-team-number-${number}"]
  }

  expect_failures = [aws_iam_role_policy.this]
}

run "more_namespaces_than_fit_into_an_environment_are_refused" {
  command = plan

  module {
    source = "../modules/functions"
  }

  variables {
    artifact_bucket_shared = false
    namespaces             = [for number in range(200) : "research-team-number-${number}"]
  }

  expect_failures = [aws_lambda_function.this]
}

run "bad_input_is_refused" {
  command = plan

  module {
    source = "../modules/functions"
  }

  variables {
    name                       = "demo-"
    cluster                    = { name = "research", endpoint = "0.eks.amazonaws.com", certificate_authority = "-----BEGIN" }
    namespaces                 = ["Team_A"]
    pod_defaults               = "[]"
    workflow_defaults          = jsonencode({ templates = [] })
    days_max                   = 0
    memory_megabytes           = { advance = 64 }
    timeout_seconds            = 5
    batches                    = { advance = { size = 100 } }
    pinned_versions            = { advance = "$LATEST" }
    environment                = { DROPFORGE_NAMESPACES = "x" }
    role_arns                  = { advance = "advance-role" }
    iam_path                   = "dropforge"
    log_retention_days         = 31
    tracing                    = "Off"
    entrypoint_repository_arns = ["repository"]
    kms_key_arns               = { others = ["alias/logs"] }
    model_prefixes             = ["models"]
    upload_prefixes            = ["*.csv"]
    permissions_boundary_arn   = "boundary"
  }

  expect_failures = [
    var.name, var.cluster, var.namespaces, var.pod_defaults, var.workflow_defaults, var.days_max, var.memory_megabytes, var.timeout_seconds, var.batches, var.pinned_versions,
    var.environment, var.role_arns, var.iam_path, var.log_retention_days, var.tracing, var.entrypoint_repository_arns, var.kms_key_arns, var.model_prefixes,
    var.permissions_boundary_arn, var.upload_prefixes,
  ]
}

run "a_missing_package_is_named" {
  command = plan

  module {
    source = "../modules/functions"
  }

  variables {
    package_folder = "./mocks"
  }

  expect_failures = [var.package_folder]
}

run "a_reservation_below_the_batches_is_refused" {
  command = plan

  module {
    source = "../modules/functions"
  }

  variables {
    reserved_concurrency = { advance = 5 }
  }

  expect_failures = [var.reserved_concurrency]
}

run "one_role_is_not_two" {
  command = plan

  module {
    source = "../modules/functions"
  }

  variables {
    role_arns = { ingest = "arn:aws:iam::111122223333:role/one", advance = "arn:aws:iam::111122223333:role/one" }
  }

  expect_failures = [var.role_arns]
}
