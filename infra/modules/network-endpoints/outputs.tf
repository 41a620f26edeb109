output "s3_gateway_id" {
  description = "The gateway to S3."
  value       = aws_vpc_endpoint.s3.id
}

output "interface_ids" {
  description = "The interface endpoints, by service."
  value       = { for service, endpoint in aws_vpc_endpoint.interface : service => endpoint.id }
}
