# Three zones, since GPUs are rarely to be had in all of them.
data "aws_availability_zones" "available" {
  #checkov:skip=CKV_AWS_394: the first three by name are taken, which a zone that is added later does not change
  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  zones = slice(sort(data.aws_availability_zones.available.names), 0, 3)
}

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11: flow logs are the account's choice; this network is an example
  cidr_block           = var.vpc_cidr_block
  enable_dns_hostnames = true
  tags                 = merge(var.tags, { Name = var.name })
}

resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
  tags   = var.tags
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = var.name })
}

resource "aws_subnet" "private" {
  count = length(local.zones)

  vpc_id            = aws_vpc.this.id
  availability_zone = local.zones[count.index]
  cidr_block        = cidrsubnet(var.vpc_cidr_block, 3, count.index)
  tags              = merge(var.tags, { Name = "${var.name}-${local.zones[count.index]}", "kubernetes.io/role/internal-elb" = "1" })
}

resource "aws_subnet" "public" {
  vpc_id            = aws_vpc.this.id
  availability_zone = local.zones[0]
  cidr_block        = cidrsubnet(var.vpc_cidr_block, 8, 255)
  tags              = merge(var.tags, { Name = "${var.name}-public" })
}

# One gateway for all zones: cheaper, and a zone that fails takes the way to the internet with it.
resource "aws_eip" "nat" {
  #checkov:skip=CKV2_AWS_19: it is the NAT gateway's
  tags = merge(var.tags, { Name = "${var.name}-nat" })
}

resource "aws_nat_gateway" "this" {
  allocation_id = aws_eip.nat.id
  subnet_id     = aws_subnet.public.id
  tags          = merge(var.tags, { Name = var.name })

  depends_on = [aws_internet_gateway.this]
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = "${var.name}-public" })
}

resource "aws_route" "public" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_route_table_association" "public" {
  subnet_id      = aws_subnet.public.id
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = "${var.name}-private" })
}

resource "aws_route" "private" {
  route_table_id         = aws_route_table.private.id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this.id
}

resource "aws_route_table_association" "private" {
  count = length(aws_subnet.private)

  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private.id
}

# The functions' own: EKS's, which the nodes share, would let them reach every pod and every pod reach them.
resource "aws_security_group" "functions" {
  #checkov:skip=CKV2_AWS_5: it is the functions', where the endpoint is not open to all
  name        = "${var.name}-functions"
  description = "Functions of ${var.name}: out on 443, nothing in"
  vpc_id      = aws_vpc.this.id
  tags        = merge(var.tags, { Name = "${var.name}-functions" })
}

resource "aws_vpc_security_group_egress_rule" "functions" {
  security_group_id = aws_security_group.functions.id
  description       = "AWS's services, the cluster's endpoint, requests of http templates"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
  tags              = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "endpoint" {
  security_group_id            = module.cluster.security_group_id
  description                  = "Kubernetes' API from the functions of ${var.name}"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.functions.id
  tags                         = var.tags
}
