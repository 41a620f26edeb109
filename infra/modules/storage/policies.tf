# What the buckets refuse, whoever asks. The policies of roles and people are in the modules that make those.
locals {
  tls_only = {
    for kind, arn in local.arns : kind => {
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [arn, "${arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }
  }

  # A journal's segment, a claim and a verdict are written once: whoever comes second must lose, and learns it only
  # from a conditional write. The parts of a multipart upload carry no condition, its completion does.
  create_only = {
    Sid       = "CreateOnly"
    Effect    = "Deny"
    Principal = "*"
    Action    = "s3:PutObject"
    Resource = [
      "${local.arns.control}/journals/*",
      "${local.arns.control}/attempts/*/claim.json",
      "${local.arns.control}/attempts/*/result.json",
    ]
    Condition = {
      Null = { "s3:if-none-match" = "true" }
      Bool = { "s3:ObjectCreationOperation" = "true" }
    }
  }

  # A writer that names no key gets the bucket's.
  one_key = {
    for kind, arn in local.arns : kind => {
      Sid       = "OneKey"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:PutObject"
      Resource  = "${arn}/*"
      Condition = {
        StringNotEqualsIfExists = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = coalesce(var.kms_key_arn, "none") }
        Null                    = { "s3:x-amz-server-side-encryption" = "false" }
      }
    }
  }

  policies = {
    for kind in local.kinds : kind => jsonencode({
      Version = "2012-10-17"
      Statement = concat(
        [local.tls_only[kind]],
        kind == "control" ? [local.create_only] : [],
        var.kms_key_arn == null ? [] : [local.one_key[kind]],
      )
    })
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = local.made

  bucket = aws_s3_bucket.this[each.key].id
  policy = local.policies[each.key]

  depends_on = [aws_s3_bucket_public_access_block.this]
}
