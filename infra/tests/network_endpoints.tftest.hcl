# The way of nodes, steps and functions to AWS where there is none to the internet.
mock_provider "aws" {
  source = "./mocks"
}

variables {
  name               = "demo"
  vpc_id             = "vpc-1"
  subnet_ids         = ["subnet-1", "subnet-2"]
  route_table_ids    = ["rtb-1"]
  client_cidr_blocks = ["10.0.0.0/16", "10.1.0.0/16"]
}

run "each_service_is_reached_by_its_usual_name_from_the_nodes_alone" {
  module {
    source = "../modules/network-endpoints"
  }

  assert {
    condition     = { for service, of in aws_vpc_endpoint.interface : service => of.service_name } == { for service in ["sqs", "scheduler", "sts", "ecr.api", "ecr.dkr", "eks-auth", "ec2", "logs"] : service => "com.amazonaws.eu-central-1.${service}" }
    error_message = "an endpoint for each service that steps, nodes and functions call"
  }
  assert {
    condition     = alltrue([for of in aws_vpc_endpoint.interface : of.vpc_endpoint_type == "Interface" && of.private_dns_enabled && of.subnet_ids == toset(["subnet-1", "subnet-2"]) && of.security_group_ids == toset([aws_security_group.this[0].id])])
    error_message = "in each subnet, behind the group, by the service's own name"
  }
  assert {
    condition     = { for block, rule in aws_vpc_security_group_ingress_rule.tls : block => [rule.cidr_ipv4, rule.ip_protocol, rule.from_port, rule.to_port] } == { for block in ["10.0.0.0/16", "10.1.0.0/16"] : block => [block, "tcp", 443, 443] }
    error_message = "TLS from the nodes and pods, and nothing else"
  }
  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && aws_vpc_endpoint.s3.route_table_ids == toset(["rtb-1"])
    error_message = "S3 by the gateway, which costs nothing"
  }
}

run "the_gateway_stands_alone_where_no_service_is_named" {
  module {
    source = "../modules/network-endpoints"
  }

  variables {
    interfaces = []
    subnet_ids = []
  }

  assert {
    condition     = length(aws_vpc_endpoint.interface) == 0 && length(aws_security_group.this) == 0 && length(aws_vpc_security_group_ingress_rule.tls) == 0
    error_message = "nothing that costs"
  }
}

run "bad_input_is_refused" {
  command = plan

  module {
    source = "../modules/network-endpoints"
  }

  variables {
    name               = "Demo"
    vpc_id             = "main"
    subnet_ids         = []
    route_table_ids    = []
    client_cidr_blocks = ["0.0.0.0/0"]
  }

  expect_failures = [var.name, var.vpc_id, var.subnet_ids, var.route_table_ids, var.client_cidr_blocks]
}

run "a_service_is_named_by_its_short_name" {
  command = plan

  module {
    source = "../modules/network-endpoints"
  }

  variables {
    interfaces = ["com.amazonaws/sqs"]
  }

  expect_failures = [var.interfaces]
}
