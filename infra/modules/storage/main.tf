data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

data "aws_partition" "current" {}

locals {
  # `id` is the region's name in both majors of the provider; `name` is deprecated in 6.
  region    = data.aws_region.current.id
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  kinds = toset(["control", "artifacts", "uploads"])
  made  = toset([for kind in local.kinds : kind if var.existing_buckets[kind] == null])

  # Known before anything is made, so that policies elsewhere can name the buckets without waiting for them.
  names = {
    for kind in local.kinds : kind => coalesce(
      var.existing_buckets[kind],
      var.bucket_names[kind],
      "${var.name}-${local.account}-${local.region}-${kind}",
    )
  }
  arns = { for kind, name in local.names : kind => "arn:${local.partition}:s3:::${name}" }

  versioned = {
    control   = var.control_versioning
    artifacts = true
    uploads   = true
  }
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18: access logs need a bucket of the account's own; `access_log_bucket` names it
  #checkov:skip=CKV_AWS_21: artifacts and uploads are versioned; for the control bucket see `control_versioning`
  #checkov:skip=CKV_AWS_144: a run's state belongs to one region; a copy elsewhere could not be continued
  #checkov:skip=CKV_AWS_145: `kms_key_arn` asks for a key; without one S3 encrypts with its own
  #checkov:skip=CKV2_AWS_62: only uploads are told of; what the control bucket holds is told by doorbells
  for_each = local.made

  bucket        = local.names[each.key]
  force_destroy = var.force_destroy
  tags          = var.tags
}

data "aws_s3_bucket" "existing" {
  for_each = setsubtract(local.kinds, local.made)

  bucket = local.names[each.key]

  lifecycle {
    # In 6.x of the provider `region` says where was looked, and `bucket_region`, which 5.x does not know, where it is.
    postcondition {
      condition     = try(jsondecode(jsonencode(self)).bucket_region, self.region) == local.region
      error_message = "The bucket ${self.bucket} is not in ${local.region}, where this stack is (aws s3api head-bucket --bucket ${self.bucket} says where): name a bucket in ${local.region}, or set the provider's region to the bucket's."
    }
  }
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = local.made

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = local.made

  bucket                  = aws_s3_bucket.this[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = local.made

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = toset([for kind in local.made : kind if local.versioned[kind]])

  bucket = aws_s3_bucket.this[each.key].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_logging" "this" {
  for_each = var.access_log_bucket == null ? [] : local.made

  bucket        = aws_s3_bucket.this[each.key].id
  target_bucket = var.access_log_bucket
  target_prefix = "${local.names[each.key]}/"
}

resource "aws_s3_bucket_notification" "uploads" {
  count = contains(local.made, "uploads") && var.upload_notification != "none" ? 1 : 0

  bucket      = aws_s3_bucket.this["uploads"].id
  eventbridge = var.upload_notification == "eventbridge"

  dynamic "queue" {
    for_each = var.upload_notification == "queue" ? var.upload_filters : []

    content {
      queue_arn = var.upload_queue_arn
      events    = ["s3:ObjectCreated:*"]
      # S3 compares what is URL-encoded here: `day=1/` would match nothing, `day%3D1/` does.
      filter_prefix = replace(urlencode(queue.value.prefix), "%2F", "/")
      filter_suffix = replace(urlencode(queue.value.suffix), "%2F", "/")
    }
  }

  lifecycle {
    precondition {
      condition     = var.upload_notification != "queue" || var.upload_queue_arn != null
      error_message = "upload_notification is `queue`, so upload_queue_arn names the queue that S3 tells of uploads."
    }
  }
}
