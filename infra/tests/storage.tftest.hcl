# What the buckets refuse, keep and tell.
mock_provider "aws" {
  source = "./mocks"
}

variables {
  name             = "demo"
  upload_queue_arn = "arn:aws:sqs:eu-central-1:111122223333:demo-uploads"
}

run "buckets_are_private_encrypted_and_kept" {
  module {
    source = "../modules/storage"
  }

  assert {
    condition     = output.names.control == "demo-111122223333-eu-central-1-control"
    error_message = "a bucket's name holds account and region, since names are unique in the world"
  }
  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.this : bucket.force_destroy == false])
    error_message = "a bucket with runs is deleted only where somebody asks"
  }
  assert {
    condition     = alltrue([for block in aws_s3_bucket_public_access_block.this : block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets])
    error_message = "no bucket can become public"
  }
  assert {
    condition     = alltrue([for kind in ["artifacts", "uploads"] : aws_s3_bucket_versioning.this[kind].versioning_configuration[0].status == "Enabled"])
    error_message = "artifacts and uploads keep old versions"
  }
  assert {
    condition     = { for rule in aws_s3_bucket_lifecycle_configuration.control[0].rule : rule.id => rule.expiration[0].days if length(rule.expiration) > 0 } == { attempts = 400, images = 400, journals = 400, logs = 400 }
    error_message = "journals, attempts, logs and what is known of images go after 400 days, and nothing else of the control bucket"
  }
  assert {
    condition     = alltrue([for kind, bucket in aws_s3_bucket_lifecycle_configuration.objects : [for rule in bucket.rule : rule.id] == ["leftovers"]])
    error_message = "artifacts and uploads stay"
  }
}

run "what_may_go_by_its_age_goes" {
  module {
    source = "../modules/storage"
  }

  variables {
    days_max       = 30
    retention_days = { journals = 60, logs = 7, images = 5, environments = 90, memo = 14, artifacts = 180, uploads = 45 }
  }

  assert {
    condition     = { for rule in aws_s3_bucket_lifecycle_configuration.control[0].rule : one(rule.filter[*].prefix) => rule.expiration[0].days if length(rule.expiration) > 0 } == { "attempts/" = 60, "environments/" = 90, "images/" = 5, "journals/" = 60, "logs/" = 7, "memo/" = 14 }
    error_message = "each folder after its own days"
  }
  assert {
    condition     = { for kind, bucket in aws_s3_bucket_lifecycle_configuration.objects : kind => one([for rule in bucket.rule : rule.expiration[0].days if rule.id == kind]) } == { artifacts = 180, uploads = 45 }
    error_message = "artifacts and uploads go where that is asked for"
  }
}

run "what_a_run_needs_outlives_it" {
  command = plan

  module {
    source = "../modules/storage"
  }

  variables {
    days_max       = 30
    retention_days = { environments = 29 }
  }

  expect_failures = [var.retention_days]
}

run "only_tls_and_only_new_journals" {
  module {
    source = "../modules/storage"
  }

  assert {
    condition = alltrue([for kind, policy in output.bucket_policies : anytrue([
      for statement in jsondecode(policy).Statement :
      statement.Effect == "Deny" && statement.Action == "s3:*" && statement.Condition == { Bool = { "aws:SecureTransport" = "false" } }
    ])])
    error_message = "each bucket refuses what comes without TLS"
  }
  assert {
    condition = one([for statement in jsondecode(output.bucket_policies.control).Statement : statement if statement.Sid == "CreateOnly"]) == {
      Sid       = "CreateOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:PutObject"
      Resource = [
        "arn:aws:s3:::demo-111122223333-eu-central-1-control/journals/*",
        "arn:aws:s3:::demo-111122223333-eu-central-1-control/attempts/*/claim.json",
        "arn:aws:s3:::demo-111122223333-eu-central-1-control/attempts/*/result.json",
      ]
      Condition = { Null = { "s3:if-none-match" = "true" }, Bool = { "s3:ObjectCreationOperation" = "true" } }
    }
    error_message = "a segment, a claim and a verdict are written once; parts of a multipart upload are exempt"
  }
  assert {
    condition     = aws_s3_bucket_policy.this["control"].policy == output.bucket_policies.control
    error_message = "what is shown is what is written"
  }
}

run "uploads_are_told_to_the_queue" {
  module {
    source = "../modules/storage"
  }

  variables {
    upload_filters = [{ prefix = "churn/", suffix = ".csv" }, { prefix = "churn/day=1/", suffix = "a b.parquet" }]
  }

  assert {
    condition = [for queue in aws_s3_bucket_notification.uploads[0].queue : [queue.queue_arn, queue.filter_prefix, queue.filter_suffix]] == [
      [var.upload_queue_arn, "churn/", ".csv"], [var.upload_queue_arn, "churn/day%3D1/", "a+b.parquet"],
    ]
    error_message = "S3 tells the upload queue of what the filters take, which it wants URL-encoded"
  }
  assert {
    condition     = aws_s3_bucket_notification.uploads[0].eventbridge == false
    error_message = "an upload is told once"
  }
}

