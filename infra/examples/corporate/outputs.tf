output "dropforge" {
  description = "All that `dropforge deploy` reads: `terraform output -json dropforge`."
  value       = module.dropforge.dropforge
}

output "policies" {
  description = "What each given role needs, for its owner to attach."
  value       = module.dropforge.policies
}

output "trust_policies" {
  description = "Trust policies of the steps' roles, by namespace."
  value       = module.dropforge.trust_policies
}

output "bucket_policies" {
  description = "Statements that the buckets' owners add to their policies."
  value       = module.dropforge.bucket_policies
}

output "kms_key_statements" {
  description = "Statements that the key's owner adds to its policy."
  value       = jsonencode(concat([for statements in values(module.dropforge.kms_key_statements) : jsondecode(statements) if statements != null]...))
}
