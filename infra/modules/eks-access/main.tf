# An entry lets a role in and nothing more: no access policy stands beside it. What the group may is a Role in each
# namespace of steps.
resource "aws_eks_access_entry" "this" {
  for_each = var.role_arns

  cluster_name      = var.cluster_name
  principal_arn     = each.value
  type              = "STANDARD"
  kubernetes_groups = [var.kubernetes_group]
  tags              = var.tags
}
