output "repository_url" {
  description = "Where `dropforge deploy` pushes the executor's image."
  value       = aws_ecr_repository.executor.repository_url
}
