# A whole stack, as the policy tests of tests/infra read it; and what is refused before anything is made.
mock_provider "aws" {
  source = "./mocks"

  override_resource {
    target = module.queues.aws_sqs_queue.this["uploads"]
    values = { id = "https://sqs.eu-central-1.amazonaws.com/111122223333/demo-uploads", arn = "arn:aws:sqs:eu-central-1:111122223333:demo-uploads" }
  }
  override_resource {
    target = module.queues.aws_sqs_queue.this["events"]
    values = { id = "https://sqs.eu-central-1.amazonaws.com/111122223333/demo-events", arn = "arn:aws:sqs:eu-central-1:111122223333:demo-events" }
  }
  override_resource {
    target = module.scheduler.aws_iam_role.this[0]
    values = { arn = "arn:aws:iam::111122223333:role/demo-scheduler" }
  }
}

variables {
  name           = "demo"
  package_folder = "./packages"
  cluster_name   = "research"
}

run "rendered" {
  module {
    source = "../modules/dropforge"
  }

  variables {
    bucket_names = { control = "demo-control", artifacts = "demo-artifacts", uploads = "uploads" }
    kms_key_arns = {
      storage   = "arn:aws:kms:eu-central-1:111122223333:key/storage"
      queues    = "arn:aws:kms:eu-central-1:111122223333:key/queues"
      schedules = "arn:aws:kms:eu-central-1:111122223333:key/schedules"
      others    = ["arn:aws:kms:eu-central-1:111122223333:key/models"]
    }
    # What is put elsewhere in the bucket rings nobody.
    upload_filters = [{ prefix = "churn/", suffix = ".csv" }]
    namespaces = {
      team-a = { model_prefixes = ["models/train-until-accurate/"], upload_prefixes = ["churn/"] }
      team-b = { upload_prefixes = ["team-b/"] }
    }
  }

  assert {
    condition     = output.dropforge.format == 1 && output.dropforge.namespaces.team-a.service_account == "dropforge-step"
    error_message = "one value holds all that deploy reads"
  }
  assert {
    condition     = jsonencode({ for namespace, of in output.dropforge.namespaces : namespace => of.upload_prefixes }) == jsonencode({ team-a = ["churn/"], team-b = ["team-b/"] })
    error_message = "doctor asks whether steps may read these uploads"
  }
  assert {
    condition = jsonencode(output.dropforge.kms_key_arns) == jsonencode({
      buckets   = ["arn:aws:kms:eu-central-1:111122223333:key/storage", "arn:aws:kms:eu-central-1:111122223333:key/models"]
      queues    = ["arn:aws:kms:eu-central-1:111122223333:key/queues"]
      schedules = ["arn:aws:kms:eu-central-1:111122223333:key/schedules"]
    })
    error_message = "doctor asks whether roles and people may use the keys"
  }
  assert {
    condition     = output.dropforge.upload_notification == "queue" && output.dropforge.upload_rule == null
    error_message = "doctor asks whether the upload bucket tells the queue"
  }
  assert {
    condition     = output.dropforge.kubernetes_group == "demo:dispatcher"
    error_message = "two stacks in one cluster are two groups of Kubernetes"
  }
  assert {
    condition     = alltrue([for function in ["advance", "ingest", "sweep"] : module.functions.environments[function].DROPFORGE_STACK == "demo"])
    error_message = "the functions' metrics carry the name that the alarms look for"
  }
  assert {
    condition = jsondecode(module.functions.environments.advance.DROPFORGE_POD_DEFAULTS) == {
      annotations = { "karpenter.sh/do-not-disrupt" = "true" }
      spec        = { serviceAccountName = "dropforge-step", automountServiceAccountToken = false }
    }
    error_message = "steps run as the account that gets the role, hold no token of Kubernetes, and are not moved to save money"
  }
}

run "one_filter_for_what_is_told_however_it_is_told" {
  module {
    source = "../modules/dropforge"
  }

  variables {
    upload_notification = "eventbridge"
    upload_filters      = [{ prefix = "churn/", suffix = ".csv" }]
    namespaces          = { team-b = { upload_prefixes = ["team-b/"] } }
    existing_buckets    = { artifacts = "corp-artifacts", uploads = "corp-uploads" }
  }

  override_data {
    target = module.storage.data.aws_s3_bucket.existing
    values = { region = "eu-central-1" }
  }

  assert {
    condition     = jsondecode(module.queues.upload_pattern).detail == { bucket = { name = ["corp-uploads"] }, object = { key = [{ wildcard = "churn/*.csv" }] } }
    error_message = "of what others keep in their bucket the queue is told nothing"
  }
  assert {
    condition     = one([for statement in jsondecode(output.policies.functions.ingest).Statement : statement.Resource if statement.Sid == "ReadUploads"]) == ["arn:aws:s3:::corp-uploads/churn/*", "arn:aws:s3:::corp-uploads/team-b/*"]
    error_message = "ingest reads what it may be told of, and what steps read"
  }
  assert {
    condition     = alltrue([for policy in [output.policies.functions.advance, output.policies.people.read["team-b"]] : one([for statement in jsondecode(policy).Statement : statement.Condition.StringLike["s3:prefix"] if statement.Sid == "ListArtifacts"]) == ["team-b/*"]])
    error_message = "what others keep beside the artifacts is listed by nobody"
  }
}

