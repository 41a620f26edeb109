output "group" {
  description = "Name of the schedule group."
  value       = aws_scheduler_schedule_group.this.name
}

output "group_arn" {
  description = "ARN of the schedule group."
  value       = local.group_arn
}

output "role_arn" {
  description = "Role that schedules send with."
  value       = local.role_arn
}

output "policy" {
  description = "What that role may; for a role that is given, what its owner attaches to it."
  value       = local.policy
}
