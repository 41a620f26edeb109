# The examples plan as they are.
mock_provider "aws" {
  source = "./mocks"
}

run "minimal" {
  command = plan

  module {
    source = "../examples/minimal"
  }

  variables {
    region         = "eu-central-1"
    cluster_name   = "research"
    package_folder = "./packages"
  }
}

run "an_executor_is_named_by_its_version" {
  module {
    source = "../examples/minimal"
  }

  variables {
    region           = "eu-central-1"
    cluster_name     = "research"
    package_folder   = "./packages"
    executor_version = "0.2.0"
  }

  assert {
    condition     = endswith(module.dropforge.dropforge.executor_image, ":0.2.0")
    error_message = "an upgrade is one variable"
  }
}

run "teams_are_kept_apart_by_variables_alone" {
  module {
    source = "../examples/minimal"
  }

  variables {
    region         = "eu-central-1"
    cluster_name   = "research"
    package_folder = "./packages"
    namespaces     = { team-a = { upload_prefixes = ["team-a/"], pod_security = "restricted" }, team-b = {} }
  }

  assert {
    condition = { for namespace, of in module.dropforge.dropforge.namespaces : namespace => "${join(" ", of.upload_prefixes)} ${of.pod_security}" } == {
      team-a = "team-a/ restricted"
      team-b = " baseline"
    }
    error_message = "which uploads each namespace reads, and what its pods may"
  }
}

run "complete" {
  command = plan

  module {
    source = "../examples/complete"
  }

  variables {
    package_folder = "./packages"
  }

  assert {
    condition     = keys(module.dropforge.dropforge.functions) == ["advance", "ingest", "sweep"]
    error_message = "its functions create pods from inside the VPC themselves"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.endpoint.from_port == 443 && aws_vpc_security_group_ingress_rule.endpoint.to_port == 443 && aws_security_group.functions.name == "dropforge-functions"
    error_message = "their security group is their own, and the cluster's lets it in on 443"
  }
}

run "corporate" {
  command = plan

  module {
    source = "../examples/corporate"
  }

  variables {
    region         = "eu-central-1"
    name           = "acme-ml"
    tags           = { owner = "ml-platform", cost-center = "42" }
    package_folder = "./packages"
    cluster = {
      name                  = "acme"
      arn                   = "arn:aws:eks:eu-central-1:111122223333:cluster/acme"
      endpoint              = "https://0123456789ABCDEF.gr7.eu-central-1.eks.amazonaws.com"
      certificate_authority = "LS0tLS1CRUdJTg=="
    }
    subnet_ids         = ["subnet-1", "subnet-2"]
    security_group_ids = ["sg-1"]
    buckets            = { control = "acme-ml-control", artifacts = "acme-ml-artifacts", uploads = "acme-datalake" }
    namespaces = {
      fraud = { role_arn = "arn:aws:iam::111122223333:role/acme/fraud", model_prefixes = ["acme-models/fraud/"], upload_prefixes = ["fraud/"] }
    }
    executor_image = "registry.acme.example/dropforge-executor@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    function_role_arns = {
      ingest  = "arn:aws:iam::111122223333:role/acme/ingest"
      advance = "arn:aws:iam::111122223333:role/acme/advance"
      sweep   = "arn:aws:iam::111122223333:role/acme/sweep"
    }
    scheduler_role_arn       = "arn:aws:iam::111122223333:role/acme/scheduler"
    iam_path                 = "/acme/"
    permissions_boundary_arn = "arn:aws:iam::111122223333:policy/acme-boundary"
    kms_key_arn              = "arn:aws:kms:eu-central-1:111122223333:key/k1"
    alarm_topic_arn          = "arn:aws:sns:eu-central-1:111122223333:acme-alarms"
  }

  override_data {
    target = module.dropforge.module.storage.data.aws_s3_bucket.existing
    values = { region = "eu-central-1" }
  }

  assert {
    condition     = strcontains(output.bucket_policies.control, "CreateOnly") && strcontains(output.kms_key_statements, "events.amazonaws.com")
    error_message = "the owners are told what to add"
  }
  assert {
    condition = [for statement in jsondecode(output.kms_key_statements) : [statement.Principal.Service, try(statement.Condition.ArnLike["kms:EncryptionContext:aws:logs:arn"], "")]] == [
      ["logs.eu-central-1.amazonaws.com", "arn:aws:logs:eu-central-1:111122223333:log-group:/aws/lambda/acme-ml-*"],
      ["events.amazonaws.com", ""],
    ]
    error_message = "the key lets CloudWatch encrypt this stack's logs, and EventBridge write to the upload queue"
  }
}

run "corporate_is_told_of_uploads" {
  command = plan

  module {
    source = "../examples/corporate"
  }

  variables {
    region         = "eu-central-1"
    name           = "acme-ml"
    tags           = {}
    package_folder = "./packages"
    cluster = {
      name                  = "acme"
      arn                   = "arn:aws:eks:eu-central-1:111122223333:cluster/acme"
      endpoint              = "https://0123456789ABCDEF.gr7.eu-central-1.eks.amazonaws.com"
      certificate_authority = "LS0tLS1CRUdJTg=="
    }
    subnet_ids               = ["subnet-1"]
    security_group_ids       = ["sg-1"]
    buckets                  = { control = "acme-ml-control", artifacts = "acme-ml-artifacts", uploads = "acme-datalake" }
    namespaces               = { fraud = { role_arn = "arn:aws:iam::111122223333:role/acme/fraud" } }
    executor_image           = "registry.acme.example/dropforge-executor@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    permissions_boundary_arn = "arn:aws:iam::111122223333:policy/acme-boundary"
    kms_key_arn              = "arn:aws:kms:eu-central-1:111122223333:key/k1"
    alarm_topic_arn          = "arn:aws:sns:eu-central-1:111122223333:acme-alarms"
    upload_notification      = "none"
  }

  override_data {
    target = module.dropforge.module.storage.data.aws_s3_bucket.existing
    values = { region = "eu-central-1" }
  }

  expect_failures = [var.upload_notification]
}
