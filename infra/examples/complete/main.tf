# Dropforge with a cluster of its own: a VPC, EKS Auto Mode, endpoints, people, alarms. While nothing runs there is no node.
provider "aws" {
  region = var.region
}

module "cluster" {
  source = "../../modules/cluster"

  name                      = var.name
  subnet_ids                = aws_subnet.private[*].id
  public_access_cidr_blocks = var.public_access_cidr_blocks
  administrator_arns        = var.administrator_arns
  tags                      = var.tags
}

module "endpoints" {
  source = "../../modules/network-endpoints"

  name               = var.name
  vpc_id             = aws_vpc.this.id
  route_table_ids    = [aws_route_table.private.id]
  client_cidr_blocks = [aws_vpc.this.cidr_block]
  # The way to the internet is the NAT gateway; images' layers and artifacts come from S3 without it.
  interfaces = []
  tags       = var.tags
}

module "dropforge" {
  source = "../../modules/dropforge"

  name             = var.name
  cluster          = module.cluster.cluster
  package_folder   = var.package_folder
  executor_version = var.executor_version
  architecture     = var.architecture
  force_destroy    = var.force_destroy
  alarm_emails     = var.alarm_emails
  tags             = var.tags

  # Functions outside the VPC come from anywhere: unless the endpoint is open to all, pods are created from inside, with
  # the NAT gateway as the way to AWS's services.
  vpc = contains(var.public_access_cidr_blocks, "0.0.0.0/0") ? null : {
    subnet_ids         = aws_subnet.private[*].id
    security_group_ids = [aws_security_group.functions.id]
  }

  namespaces = {
    research = { model_prefixes = var.model_prefixes }
  }

  reserved_concurrency = var.reserved_concurrency
}
