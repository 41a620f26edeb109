# What each function may. Nobody deletes a journal, a claim or a verdict; nobody reads a secret; the right to create pods
# is Kubernetes' own (the eks-access module), not IAM's.
locals {
  control   = "arn:${local.partition}:s3:::${var.buckets.control}"
  artifacts = "arn:${local.partition}:s3:::${var.buckets.artifacts}"
  uploads   = "arn:${local.partition}:s3:::${var.buckets.uploads}"

  # Folders of the control bucket by function.
  access = {
    ingest = {
      read   = ["live", "runs", "journals", "definitions", "cluster-definitions", "triggers", "crons", "starters", "index"]
      write  = ["live", "runs", "triggers", "crons", "starters", "index"]
      delete = ["live", "triggers", "crons", "starters", "index"]
    }
    advance = {
      read   = ["live", "runs", "journals", "attempts", "logs", "definitions", "cluster-definitions", "triggers", "crons", "starters", "locks", "memo", "index", "environments", "admission", "images", "settings"]
      write  = ["live", "runs", "journals", "attempts", "triggers", "crons", "starters", "locks", "memo", "index", "admission", "images", "settings"]
      delete = ["live", "runs/*/inbox", "index", "triggers", "crons", "starters", "locks"]
    }
    sweep = {
      read   = ["live", "runs", "journals", "attempts", "definitions", "cluster-definitions", "triggers", "crons", "starters", "locks", "index", "admission", "settings", "sweeping"]
      write  = ["live", "runs", "triggers", "crons", "starters", "locks", "index", "admission", "settings", "sweeping"]
      delete = ["live", "index", "triggers", "crons", "starters", "locks", "sweeping"]
    }
    # It performs requests to Kubernetes, and knows no bucket.
    dispatch = { read = [], write = [], delete = [] }
  }

  allow = {
    for function in local.functions : function => concat(
      local.control_access[function],
      local.log_access[function],
      length(local.access[function].read) == 0 ? [] : local.kms_access,
      local.own_access[function],
    )
  }

  policies = { for function, statements in local.allow : function => jsonencode({ Version = "2012-10-17", Statement = statements }) }

  control_access = {
    for function, folders in local.access : function => concat(
      length(folders.read) == 0 ? [] : [
        { Sid = "ControlRead", Effect = "Allow", Action = ["s3:GetObject"], Resource = [for folder in folders.read : "${local.control}/${folder}/*"] },
        # Not only to list: without it S3 answers 403 and not 404 for what is not there.
        { Sid = "ControlList", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [local.control] },
      ],
      length(folders.write) == 0 ? [] : [
        { Sid = "ControlWrite", Effect = "Allow", Action = ["s3:PutObject"], Resource = [for folder in folders.write : "${local.control}/${folder}/*"] },
      ],
      length(folders.delete) == 0 ? [] : [
        { Sid = "ControlDelete", Effect = "Allow", Action = ["s3:DeleteObject"], Resource = [for folder in folders.delete : "${local.control}/${folder}/*"] },
      ],
    )
  }

  log_access = {
    for function, name in local.names : function => [{
      Sid      = "OwnLogs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/aws/lambda/${name}:*"]
    }]
  }

  kms_keys = compact(concat([var.kms_key_arns.storage, var.kms_key_arns.queues], var.kms_key_arns.others))
  kms_access = length(local.kms_keys) == 0 ? [] : [{
    Sid       = "Keys"
    Effect    = "Allow"
    Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource  = distinct(local.kms_keys)
    Condition = { StringEquals = { "kms:ViaService" = ["s3.${local.region}.amazonaws.com", "sqs.${local.region}.amazonaws.com"] } }
  }]

  own_access = {
    ingest   = concat([local.reads.ingest, local.rings], local.reads_uploads, local.timers, local.artifact_access, local.in_vpc, local.traces)
    advance  = concat([local.reads.advance, local.rings], local.timers, local.entrypoints, local.artifact_access, local.dispatches, local.in_vpc, local.traces)
    sweep    = concat([local.rings], local.timers, local.artifact_access, local.dispatches, local.in_vpc, local.traces)
    dispatch = concat(local.interfaces, local.traces)
  }

  reads = {
    for function, arn in local.readers : function => {
      Sid      = "ReadQueue"
      Effect   = "Allow"
      Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"]
      Resource = [arn]
    }
  }

  # A message about an upload is not believed: the object itself is asked.
  # A prefix that is the beginning of others stands for them.
  upload_prefixes = [for prefix in sort(var.upload_prefixes) : prefix if !anytrue([for other in var.upload_prefixes : other != prefix && startswith(prefix, other)])]
  reads_uploads = [
    { Sid = "ReadUploads", Effect = "Allow", Action = ["s3:GetObject", "s3:GetObjectVersion"], Resource = [for prefix in local.upload_prefixes : "${local.uploads}/${prefix}*"] },
    # Without it S3 answers 403 and not 404 for an upload that was deleted meanwhile, whose message would come again and again.
    { Sid = "ListUploads", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [local.uploads] },
  ]

  rings = {
    Sid      = "Ring"
    Effect   = "Allow"
    Action   = ["sqs:SendMessage"]
    Resource = [var.queues.events.arn, var.queues.uploads.arn]
  }

  timers = [
    {
      Sid      = "Schedules"
      Effect   = "Allow"
      Action   = ["scheduler:CreateSchedule", "scheduler:GetSchedule", "scheduler:UpdateSchedule", "scheduler:DeleteSchedule"]
      Resource = ["arn:${local.partition}:scheduler:${local.region}:${local.account}:schedule/${var.scheduler.group}/*"]
    },
    {
      # Names no schedule: those of the group are asked for by their names' beginning.
      Sid      = "ListSchedules"
      Effect   = "Allow"
      Action   = ["scheduler:ListSchedules"]
      Resource = ["*"]
    },
    {
      Sid       = "LendSchedulerRole"
      Effect    = "Allow"
      Action    = ["iam:PassRole"]
      Resource  = [var.scheduler.role_arn]
      Condition = { StringEquals = { "iam:PassedToService" = "scheduler.amazonaws.com" } }
    },
  ]

  # Results that are too large for the journal are read and merged; what `artifactGC`, history limits and TTLs name is deleted.
  # The bucket keeps old versions, so that a deletion can be undone.
  # A bucket that is the stack's alone is named whole: all its namespaces are served here, and a policy has 10240 characters.
  artifact_access = concat(
    [
      {
        Sid      = "Artifacts"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
        Resource = var.artifact_bucket_shared ? [for namespace in sort(var.namespaces) : "${local.artifacts}/${namespace}/*"] : ["${local.artifacts}/*"]
      },
    ],
    # S3 takes a missing key for the prefix of a listing: whoever may list below it is told 404 and not 403.
    [merge(
      { Sid = "ListArtifacts", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [local.artifacts] },
      [for namespaces in [sort(var.namespaces)] : { Condition = { StringLike = { "s3:prefix" = [for each in namespaces : "${each}/*"] } } } if var.artifact_bucket_shared]...
    )],
    length(var.model_prefixes) == 0 ? [] : [{
      Sid      = "Models"
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:DeleteObject"]
      Resource = [for prefix in sort(var.model_prefixes) : "arn:${local.partition}:s3:::${prefix}*"]
    }],
    # One statement for each bucket: a prefix of one is none of another.
    [for bucket in distinct([for prefix in sort(var.model_prefixes) : split("/", prefix)[0]]) : {
      Sid       = "ListModels${join("", [for word in split("-", replace(bucket, ".", "-")) : title(word)])}"
      Effect    = "Allow"
      Action    = ["s3:ListBucket"]
      Resource  = ["arn:${local.partition}:s3:::${bucket}"]
      Condition = { StringLike = { "s3:prefix" = [for prefix in sort(var.model_prefixes) : "${trimprefix(prefix, "${bucket}/")}*" if split("/", prefix)[0] == bucket] } }
    }],
  )

  dispatches = var.dispatch == null ? [] : [{
    Sid      = "Dispatch"
    Effect   = "Allow"
    Action   = ["lambda:InvokeFunction"]
    Resource = [local.dispatch_arn]
  }]

  entrypoints = length(var.entrypoint_repository_arns) == 0 ? [] : [
    {
      Sid      = "Entrypoints"
      Effect   = "Allow"
      Action   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Resource = var.entrypoint_repository_arns
    },
    # ECR knows this action for no single repository.
    { Sid = "RegistryLogin", Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = ["*"] },
  ]

  # EC2 knows these actions for no single interface; this is what AWSLambdaVPCAccessExecutionRole allows.
  interfaces = [{
    Sid    = "NetworkInterfaces"
    Effect = "Allow"
    Action = [
      "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface",
      "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
    ]
    Resource = ["*"]
  }]

  in_vpc = var.vpc == null ? [] : local.interfaces

  # X-Ray knows these actions for no single resource.
  traces = var.tracing != "Active" ? [] : [{
    Sid      = "Traces"
    Effect   = "Allow"
    Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
    Resource = ["*"]
  }]
}
