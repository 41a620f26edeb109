output "role_arns" {
  description = "Role of the steps, by namespace."
  value       = local.role_arns
}

output "isolation" {
  description = "What a step is kept apart from: `pod` (each other step; Pod Identity) or `namespace` (other namespaces only; IRSA)."
  value       = var.oidc_provider == null ? "pod" : "namespace"
}

output "policies" {
  description = "What the steps of a namespace may; for a role that is given, what its owner attaches to it."
  value       = local.policies
}

output "trust_policies" {
  description = "Who may take the role, by namespace; for a role that is given, its trust policy."
  value       = local.trust
}
