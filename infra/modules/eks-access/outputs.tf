output "kubernetes_group" {
  description = "Kubernetes group that the functions act as."
  value       = var.kubernetes_group
}