run "a_hundred_namespaces_fit_into_every_policy" {
  module {
    source = "../modules/dropforge"
  }

  variables {
    bucket_names = { control = "demo-control", artifacts = "demo-artifacts", uploads = "uploads" }
    namespaces   = { for number in range(100) : "research-team-number-${number}" => {} }
  }

  assert {
    condition     = length(module.people.policies.operate) <= 6144 && alltrue([for who in ["read", "submit"] : alltrue([for policy in values(module.people.policies[who]) : length(policy) <= 6144])])
    error_message = "IAM takes 6144 characters of a policy of its own"
  }
  assert {
    condition     = alltrue([for policy in concat(values(output.policies.functions), values(output.policies.steps), [output.policies.scheduler]) : length(policy) <= 10240])
    error_message = "IAM takes 10240 characters of a role's inline policy"
  }
}

run "fifty_namespaces_fit_beside_a_certificate_as_long_as_eks_makes_them" {
  module {
    source = "../modules/dropforge"
  }

  variables {
    cluster_name = null
    cluster = {
      name                  = "research"
      arn                   = "arn:aws:eks:eu-central-1:111122223333:cluster/research"
      endpoint              = "https://0123456789ABCDEF0123456789ABCDEF.gr7.eu-central-1.eks.amazonaws.com"
      certificate_authority = base64encode(join("", [for line in range(110) : "0123456789"]))
    }
    namespaces = { for number in range(50) : "research-team-number-${number}" => {} }
  }

  assert {
    condition     = alltrue([for environment in values(module.functions.environments) : length(jsonencode(environment)) <= 4096])
    error_message = "Lambda takes 4 KB of environment"
  }
}

run "keys_of_buckets_that_were_there_are_used_by_all_who_read_them" {
  command = plan

  module {
    source = "../modules/dropforge"
  }

  variables {
    kms_key_arns = { queues = "arn:aws:kms:eu-central-1:111122223333:key/queues", others = ["arn:aws:kms:eu-central-1:111122223333:key/datalake"] }
  }

  assert {
    condition = alltrue([for policies in [values(module.functions.policies), values(module.pod_identity.policies), values(module.people.policies.read), values(module.people.policies.submit)] : alltrue([
      for policy in policies : one([for statement in jsondecode(policy).Statement : statement.Resource if statement.Sid == "Keys"]) == ["arn:aws:kms:eu-central-1:111122223333:key/queues", "arn:aws:kms:eu-central-1:111122223333:key/datalake"]
    ])])
    error_message = "functions, steps and people reach what lies under that key"
  }
}

run "a_cluster_that_is_not_there_is_told_with_those_that_are" {
  command = plan

  module {
    source = "../modules/dropforge"
  }

  variables {
    cluster_name = "reserch"
  }

  expect_failures = [data.aws_eks_cluster.this]
}

run "a_name_with_other_characters_is_refused" {
  command = plan

  module {
    source = "../modules/dropforge"
  }

  variables {
    name = "My_Stack"
  }

  expect_failures = [var.name]
}

run "a_name_that_is_too_long_for_a_buckets_is_refused" {
  command = plan

  module {
    source = "../modules/dropforge"
  }

  variables {
    name = "a-name-of-twenty-one-x"
  }

  expect_failures = [var.name]
}

run "runs_that_start_by_themselves_have_the_deployments_defaults" {
  command = plan

  module {
    source = "../modules/dropforge"
  }

  variables {
    days_max          = 30
    retention_days    = { journals = 45 }
    workflow_defaults = jsonencode({ spec = { activeDeadlineSeconds = 86400 } })
  }

  assert {
    condition     = module.functions.environments.ingest.DROPFORGE_DAYS_MAX == "30" && jsondecode(module.functions.environments.ingest.DROPFORGE_WORKFLOW_DEFAULTS) == { spec = { activeDeadlineSeconds = 86400 } }
    error_message = "ingest, which makes them, knows both"
  }
  assert {
    condition     = output.dropforge.days_max == 30
    error_message = "who submits knows how long a run may last"
  }
}

