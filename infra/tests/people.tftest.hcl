# What people may, and when somebody is woken.
mock_provider "aws" {
  source = "./mocks"
}

run "policies_fit_into_iam" {
  module {
    source = "../modules/people"
  }

  variables {
    name           = "demo"
    namespaces     = ["team-a", "team-b", "team-c", "team-d"]
    model_prefixes = { team-a = ["models/team-a/"] }
    buckets        = { control = "demo-control", artifacts = "demo-artifacts", uploads = "demo-uploads" }
    queue_arns     = { events = "arn:aws:sqs:eu-central-1:111122223333:demo-events", uploads = "arn:aws:sqs:eu-central-1:111122223333:demo-uploads", dead_letters = ["arn:aws:sqs:eu-central-1:111122223333:demo-events-dead", "arn:aws:sqs:eu-central-1:111122223333:demo-uploads-dead"] }
    functions      = ["demo-ingest", "demo-advance", "demo-sweep"]
    cluster_arn    = "arn:aws:eks:eu-central-1:111122223333:cluster/research"
    repository_arn = "arn:aws:ecr:eu-central-1:111122223333:repository/demo/executor"
    role_arns      = ["arn:aws:iam::111122223333:role/corp/advance"]
  }

  assert {
    condition     = [for statement in jsondecode(output.policies.operate).Statement : statement.Resource if contains(statement.Action, "iam:SimulatePrincipalPolicy")] == [["arn:aws:iam::111122223333:role/demo-*", "arn:aws:iam::111122223333:role/corp/advance"]]
    error_message = "doctor asks IAM about the deployment's roles and no others"
  }

  assert {
    condition = { for statement in jsondecode(output.policies.operate).Statement : statement.Sid => join(" ", sort(statement.Action)) if contains(["Functions", "Buckets", "BucketPolicy", "UploadRule", "Doctor", "Cluster", "ClusterParts"], statement.Sid) } == {
      Functions    = "lambda:GetFunctionConfiguration"
      Buckets      = "s3:GetBucketNotification"
      BucketPolicy = "s3:GetBucketPolicy"
      UploadRule   = "events:DescribeRule events:ListTargetsByRule"
      Doctor       = "ecr:GetAuthorizationToken servicequotas:GetServiceQuota"
      Cluster      = "eks:DescribeCluster eks:ListPodIdentityAssociations"
      ClusterParts = "eks:DescribeAccessEntry eks:DescribeAddon eks:DescribePodIdentityAssociation"
    }
    error_message = "doctor asks no more"
  }

  assert {
    condition     = alltrue([for policy in concat(values(aws_iam_policy.namespace)[*].policy, [aws_iam_policy.operate[0].policy]) : length(policy) <= 6144])
    error_message = "IAM takes 6144 characters"
  }
  assert {
    condition     = alltrue(flatten([for policy in concat(values(output.policies.read), values(output.policies.submit), [output.policies.operate]) : [for statement in jsondecode(policy).Statement : [for action in statement.Action : !strcontains(action, "*")]]]))
    error_message = "actions are named, none by a wildcard"
  }
  assert {
    condition     = alltrue([for namespace, policy in output.policies.submit : [for resource in flatten([for statement in jsondecode(policy).Statement : statement.Resource if contains(statement.Action, "s3:DeleteObject")]) : resource if endswith(split("/", resource)[0], "-artifacts")] == ["arn:aws:s3:::demo-artifacts/${namespace}/*"]])
    error_message = "who deletes a run deletes the artifacts that go with it, in the run's namespace only"
  }
}

run "people_of_a_namespace_see_and_make_its_uploads" {
  module {
    source = "../modules/people"
  }

  variables {
    name                   = "demo"
    namespaces             = ["all", "none", "some"]
    upload_prefixes        = { some = ["some/", "shared/"], none = [] }
    artifact_bucket_shared = false
    buckets                = { control = "demo-control", artifacts = "demo-artifacts", uploads = "demo-uploads" }
    queue_arns             = { events = "arn:aws:sqs:eu-central-1:111122223333:demo-events", uploads = "arn:aws:sqs:eu-central-1:111122223333:demo-uploads", dead_letters = [] }
    functions              = ["demo-ingest"]
    cluster_arn            = "arn:aws:eks:eu-central-1:111122223333:cluster/research"
  }

  assert {
    condition = { for namespace, policy in output.policies.submit : namespace => join(" ", distinct([for resource in flatten([for statement in jsondecode(policy).Statement : statement.Resource if !contains(statement.Action, "s3:ListBucket")]) : resource if startswith(resource, "arn:aws:s3:::demo-uploads")])) } == {
      all  = "arn:aws:s3:::demo-uploads/*"
      none = ""
      some = "arn:aws:s3:::demo-uploads/some/* arn:aws:s3:::demo-uploads/shared/*"
    }
    error_message = "those that its steps read; who puts others would start the triggers of others"
  }
  assert {
    condition = { for namespace, policy in output.policies.read : namespace => [for statement in jsondecode(policy).Statement : [statement.Resource, try(statement.Condition.StringLike["s3:prefix"], "")] if contains(statement.Action, "s3:ListBucket")] } == {
      all  = [[["arn:aws:s3:::demo-control", "arn:aws:s3:::demo-artifacts", "arn:aws:s3:::demo-uploads"], ""]]
      none = [[["arn:aws:s3:::demo-control", "arn:aws:s3:::demo-artifacts"], ""]]
      some = [[["arn:aws:s3:::demo-control", "arn:aws:s3:::demo-artifacts"], ""], [["arn:aws:s3:::demo-uploads"], ["some/*", "shared/*"]]]
    }
    error_message = "and of the upload bucket they list no more than they read"
  }
}

