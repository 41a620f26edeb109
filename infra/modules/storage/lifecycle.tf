# A bucket's lifecycle knows prefix and age and not a run's state: a run therefore ends by itself long before its
# journal goes, and what ended is remembered in its spec, which stays.
resource "aws_s3_bucket_lifecycle_configuration" "control" {
  count = contains(local.made, "control") ? 1 : 0

  bucket = aws_s3_bucket.this["control"].id

  dynamic "rule" {
    for_each = {
      journals = var.retention_days.journals
      attempts = var.retention_days.journals
      logs     = var.retention_days.logs
    }

    content {
      id     = rule.key
      status = "Enabled"

      filter {
        prefix = "${rule.key}/"
      }

      expiration {
        days = rule.value
      }
    }
  }

  rule {
    id     = "leftovers"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }

    noncurrent_version_expiration {
      noncurrent_days = var.retention_days.old_versions
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_lifecycle_configuration" "objects" {
  for_each = setsubtract(local.made, ["control"])

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    id     = "leftovers"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }

    noncurrent_version_expiration {
      noncurrent_days = var.retention_days.old_versions
    }
  }

  dynamic "rule" {
    for_each = each.key == "uploads" && var.retention_days.uploads != null ? [var.retention_days.uploads] : []

    content {
      id     = "uploads"
      status = "Enabled"

      filter {}

      expiration {
        days = rule.value
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
