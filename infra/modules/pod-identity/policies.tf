# A step may write below its own attempt, its own logs, its namespace's artifacts and the model prefixes listed for it.
# The namespace stands in the policy, since each has a role of its own; the pod is known by a tag that EKS puts on the
# session and the pod can't choose. IRSA has no such tag: there a step can reach the attempts of its whole namespace.
locals {
  control   = "arn:${local.partition}:s3:::${var.buckets.control}"
  artifacts = "arn:${local.partition}:s3:::${var.buckets.artifacts}"
  uploads   = "arn:${local.partition}:s3:::${var.buckets.uploads}"
  pod       = var.oidc_provider == null ? "$${aws:PrincipalTag/kubernetes-pod-name}" : "*"

  policies = {
    for namespace, of in var.namespaces : namespace => jsonencode({
      Version   = "2012-10-17"
      Statement = concat(local.basic[namespace], local.upload_access[namespace], local.models[namespace], local.keys)
    })
  }

  basic = {
    for namespace, of in var.namespaces : namespace => [
      {
        Sid      = "OwnAttempt"
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:GetObject"]
        Resource = ["${local.control}/attempts/${namespace}/${local.pod}/*"]
      },
      {
        Sid      = "OwnLogs"
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:GetObject"]
        Resource = ["${local.control}/logs/${namespace}/${local.pod}/*"]
      },
      {
        Sid       = "ListOwn"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = [local.control]
        Condition = { StringLike = { "s3:prefix" = ["attempts/${namespace}/${local.pod}/*", "logs/${namespace}/${local.pod}/*"] } }
      },
      {
        Sid      = "Environments"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = ["${local.control}/environments/${namespace}/*"]
      },
      {
        Sid      = "Artifacts"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        Resource = ["${local.artifacts}/${namespace}/*"]
      },
      {
        Sid       = "ListArtifacts"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = [local.artifacts]
        Condition = { StringLike = { "s3:prefix" = ["${namespace}/*"] } }
      },
      {
        Sid      = "Doorbell"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage"]
        Resource = [var.events_queue_arn]
      },
    ]
  }

  upload_access = {
    for namespace, of in var.namespaces : namespace => [for statement in [
      {
        Sid      = "Uploads"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectVersion"]
        Resource = [for prefix in of.upload_prefixes : "${local.uploads}/${prefix}*"]
      },
      {
        Sid       = "ListUploads"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = [local.uploads]
        Condition = { StringLike = { "s3:prefix" = [for prefix in of.upload_prefixes : "${prefix}*"] } }
      },
    ] : statement if length(of.upload_prefixes) > 0]
  }

  models = {
    for namespace, of in var.namespaces : namespace => concat(
      length(of.model_prefixes) == 0 ? [] : [{
        Sid      = "Models"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        Resource = [for prefix in of.model_prefixes : "arn:${local.partition}:s3:::${prefix}*"]
      }],
      # One statement for each bucket: a prefix of one is none of another.
      [for bucket in distinct([for prefix in of.model_prefixes : split("/", prefix)[0]]) : {
        Sid      = "ListModels${join("", [for word in split("-", replace(bucket, ".", "-")) : title(word)])}"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = ["arn:${local.partition}:s3:::${bucket}"]
        Condition = {
          StringLike = {
            "s3:prefix" = [for prefix in of.model_prefixes : "${trimprefix(prefix, "${bucket}/")}*" if split("/", prefix)[0] == bucket]
          }
        }
      }],
    )
  }

  keys = length(var.kms_key_arns) == 0 ? [] : [{
    Sid      = "Keys"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = distinct(var.kms_key_arns)
  }]
}

# Who may take the role: the service accounts of one namespace of one cluster.
locals {
  pod_identity_trust = {
    for namespace, of in var.namespaces : namespace => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Sid       = "PodIdentity"
        Effect    = "Allow"
        Principal = { Service = "pods.eks.amazonaws.com" }
        Action    = ["sts:AssumeRole", "sts:TagSession"]
        Condition = {
          StringEquals = {
            "aws:RequestTag/eks-cluster-arn"            = var.cluster.arn
            "aws:RequestTag/kubernetes-namespace"       = namespace
            "aws:RequestTag/kubernetes-service-account" = of.service_accounts
          }
        }
      }]
    })
  }

  issuer = var.oidc_provider == null ? "" : trimprefix(var.oidc_provider.url, "https://")

  irsa_trust = {
    for namespace, of in var.namespaces : namespace => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Sid       = "Irsa"
        Effect    = "Allow"
        Principal = { Federated = var.oidc_provider == null ? "" : var.oidc_provider.arn }
        Action    = ["sts:AssumeRoleWithWebIdentity"]
        Condition = {
          StringEquals = {
            "${local.issuer}:aud" = "sts.amazonaws.com"
            "${local.issuer}:sub" = [for account in of.service_accounts : "system:serviceaccount:${namespace}:${account}"]
          }
        }
      }]
    })
  }

  trust = var.oidc_provider == null ? local.pod_identity_trust : local.irsa_trust
}
