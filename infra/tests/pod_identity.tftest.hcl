# Who may be a step, and that a step is known by the pod it runs in.
mock_provider "aws" {
  source = "./mocks"
}

variables {
  name             = "demo"
  cluster          = { name = "research", arn = "arn:aws:eks:eu-central-1:111122223333:cluster/research" }
  buckets          = { control = "demo-control", artifacts = "demo-artifacts", uploads = "demo-uploads" }
  events_queue_arn = "arn:aws:sqs:eu-central-1:111122223333:demo-events"
  namespaces = {
    team-a = { model_prefixes = ["models/team-a/", "models/shared/", "registry/"] }
    team-b = {}
  }
}

run "a_role_for_each_namespace_taken_by_its_account_alone" {
  module {
    source = "../modules/pod-identity"
  }

  assert {
    condition = jsondecode(aws_iam_role.this["team-a"].assume_role_policy).Statement == [{
      Sid       = "PodIdentity"
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = {
        StringEquals = {
          "aws:RequestTag/eks-cluster-arn"            = var.cluster.arn
          "aws:RequestTag/kubernetes-namespace"       = "team-a"
          "aws:RequestTag/kubernetes-service-account" = ["dropforge-step"]
        }
      }
    }]
    error_message = "one cluster, one namespace, its service accounts"
  }
  assert {
    condition     = { for key, association in aws_eks_pod_identity_association.this : key => [association.namespace, association.service_account] } == { "team-a/dropforge-step" = ["team-a", "dropforge-step"], "team-b/dropforge-step" = ["team-b", "dropforge-step"] }
    error_message = "EKS gives the account its role"
  }
  assert {
    condition     = output.isolation == "pod"
    error_message = "a step is kept apart from each other step"
  }
  assert {
    condition     = length(aws_eks_addon.agent) == 0
    error_message = "the cluster has its agent"
  }
}

run "the_agent_is_installed_where_that_is_asked_for" {
  module {
    source = "../modules/pod-identity"
  }

  variables {
    install_agent = true
  }

  assert {
    condition     = [for agent in aws_eks_addon.agent : [agent.cluster_name, agent.addon_name]] == [["research", "eks-pod-identity-agent"]]
    error_message = "EKS's own agent, in this cluster"
  }
}

run "a_step_writes_below_its_own_pod" {
  module {
    source = "../modules/pod-identity"
  }

  assert {
    condition = { for statement in jsondecode(output.policies.team-a).Statement : statement.Sid => statement.Resource if startswith(statement.Sid, "Own") } == {
      OwnAttempt = ["arn:aws:s3:::demo-control/attempts/team-a/$${aws:PrincipalTag/kubernetes-pod-name}/*"]
      OwnLogs    = ["arn:aws:s3:::demo-control/logs/team-a/$${aws:PrincipalTag/kubernetes-pod-name}/*"]
    }
    error_message = "the pod's name comes from EKS's tag, not from the pod"
  }
  assert {
    condition     = { for statement in jsondecode(output.policies.team-a).Statement : statement.Sid => statement.Condition.StringLike["s3:prefix"] if startswith(statement.Sid, "ListModels") } == { ListModelsModels = ["team-a/*", "shared/*"], ListModelsRegistry = ["*"] }
    error_message = "a prefix of one bucket is none of another"
  }
  assert {
    condition     = length([for statement in jsondecode(output.policies.team-b).Statement : statement if strcontains(statement.Sid, "Models")]) == 0
    error_message = "no model prefix, no model bucket"
  }
}

run "without_pod_identity_namespaces_alone_are_kept_apart" {
  module {
    source = "../modules/pod-identity"
  }

  variables {
    oidc_provider = { arn = "arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/0", url = "https://oidc.eks.eu-central-1.amazonaws.com/id/0" }
  }

  assert {
    condition     = output.isolation == "namespace" && length(aws_eks_pod_identity_association.this) == 0
    error_message = "the stack says so"
  }
  assert {
    condition     = jsondecode(aws_iam_role.this["team-b"].assume_role_policy).Statement[0].Condition.StringEquals["oidc.eks.eu-central-1.amazonaws.com/id/0:sub"] == ["system:serviceaccount:team-b:dropforge-step"]
    error_message = "the role is for one namespace's account"
  }
  assert {
    condition     = anytrue([for statement in jsondecode(output.policies.team-b).Statement : statement.Resource == ["arn:aws:s3:::demo-control/attempts/team-b/*/*"] if statement.Sid == "OwnAttempt"])
    error_message = "no tag names the pod"
  }
}

run "a_namespace_that_reads_no_uploads" {
  module {
    source = "../modules/pod-identity"
  }

  variables {
    namespaces = { team-c = { upload_prefixes = [], role_arn = "arn:aws:iam::111122223333:role/corp/team-c" } }
  }

  assert {
    condition     = !strcontains(output.policies.team-c, "demo-uploads") && length(aws_iam_role.this) == 0
    error_message = "nothing of the upload bucket, and a given role is not written"
  }
}

run "bad_namespaces_are_refused" {
  command = plan

  module {
    source = "../modules/pod-identity"
  }

  variables {
    namespaces    = { Team_A = { model_prefixes = ["s3://models/"], upload_prefixes = ["/x"], role_arn = "role", service_accounts = [] } }
    oidc_provider = { arn = "oidc", url = "https://oidc" }
    kms_key_arns  = ["alias/x"]
    iam_path      = "x"
  }

  expect_failures = [var.namespaces, var.oidc_provider, var.kms_key_arns, var.iam_path]
}

run "an_issuer_that_is_not_the_providers_is_refused" {
  command = plan

  module {
    source = "../modules/pod-identity"
  }

  variables {
    oidc_provider = { arn = "arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/0", url = "https://oidc.eks.eu-central-1.amazonaws.com/id/1" }
  }

  expect_failures = [var.oidc_provider]
}
