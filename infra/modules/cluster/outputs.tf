output "cluster" {
  description = "The cluster, as the dropforge module takes it."
  value = {
    name                  = aws_eks_cluster.this.name
    arn                   = aws_eks_cluster.this.arn
    endpoint              = aws_eks_cluster.this.endpoint
    certificate_authority = one(aws_eks_cluster.this.certificate_authority[*].data)
    authentication_mode   = "API"
  }
}

output "node_role_name" {
  description = "Role of the nodes, for a NodeClass of one's own."
  value       = aws_iam_role.this["node"].name
}

output "security_group_id" {
  description = "Security group of the cluster, from which `dispatch` reaches a private endpoint."
  value       = one(aws_eks_cluster.this.vpc_config[*].cluster_security_group_id)
}
