# A cluster in which nothing runs has no node.
mock_provider "aws" {
  source = "./mocks"
}

variables {
  name       = "demo"
  subnet_ids = ["subnet-1", "subnet-2"]
}

run "nodes_come_and_go_by_themselves" {
  module {
    source = "../modules/cluster"
  }

  assert {
    condition     = aws_eks_cluster.this.compute_config[0].enabled && aws_eks_cluster.this.storage_config[0].block_storage[0].enabled && aws_eks_cluster.this.kubernetes_network_config[0].elastic_load_balancing[0].enabled
    error_message = "EKS takes the three parts of Auto Mode together"
  }
  assert {
    condition     = toset(aws_eks_cluster.this.compute_config[0].node_pools) == toset(["general-purpose", "system"])
    error_message = "both pools have no node while no pod needs one, and there is no node group beside them"
  }
  assert {
    condition     = aws_eks_cluster.this.bootstrap_self_managed_addons == false
    error_message = "add-ons that run as pods would keep a node alive"
  }
}

run "gpu_nodes_go_when_they_are_empty" {
  command = plan

  module {
    source = "./yaml"
  }

  variables {
    file = "../../kubernetes/cluster/gpu-node-pool.yaml"
  }

  assert {
    condition     = output.object.spec.disruption == { consolidationPolicy = "WhenEmpty", consolidateAfter = "5m" } && output.object.spec.limits == { "nvidia.com/gpu" = 8 }
    error_message = "an empty GPU node goes after five minutes, a busy one never, and no more than eight GPUs are bought"
  }
  assert {
    condition     = output.object.spec.template.spec.taints == [{ key = "nvidia.com/gpu", effect = "NoSchedule" }]
    error_message = "a pod without a GPU never starts such a node"
  }
  assert {
    condition     = { for of in output.object.spec.template.spec.requirements : of.key => of.values if startswith(of.key, "eks.amazonaws.com/") } == { "eks.amazonaws.com/instance-gpu-manufacturer" = ["nvidia"], "eks.amazonaws.com/instance-category" = ["g"] }
    error_message = "only instances that the quota counts of which doctor tells"
  }
}

run "nobody_reaches_it_from_outside_unless_named" {
  module {
    source = "../modules/cluster"
  }

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_public_access == false && aws_eks_cluster.this.vpc_config[0].endpoint_private_access
    error_message = "private by default"
  }
  assert {
    condition     = aws_eks_cluster.this.access_config[0].authentication_mode == "API"
    error_message = "access entries, no config map"
  }
}

run "the_device_plugin_keeps_to_nodes_that_lack_it" {
  command = plan

  module {
    source = "./yaml"
  }

  variables {
    file = "../../kubernetes/cluster/nvidia-device-plugin.yaml"
  }

  assert {
    condition = {
      for name, labels in {
        node_group      = { "node.kubernetes.io/instance-type" = "g5.xlarge", "eks.amazonaws.com/nodegroup" = "gpu" }
        new_image       = { "node.kubernetes.io/instance-type" = "g99.xlarge", "nvidia.com/gpu.present" = "true" }
        karpenter       = { "node.kubernetes.io/instance-type" = "g99.xlarge", "karpenter.k8s.aws/instance-gpu-manufacturer" = "nvidia" }
        no_gpu          = { "node.kubernetes.io/instance-type" = "m5.large", "eks.amazonaws.com/nodegroup" = "cpu" }
        amd             = { "node.kubernetes.io/instance-type" = "g4ad.xlarge", "karpenter.k8s.aws/instance-gpu-manufacturer" = "amd" }
        auto_mode       = { "node.kubernetes.io/instance-type" = "g5.xlarge", "eks.amazonaws.com/compute-type" = "auto", "nvidia.com/gpu.present" = "true" }
        bottlerocket    = { "node.kubernetes.io/instance-type" = "g5.xlarge", "nvidia.com/gpu.deploy.device-plugin" = "false" }
        update_operator = { "node.kubernetes.io/instance-type" = "g5.xlarge", "nvidia.com/gpu.present" = "true", "bottlerocket.aws/updater-interface-version" = "2.0.0" }
        labelled        = { "karpenter.k8s.aws/instance-gpu-manufacturer" = "nvidia", "nvidia.com/gpu.deploy.device-plugin" = "false" }
        } : name => anytrue([for term in output.object.spec.template.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms : alltrue([
          for one in term.matchExpressions :
          one.operator == "In" ? contains(one.values, lookup(labels, one.key, "")) :
          one.operator == "NotIn" ? !contains(one.values, lookup(labels, one.key, "")) :
          one.operator == "DoesNotExist" && !contains(keys(labels), one.key)
      ])])
    } == { node_group = true, new_image = true, karpenter = true, no_gpu = false, amd = false, auto_mode = false, bottlerocket = false, update_operator = false, labelled = false }
    error_message = "neither where there is no GPU of NVIDIA's, nor where the node's own system brings the plugin"
  }
}

run "named_addresses_do" {
  module {
    source = "../modules/cluster"
  }

  variables {
    public_access_cidr_blocks = ["203.0.113.0/24"]
  }

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["203.0.113.0/24"])
    error_message = "those and no others"
  }
}

run "without_a_pool_of_eks_a_warning_tells_of_the_node_class" {
  command = plan

  module {
    source = "../modules/cluster"
  }

  variables {
    node_pools = []
  }

  expect_failures = [check.node_class]
}

run "bad_input_is_refused" {
  command = plan

  module {
    source = "../modules/cluster"
  }

  variables {
    name                      = "demo cluster"
    kubernetes_version        = "1.28"
    subnet_ids                = ["subnet-1", "subnet-1"]
    public_access_cidr_blocks = ["office"]
    node_pools                = ["gpu"]
  }

  expect_failures = [var.name, var.kubernetes_version, var.subnet_ids, var.public_access_cidr_blocks, var.node_pools]
}
