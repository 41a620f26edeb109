# Reads a YAML file for an assertion.
variable "file" {
  description = "The file, from here."
  type        = string
}

output "object" {
  description = "What it holds."
  value       = yamldecode(file("${path.module}/${var.file}"))
}