run "or_to_eventbridge" {
  module {
    source = "../modules/storage"
  }

  variables {
    upload_notification = "eventbridge"
    upload_queue_arn    = null
  }

  assert {
    condition     = aws_s3_bucket_notification.uploads[0].eventbridge && length(aws_s3_bucket_notification.uploads[0].queue) == 0
    error_message = "an upload is told once"
  }
}

run "existing_buckets_are_left_alone" {
  module {
    source = "../modules/storage"
  }

  variables {
    existing_buckets = { control = "corp-control", artifacts = "corp-artifacts", uploads = "corp-uploads" }
  }

  override_data {
    target = data.aws_s3_bucket.existing
    values = { region = "eu-central-1" }
  }

  assert {
    condition     = length(aws_s3_bucket.this) + length(aws_s3_bucket_policy.this) + length(aws_s3_bucket_notification.uploads) + length(aws_s3_bucket_lifecycle_configuration.control) + length(aws_s3_bucket_lifecycle_configuration.objects) + length(aws_s3_bucket_versioning.this) + length(aws_s3_bucket_public_access_block.this) == 0
    error_message = "nothing about a bucket that was there is written"
  }
  assert {
    condition     = output.buckets == { control = "corp-control", artifacts = "corp-artifacts", uploads = "corp-uploads" }
    error_message = "they are used by their names"
  }
  assert {
    condition     = strcontains(output.bucket_policies.control, "arn:aws:s3:::corp-control/journals/*")
    error_message = "their owner is told what to add"
  }
}

run "a_bucket_of_another_region_is_refused" {
  command = plan

  module {
    source = "../modules/storage"
  }

  variables {
    existing_buckets = { uploads = "corp-uploads" }
  }

  override_data {
    target = data.aws_s3_bucket.existing
    values = { bucket = "corp-uploads", region = "us-east-1" }
  }

  expect_failures = [data.aws_s3_bucket.existing]
}

run "a_given_key_is_the_only_one" {
  module {
    source = "../modules/storage"
  }

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/k1"
  }

  assert {
    condition     = alltrue([for kind, policy in output.bucket_policies : [for statement in jsondecode(policy).Statement : statement.Condition.StringNotEqualsIfExists["s3:x-amz-server-side-encryption-aws-kms-key-id"] if statement.Sid == "OneKey"] == [var.kms_key_arn]])
    error_message = "an object under another key is refused"
  }
  assert {
    condition     = alltrue([for bucket in aws_s3_bucket_server_side_encryption_configuration.this : one(bucket.rule).bucket_key_enabled])
    error_message = "the key is asked once for many objects"
  }
}

run "bad_names_are_refused" {
  command = plan

  module {
    source = "../modules/storage"
  }

  variables {
    name             = "My_Stack"
    existing_buckets = { uploads = "s3://corp-uploads" }
    bucket_names     = { control = "UPPER" }
    kms_key_arn      = "alias/storage"
    retention_days   = { journals = 30 }
    upload_queue_arn = "arn:aws:sqs:eu-central-1:111122223333:uploads.fifo"
    upload_filters   = []
  }

  expect_failures = [
    var.name, var.existing_buckets, var.bucket_names, var.kms_key_arn, var.retention_days, var.upload_queue_arn, var.upload_filters,
  ]
}

run "filters_that_name_one_object_twice_are_refused" {
  command = plan

  module {
    source = "../modules/storage"
  }

  variables {
    upload_filters = [{ prefix = "churn/", suffix = ".csv" }, { prefix = "sales/" }, { prefix = "churn/new/", suffix = "a.csv" }]
  }

  expect_failures = [var.upload_filters]
}

run "so_is_one_beside_all_uploads" {
  command = plan

  module {
    source = "../modules/storage"
  }

  variables {
    upload_filters = [{}, { prefix = "churn/", suffix = ".csv" }]
  }

  expect_failures = [var.upload_filters]
}

run "a_wildcard_that_s3_does_not_know_is_refused" {
  command = plan

  module {
    source = "../modules/storage"
  }

  variables {
    upload_filters = [{ prefix = "churn/*", suffix = ".csv" }]
  }

  expect_failures = [var.upload_filters]
}

run "a_journal_outlives_its_run" {
  command = plan

  module {
    source = "../modules/storage"
  }

  variables {
    days_max       = 400
    retention_days = { journals = 414 }
  }

  expect_failures = [var.retention_days]
}

run "one_bucket_is_not_two" {
  command = plan

  module {
    source = "../modules/storage"
  }

  variables {
    existing_buckets = { artifacts = "corp", uploads = "corp" }
  }

  expect_failures = [var.existing_buckets]
}
