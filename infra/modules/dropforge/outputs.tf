output "dropforge" {
  description = "All that `dropforge deploy` and the command's contexts read, as one value: `terraform output -json dropforge`."
  value = {
    format  = 1
    name    = var.name
    region  = data.aws_region.current.id
    account = data.aws_caller_identity.current.account_id

    control_bucket  = module.storage.buckets.control
    artifact_bucket = module.storage.buckets.artifacts
    upload_bucket   = module.storage.buckets.uploads

    events_queue_url       = module.queues.urls.events
    events_queue_arn       = module.queues.arns.events
    upload_queue_url       = module.queues.urls.uploads
    upload_queue_arn       = module.queues.arns.uploads
    dead_letter_queue_urls = module.queues.dead_letter_urls

    # What doctor compares the upload bucket with, whoever owns that.
    upload_notification = var.upload_notification
    upload_rule         = module.queues.upload_rule

    # Those that roles and people use themselves.
    kms_key_arns = {
      buckets   = distinct(compact(concat([var.kms_key_arns.storage], var.kms_key_arns.others)))
      queues    = compact([var.kms_key_arns.queues])
      schedules = compact([var.kms_key_arns.schedules])
    }

    schedule_group     = module.scheduler.group
    scheduler_role_arn = module.scheduler.role_arn

    days_max = var.days_max

    cluster          = { for field in ["name", "arn", "endpoint", "certificate_authority"] : field => local.cluster[field] }
    kubernetes_group = module.eks_access.kubernetes_group

    executor_repository = one(module.registry[*].repository_url)
    executor_image      = local.executor_image

    namespaces = {
      for namespace, of in var.namespaces : namespace => {
        service_account = of.service_accounts[0]
        role_arn        = module.pod_identity.role_arns[namespace]
        isolation       = module.pod_identity.isolation
        pod_security    = of.pod_security
        model_prefixes  = of.model_prefixes
        upload_prefixes = of.upload_prefixes
        pull_secrets    = distinct(concat(of.pull_secrets, try([for secret in local.pod_defaults.spec.imagePullSecrets : secret.name], [])))
      }
    }

    functions       = module.functions.functions
    people_policies = module.people.policy_arns
    alarm_topic_arn = module.observability.topic_arn
  }
}

output "policies" {
  description = "What each function, the schedules, the steps of each namespace and people may, as JSON. For roles that are given their owners attach these."
  value = {
    functions = module.functions.policies
    scheduler = module.scheduler.policy
    steps     = module.pod_identity.policies
    people    = module.people.policies
  }
}

output "trust_policies" {
  description = "Who may take the role of a namespace's steps, as JSON."
  value       = module.pod_identity.trust_policies
}

output "bucket_policies" {
  description = "The buckets' policies. The owners of existing buckets add their statements."
  value       = module.storage.bucket_policies
}

output "kms_key_statements" {
  description = "Statements that the keys of `kms_key_arns` need in their policies, by key: `queues`, `logs`, `alarms`; null without that key."
  value       = { queues = module.queues.kms_key_statements, logs = module.functions.kms_key_statements, alarms = module.observability.kms_key_statements }
}