run "in_a_bucket_of_others_people_list_their_folder" {
  module {
    source = "../modules/people"
  }

  variables {
    name        = "demo"
    namespaces  = ["team-a"]
    buckets     = { control = "demo-control", artifacts = "corp-artifacts", uploads = "demo-uploads" }
    queue_arns  = { events = "arn:aws:sqs:eu-central-1:111122223333:demo-events", uploads = "arn:aws:sqs:eu-central-1:111122223333:demo-uploads", dead_letters = [] }
    functions   = ["demo-ingest"]
    cluster_arn = "arn:aws:eks:eu-central-1:111122223333:cluster/research"
  }

  assert {
    condition     = [for statement in jsondecode(output.policies.read["team-a"]).Statement : [statement.Resource, statement.Condition.StringLike["s3:prefix"]] if statement.Sid == "ListArtifacts"] == [[["arn:aws:s3:::corp-artifacts"], ["team-a/*"]]]
    error_message = "what others keep there is not listed"
  }
}

run "bad_prefixes_are_refused" {
  command = plan

  module {
    source = "../modules/people"
  }

  variables {
    name            = "demo"
    namespaces      = ["team-a"]
    upload_prefixes = { team-a = ["/team-a/"] }
    buckets         = { control = "demo-control", artifacts = "demo-artifacts", uploads = "demo-uploads" }
    queue_arns      = { events = "arn:aws:sqs:eu-central-1:111122223333:demo-events", uploads = "arn:aws:sqs:eu-central-1:111122223333:demo-uploads", dead_letters = [] }
    functions       = ["demo-ingest"]
    cluster_arn     = "arn:aws:eks:eu-central-1:111122223333:cluster/research"
  }

  expect_failures = [var.upload_prefixes]
}

run "alarms_wake_somebody" {
  module {
    source = "../modules/observability"
  }

  variables {
    name              = "demo"
    queue_names       = { uploads = "demo-uploads", events = "demo-events" }
    dead_letter_names = { uploads = "demo-uploads-dead", events = "demo-events-dead" }
    function_names    = { ingest = "demo-ingest", advance = "demo-advance", sweep = "demo-sweep" }
    emails            = ["someone@example.com"]
  }

  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.this) == ["dead-events", "dead-uploads", "namespaces-refused", "old-events", "old-uploads", "pods-stuck", "runs-failed", "runs-stuck", "sweep-missing"]
    error_message = "dead letters, messages that wait, namespaces that nobody sees, pods that do not start, runs that failed or do not move, a sweep that never comes"
  }
  assert {
    condition = { for name, alarm in aws_cloudwatch_metric_alarm.this : name => join(" ", [alarm.comparison_operator, alarm.threshold, alarm.period, alarm.evaluation_periods, coalesce(alarm.datapoints_to_alarm, 0), alarm.treat_missing_data]) if contains(["namespaces-refused", "old-events", "pods-stuck", "runs-stuck", "sweep-missing"], name) } == {
      namespaces-refused = "GreaterThanThreshold 0 900 3 2 notBreaching"
      old-events         = "GreaterThanThreshold 1200 60 1 0 notBreaching"
      pods-stuck         = "GreaterThanThreshold 0 60 10 8 notBreaching"
      runs-stuck         = "GreaterThanThreshold 0 900 2 1 notBreaching"
      sweep-missing      = "LessThanThreshold 1 300 1 0 breaching"
    }
    error_message = "a message that is put off for 15 minutes wakes nobody, nor does one sweep that is late; none for five minutes does"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["sweep-missing"].dimensions == tomap({ FunctionName = "demo-sweep" })
    error_message = "it is this stack's sweep that is missed"
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_actions == toset([output.topic_arn])])
    error_message = "each tells the topic"
  }
  assert {
    condition     = alltrue([for name in ["namespaces-refused", "pods-stuck", "runs-failed", "runs-stuck"] : aws_cloudwatch_metric_alarm.this[name].dimensions == tomap({ Stack = "demo" })])
    error_message = "another stack's runs in the same account wake nobody here"
  }
  assert {
    condition     = alltrue(flatten([for widget in slice(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets, 0, 2) : [for metric in widget.properties.metrics : slice(metric, 2, 4) == ["Stack", "demo"]]]))
    error_message = "the dashboard shows this stack's runs"
  }
  assert {
    condition     = jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets[1].properties.metrics == [["Dropforge", "NamespacesRefused", "Stack", "demo"]]
    error_message = "and the namespaces that nobody sees"
  }
  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 7
    error_message = "one look at all of it"
  }
}

