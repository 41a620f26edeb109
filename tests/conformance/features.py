"""Which features a manifest uses, told by its fields."""
import re

FIELDS = {
    "artifacts": "artifacts", "container": "container", "containerSet": "containerSet", "continueOn": "continueOn", "daemon": "daemon",
    "dag": "dag", "depends": "depends|dependencies", "deadline": "activeDeadlineSeconds|timeout", "hooks": "hooks|onExit",
    "http": "http", "initContainers": "initContainers", "inline": "inline", "loops": "withItems|withParam|withSequence",
    "memoize": "memoize", "metrics": "metrics", "parallelism": "parallelism", "podSpecPatch": "podSpecPatch", "resource": "resource",
    "retry": "retryStrategy", "script": "script", "sidecars": "sidecars", "steps": "steps", "suspend": "suspend",
    "synchronization": "synchronization", "templateDefaults": "templateDefaults", "templateRef": "templateRef|workflowTemplateRef",
    "volumes": "volumes|volumeClaimTemplates", "when": "when",
}
PATTERNS = {name: re.compile(rf'(?:^|[\s{{,"-])(?:{fields})"?:(?:\s|$)', re.M) for name, fields in FIELDS.items()}
PATTERNS["expressions"] = re.compile(r"\{\{=")
PATTERNS["data"] = re.compile(r"(?m)\bdata:\s*\n\s+source:")


def of(manifest):
    """The features of a manifest's text, its comments left out."""
    text = re.sub(r"(?m)^\s*#.*$", "", manifest)
    return [name for name, pattern in PATTERNS.items() if pattern.search(text)]