run "what_others_make_is_left_to_them" {
  module {
    source = "../modules/dropforge"
  }

  variables {
    cluster_name              = null
    cluster                   = { name = "research", arn = "arn:aws:eks:eu-central-1:111122223333:cluster/research", endpoint = "https://0.eks.amazonaws.com", certificate_authority = "LS0tLS1CRUdJTg==", authentication_mode = "CONFIG_MAP" }
    access_entries            = false
    pod_identity_associations = false
    people_policies           = false
  }

  assert {
    condition     = length(module.people.policy_arns.read) == 0 && module.people.policy_arns.operate == null && length(output.policies.people.submit.dropforge) > 0
    error_message = "what people may is said, and no policy made"
  }
  assert {
    condition     = output.dropforge.kubernetes_group == "demo:dispatcher"
    error_message = "whoever lets the roles in knows as which group"
  }
}

run "the_stacks_numbers_reach_their_modules" {
  module {
    source = "../modules/dropforge"
  }

  variables {
    timeout_seconds        = 120
    sweep_minutes          = 5
    message_retention_days = 14
    max_receive_count      = 7
    oldest_message_minutes = 30
    control_versioning     = true
    kms_key_arns           = { alarms = "arn:aws:kms:eu-central-1:111122223333:key/alarms" }
  }

  assert {
    condition     = strcontains(output.kms_key_statements.alarms, "cloudwatch.amazonaws.com") && output.kms_key_statements.queues == null
    error_message = "the topic has a key, which lets CloudWatch publish"
  }
  assert {
    condition     = module.queues.settings == { visibility_timeout_seconds = 720, message_retention_days = 14, max_receive_count = 7 }
    error_message = "the queues know how long a call lasts, and keep messages for as long as is asked"
  }
}

run "either_a_name_or_a_cluster" {
  command = plan

  module {
    source = "../modules/dropforge"
  }

  variables {
    cluster_name = null
    namespaces   = { default = { pod_security = "strict" } }
    pod_defaults = "[1]"
  }

  expect_failures = [var.cluster_name, var.namespaces, var.pod_defaults]
}

run "a_cluster_of_another_region_is_refused" {
  command = plan

  module {
    source = "../modules/dropforge"
  }

  variables {
    cluster_name = null
    cluster      = { name = "research", arn = "arn:aws:eks:us-east-1:111122223333:cluster/research", endpoint = "https://0.eks.amazonaws.com", certificate_authority = "LS0tLS1CRUdJTg==" }
  }

  expect_failures = [data.aws_region.current]
}

run "a_cluster_of_another_account_is_refused" {
  command = plan

  module {
    source = "../modules/dropforge"
  }

  variables {
    cluster_name = null
    cluster      = { name = "research", arn = "arn:aws:eks:eu-central-1:444455556666:cluster/research", endpoint = "https://0.eks.amazonaws.com", certificate_authority = "LS0tLS1CRUdJTg==" }
  }

  expect_failures = [data.aws_caller_identity.current]
}

run "a_clusters_arn_is_no_keys" {
  command = plan

  module {
    source = "../modules/dropforge"
  }

  variables {
    cluster_name = null
    cluster      = { name = "research", arn = "arn:aws:kms:eu-central-1:111122223333:key/research", endpoint = "https://0.eks.amazonaws.com", certificate_authority = "LS0tLS1CRUdJTg==" }
  }

  expect_failures = [var.cluster]
}

run "a_clusters_arn_is_that_of_its_name" {
  command = plan

  module {
    source = "../modules/dropforge"
  }

  variables {
    cluster_name = null
    cluster      = { name = "research", arn = "arn:aws:eks:eu-central-1:111122223333:cluster/shop", endpoint = "https://0.eks.amazonaws.com", certificate_authority = "LS0tLS1CRUdJTg==" }
  }

  expect_failures = [var.cluster]
}

run "a_key_of_another_region_is_refused" {
  command = plan

  module {
    source = "../modules/dropforge"
  }

  variables {
    kms_key_arns = { queues = "arn:aws:kms:us-east-1:111122223333:key/queues", others = ["arn:aws:kms:us-east-1:111122223333:key/datalake"] }
  }

  expect_failures = [data.aws_region.current]
}

run "a_version_that_is_no_images_tag_is_refused" {
  command = plan

  module {
    source = "../modules/dropforge"
  }

  variables {
    executor_version = "a b"
  }

  expect_failures = [var.executor_version]
}

run "a_pull_secret_that_kubernetes_refuses_is_refused" {
  command = plan

  module {
    source = "../modules/dropforge"
  }

  variables {
    namespaces = { ml = { pull_secrets = ["registry", "My Secret"] } }
  }

  expect_failures = [var.namespaces]
}