run "alarms_keep_step_with_a_slower_sweep" {
  module {
    source = "../modules/observability"
  }

  variables {
    name              = "demo"
    queue_names       = { uploads = "demo-uploads", events = "demo-events" }
    dead_letter_names = { uploads = "demo-uploads-dead", events = "demo-events-dead" }
    function_names    = { ingest = "demo-ingest", advance = "demo-advance", sweep = "demo-sweep" }
    sweep_minutes     = 5
    max_receive_count = 7
  }

  assert {
    condition     = strcontains(aws_cloudwatch_metric_alarm.this["dead-events"].alarm_description, "failed 7 times")
    error_message = "the alarm says how often a message has failed"
  }

  assert {
    condition = { for name in ["pods-stuck", "sweep-missing"] : name => join(" ", [aws_cloudwatch_metric_alarm.this[name].period, aws_cloudwatch_metric_alarm.this[name].evaluation_periods, coalesce(aws_cloudwatch_metric_alarm.this[name].datapoints_to_alarm, 0)]) } == {
      pods-stuck    = "300 2 2"
      sweep-missing = "600 1 0"
    }
    error_message = "what a sweep tells every five minutes is looked at in periods of five minutes"
  }
}

run "bad_addresses_are_refused" {
  command = plan

  module {
    source = "../modules/observability"
  }

  variables {
    name                   = "demo"
    queue_names            = {}
    dead_letter_names      = {}
    function_names         = { ingest = "demo-ingest" }
    topic_arn              = "alarms"
    emails                 = ["someone"]
    sweep_minutes          = 16
    oldest_message_minutes = 0
    max_receive_count      = 0
  }

  expect_failures = [var.function_names, var.topic_arn, var.emails, var.sweep_minutes, var.oldest_message_minutes, var.max_receive_count]
}

run "bad_endpoints_are_refused" {
  command = plan

  module {
    source = "../modules/network-endpoints"
  }

  variables {
    name               = "demo"
    vpc_id             = "10.0.0.0/16"
    route_table_ids    = []
    client_cidr_blocks = ["0.0.0.0/0"]
  }

  expect_failures = [var.vpc_id, var.subnet_ids, var.route_table_ids, var.client_cidr_blocks]
}

run "the_s3_gateway_alone_costs_nothing" {
  module {
    source = "../modules/network-endpoints"
  }

  variables {
    name               = "demo"
    vpc_id             = "vpc-1"
    route_table_ids    = ["rtb-1"]
    client_cidr_blocks = ["10.0.0.0/16"]
    interfaces         = []
  }

  assert {
    condition     = length(aws_vpc_endpoint.interface) == 0 && length(aws_security_group.this) == 0 && aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway"
    error_message = "no interface endpoint"
  }
}

run "a_cluster_without_access_entries_is_refused" {
  command = plan

  module {
    source = "../modules/eks-access"
  }

  variables {
    cluster_name        = "arn:aws:eks:eu-central-1:111122223333:cluster/research"
    authentication_mode = "CONFIG_MAP"
    role_arns           = {}
    kubernetes_group    = "system:masters"
  }

  expect_failures = [var.cluster_name, var.authentication_mode, var.kubernetes_group]
}

run "an_entry_gives_a_group_and_no_more" {
  module {
    source = "../modules/eks-access"
  }

  variables {
    cluster_name = "research"
    role_arns    = { advance = "arn:aws:iam::111122223333:role/demo-advance" }
  }

  assert {
    condition     = aws_eks_access_entry.this["advance"].kubernetes_groups == toset(["dropforge:dispatcher"]) && aws_eks_access_entry.this["advance"].type == "STANDARD"
    error_message = "RBAC says what the group may"
  }
}
