output "dropforge" {
  description = "All that `dropforge deploy` reads: `terraform output -json dropforge`."
  value       = module.dropforge.dropforge
}

output "kubeconfig_command" {
  description = "Writes the kubeconfig that `dropforge deploy` uses."
  value       = "aws eks update-kubeconfig --region ${var.region} --name ${module.cluster.cluster.name}"
}
