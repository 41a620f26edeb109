output "repository_arn" {
  description = "ARN of that repository."
  value       = aws_ecr_repository.executor.arn
}

output "repository_url" {
  description = "Where `dropforge deploy` pushes the executor's image."
  value       = aws_ecr_repository.executor.repository_url
}
