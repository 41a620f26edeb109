# The example with a pipeline from the first minute. What it uploads is read by tests/infra.
mock_provider "aws" {
  source = "./mocks"
}

run "retraining" {
  module {
    source = "../examples/retraining"
  }

  variables {
    region         = "eu-central-1"
    cluster_name   = "research"
    package_folder = "./packages"
    image          = "registry.example.com/sklearn:1"
  }

  assert {
    condition     = { for key, object in aws_s3_object.definition : key => object.key } == { "workflowtemplate/ml-pipeline" = "definitions/retraining/workflowtemplate/ml-pipeline.yaml", "trigger/ml-pipeline" = "definitions/retraining/trigger/ml-pipeline.yaml", "cronworkflow/ml-pipeline" = "definitions/retraining/cronworkflow/ml-pipeline.yaml" }
    error_message = "definitions lie where the functions read them"
  }
  assert {
    condition     = yamldecode(aws_s3_object.definition["trigger/ml-pipeline"].content).spec.s3.bucket == "dropforge-111122223333-eu-central-1-uploads" && !strcontains(aws_s3_object.definition["workflowtemplate/ml-pipeline"].content, "python:3.9")
    error_message = "the sample is told this stack's bucket and image"
  }
}

run "retraining_names_an_image" {
  command = plan

  module {
    source = "../examples/retraining"
  }

  variables {
    region         = "eu-central-1"
    cluster_name   = "research"
    package_folder = "./packages"
    image          = ""
  }

  expect_failures = [var.image]
}
