# The image that puts the executor into pods; `dropforge deploy` pushes it. Steps' own images lie wherever they lie.
resource "aws_ecr_repository" "executor" {
  #checkov:skip=CKV_AWS_136: `kms_key_arn` asks for a key; without one ECR encrypts with its own
  name                 = "${var.name}/executor"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = var.force_delete
  tags                 = var.tags

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = var.kms_key_arn == null ? "AES256" : "KMS"
    kms_key         = var.kms_key_arn
  }
}

# Runs that began before an upgrade go on with the executor they began with.
resource "aws_ecr_lifecycle_policy" "executor" {
  repository = aws_ecr_repository.executor.name

  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "the last twenty versions: an index, and an image for each of two architectures"
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 60 }
      action       = { type = "expire" }
    }]
  })
}
