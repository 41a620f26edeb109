# What a version of the executor names stays what it was.
mock_provider "aws" {
  source = "./mocks"
}

variables {
  name = "demo"
}

run "a_version_stays_the_image_that_was_pushed" {
  module {
    source = "../modules/registry"
  }

  assert {
    condition     = aws_ecr_repository.executor.name == "demo/executor" && aws_ecr_repository.executor.image_tag_mutability == "IMMUTABLE"
    error_message = "nobody puts another image in a version's place"
  }
  assert {
    condition     = aws_ecr_repository.executor.image_scanning_configuration[0].scan_on_push
    error_message = "what is pushed is scanned"
  }
  assert {
    condition     = jsondecode(aws_ecr_lifecycle_policy.executor.policy).rules[*].selection == [{ tagStatus = "any", countType = "imageCountMoreThan", countNumber = 60 }]
    error_message = "twenty versions stay, of three images each, for runs that began with them"
  }
  assert {
    condition     = [for of in aws_ecr_repository.executor.encryption_configuration : of.encryption_type] == ["AES256"] && aws_ecr_repository.executor.force_delete
    error_message = "ECR's own key; images can be pushed again"
  }
}

run "a_key_encrypts_the_images" {
  module {
    source = "../modules/registry"
  }

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/images"
  }

  assert {
    condition     = [for of in aws_ecr_repository.executor.encryption_configuration : [of.encryption_type, of.kms_key]] == [["KMS", var.kms_key_arn]]
    error_message = "the given key"
  }
}

run "bad_input_is_refused" {
  command = plan

  module {
    source = "../modules/registry"
  }

  variables {
    name        = "Demo"
    kms_key_arn = "alias/images"
  }

  expect_failures = [var.name, var.kms_key_arn]
}
