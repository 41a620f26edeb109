output "dropforge" {
  description = "All that `dropforge deploy` reads: `terraform output -json dropforge`."
  value       = module.dropforge.dropforge
}
