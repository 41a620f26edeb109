# A bucket's lifecycle knows prefix and age and not a run's state: a run therefore ends by itself long before its
# journal goes, and what ended is remembered in its spec, which stays. So do the folders that say what the deployment is:
# definitions, triggers, crons, locks, settings and the run list, of which the commands take away what nobody wants.
resource "aws_s3_bucket_lifecycle_configuration" "control" {
  count = contains(local.made, "control") ? 1 : 0

  bucket = aws_s3_bucket.this["control"].id

  dynamic "rule" {
    for_each = { for folder, days in {
      journals = var.retention_days.journals
      attempts = var.retention_days.journals
      logs     = var.retention_days.logs
      # Asked of the registry again where it is gone.
      images = var.retention_days.images
      # Named by definitions and by live runs for as long as these are used, however old it is: null by default.
      environments = var.retention_days.environments
      # Written again whenever it is looked at; without it a step, perhaps of many hours, is run again: null by default.
      memo = var.retention_days.memo
    } : folder => days if days != null }

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
    # The artifacts' age does not tell whether a later run, or another system, still reads a model: null by default.
    for_each = [for days in [{ artifacts = var.retention_days.artifacts, uploads = var.retention_days.uploads }[each.key]] : days if days != null]

    content {
      id     = each.key
      status = "Enabled"

      filter {}

      expiration {
        days = rule.value
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
