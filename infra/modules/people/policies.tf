locals {
  region    = data.aws_region.current.id
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  control   = "arn:${local.partition}:s3:::${var.buckets.control}"
  artifacts = "arn:${local.partition}:s3:::${var.buckets.artifacts}"
  uploads   = "arn:${local.partition}:s3:::${var.buckets.uploads}"

  policies = {
    for who, statements in { read = local.read, submit = { for namespace in var.namespaces : namespace => concat(local.read[namespace], local.submit[namespace]) } } : who => {
      for namespace, of in statements : namespace => jsonencode({ Version = "2012-10-17", Statement = of })
    }
  }
  operate_policy = jsonencode({ Version = "2012-10-17", Statement = local.operate })

  # Runs are named by uid, not by namespace: who may see one may see which there are.
  shared_folders = ["live", "runs", "journals", "cluster-definitions"]
  own_folders    = ["attempts", "logs", "index", "definitions", "triggers", "crons", "environments", "locks", "starters"]

  # An upload starts runs: who may put it for one namespace is not to start the triggers of others.
  upload_prefixes = { for namespace in var.namespaces : namespace => lookup(var.upload_prefixes, namespace, [""]) }
  own_uploads     = { for namespace, prefixes in local.upload_prefixes : namespace => [for prefix in prefixes : "${local.uploads}/${prefix}*"] }
  # Of some buckets these people list some prefixes only. S3 takes a missing key for the prefix of a listing: below these it
  # is told 404, too.
  listed = { for namespace, prefixes in local.upload_prefixes : namespace => {
    (local.artifacts) = var.artifact_bucket_shared ? ["${namespace}/"] : [""]
    (local.uploads)   = prefixes
  } }

  read = { for namespace in var.namespaces : namespace => concat(
    [
      {
        Sid    = "Read"
        Effect = "Allow"
        Action = ["s3:GetObject", "s3:GetObjectVersion"]
        Resource = concat(
          [for folder in local.shared_folders : "${local.control}/${folder}/*"],
          [for folder in local.own_folders : "${local.control}/${folder}/${namespace}/*"],
          ["${local.artifacts}/${namespace}/*"],
          local.own_uploads[namespace],
          [for prefix in lookup(var.model_prefixes, namespace, []) : "arn:${local.partition}:s3:::${prefix}*"],
        )
      },
      # Not only to list: without it S3 answers 403 and not 404 for what is not there. The keys tell no more than the journals,
      # which name the pods and artifacts of every run.
      { Sid = "List", Effect = "Allow", Action = ["s3:ListBucket"], Resource = concat([local.control], [for bucket, prefixes in local.listed[namespace] : bucket if contains(prefixes, "")]) },
      { Sid = "Queues", Effect = "Allow", Action = ["sqs:GetQueueAttributes"], Resource = concat([var.queue_arns.events, var.queue_arns.uploads], var.queue_arns.dead_letters) },
      { Sid = "Cluster", Effect = "Allow", Action = ["eks:DescribeCluster"], Resource = [var.cluster_arn] },
    ],
    [for bucket, prefixes in local.listed[namespace] : {
      Sid       = bucket == local.uploads ? "ListUploads" : "ListArtifacts"
      Effect    = "Allow"
      Action    = ["s3:ListBucket"]
      Resource  = [bucket]
      Condition = { StringLike = { "s3:prefix" = [for prefix in prefixes : "${prefix}*"] } }
    } if length(prefixes) > 0 && !contains(prefixes, "")],
    length(var.kms_key_arns) == 0 ? [] : [{ Sid = "Keys", Effect = "Allow", Action = ["kms:Decrypt"], Resource = distinct(var.kms_key_arns) }],
  ) }

  # Runs are named by uid in `live`, `runs` and their inboxes: a submitter of one namespace can steer, and forge, the runs
  # of every other. The submitters of one deployment trust each other; who does not gets a deployment of their own.
  submit = { for namespace in var.namespaces : namespace => concat(
    [
      {
        Sid    = "Start"
        Effect = "Allow"
        Action = ["s3:PutObject"]
        Resource = concat(
          ["${local.control}/live/*", "${local.control}/runs/*/spec.json", "${local.control}/runs/*/inbox/*"],
          [for folder in ["index", "definitions", "triggers", "crons", "starters", "environments"] : "${local.control}/${folder}/${namespace}/*"],
          ["${local.control}/cluster-definitions/*", "${local.artifacts}/${namespace}/*"],
          local.own_uploads[namespace],
        )
      },
      {
        Sid    = "Forget"
        Effect = "Allow"
        Action = ["s3:DeleteObject"]
        Resource = concat(
          # A run's artifacts go with it where its manifest says `OnWorkflowDeletion`.
          ["${local.control}/cluster-definitions/*", "${local.artifacts}/${namespace}/*"],
          [for folder in ["index", "definitions", "triggers", "crons"] : "${local.control}/${folder}/${namespace}/*"],
        )
      },
      { Sid = "Ring", Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [var.queue_arns.events, var.queue_arns.uploads] },
    ],
    length(var.kms_key_arns) == 0 ? [] : [{ Sid = "WriteWithKeys", Effect = "Allow", Action = ["kms:GenerateDataKey"], Resource = distinct(var.kms_key_arns) }],
  ) }

  operate = concat(
    [
      # `redrive` puts dead letters back, after a look at them.
      { Sid = "Redrive", Effect = "Allow", Action = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"], Resource = var.queue_arns.dead_letters },
      { Sid = "Functions", Effect = "Allow", Action = ["lambda:GetFunctionConfiguration"], Resource = [for function in sort(var.functions) : "arn:${local.partition}:lambda:${local.region}:${local.account}:function:${function}*"] },
      { Sid = "FunctionLogs", Effect = "Allow", Action = ["logs:FilterLogEvents", "logs:GetLogEvents", "logs:DescribeLogStreams", "logs:StartQuery", "logs:GetQueryResults"], Resource = [for function in sort(var.functions) : "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/aws/lambda/${function}:*"] },
      { Sid = "Buckets", Effect = "Allow", Action = ["s3:GetBucketNotification"], Resource = [local.control, local.artifacts, local.uploads] },
      { Sid = "BucketPolicy", Effect = "Allow", Action = ["s3:GetBucketPolicy"], Resource = [local.control] },
      # The rule that the module queues makes, where EventBridge tells of uploads.
      { Sid = "UploadRule", Effect = "Allow", Action = ["events:DescribeRule", "events:ListTargetsByRule"], Resource = ["arn:${local.partition}:events:${local.region}:${local.account}:rule/${var.name}-uploads"] },
      # AWS knows these actions for no single resource; all of them only look.
      { Sid = "Doctor", Effect = "Allow", Action = ["ecr:GetAuthorizationToken", "servicequotas:GetServiceQuota"], Resource = ["*"] },
      { Sid = "Cluster", Effect = "Allow", Action = ["eks:DescribeCluster", "eks:ListPodIdentityAssociations"], Resource = [var.cluster_arn] },
      { Sid = "ClusterParts", Effect = "Allow", Action = ["eks:DescribeAddon", "eks:DescribeAccessEntry", "eks:DescribePodIdentityAssociation"], Resource = [for part in ["addon", "access-entry", "podidentityassociation"] : "${replace(var.cluster_arn, ":cluster/", ":${part}/")}/*"] },
    ],
    # The stack's own roles by their names' beginning: each namespace has one, and a policy has 6144 characters.
    [{ Sid = "RolePermissions", Effect = "Allow", Action = ["iam:SimulatePrincipalPolicy"], Resource = distinct(concat(["arn:${local.partition}:iam::${local.account}:role${var.iam_path}${var.name}-*"], var.role_arns)) }],
    var.repository_arn == null ? [] : [{
      Sid      = "PushExecutor"
      Effect   = "Allow"
      Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"]
      Resource = [var.repository_arn]
    }],
  )
}
