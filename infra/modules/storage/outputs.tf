output "names" {
  description = "Names of the buckets, known before they are made: control, artifacts, uploads."
  value       = local.names
}

output "buckets" {
  description = "Names of the buckets, once they can be used: control, artifacts, uploads."
  value       = local.names

  # Whoever uses a bucket waits until it refuses what it must refuse.
  depends_on = [aws_s3_bucket_policy.this, data.aws_s3_bucket.existing]
}

output "bucket_arns" {
  description = "ARNs of the buckets: control, artifacts, uploads."
  value       = local.arns
}

output "bucket_policies" {
  description = "The policies of the buckets. Those of existing buckets are not written: their owners add these statements to their own."
  value       = local.policies
}
