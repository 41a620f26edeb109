"""Runs a recording's workflow by `dropforge run`, with processes."""
import json
import os
import re
import shutil
import subprocess
import tempfile

import features

# What a machine without images has: a shell's tools, and Python with its standard library.
IMAGES = re.compile(r"^(busybox|alpine|debian|ubuntu|bash|python)(:[\w.-]+)?$")
SLOW = 20
# The recordings were made with every pod's logs kept, and with this claim.
SETTINGS = '[workflow-defaults.spec]\narchiveLogs = true\n[claims]\nmy-existing-volume = "./claim"\n'


def why_not(manifest, entry):
    """Why this machine can't run it, or None."""
    used = features.of(manifest)
    if "resource" in used:
        return "resource templates need a cluster"
    for image in re.findall(r"(?m)\bimage:\s*[\"']?([^\s\"',}]+)", re.sub(r"(?m)^\s*#.*$", "", manifest)):
        if not IMAGES.match(image):
            return f"nothing stands in for the image {image.split(':')[0]}"
    sleeps = [int(n) for n in re.findall(r"sleep[\s\",\[]+(\d+)", manifest)]
    if sum(sleeps) > SLOW or re.search(r"sleep[\s\",\[]+\{\{", manifest) or "suspend" in used:
        return f"waits longer than {SLOW} s by the clock, or for a person"
    if re.search(r"\brandom\b|flip-coin", manifest):
        return "chance decides what it does"
    if "configMapKeyRef" in manifest:
        return "reads a config map of the cluster"
    if "daemon" in used:
        return "a daemon is a server of its image"
    return None


def run(program, folder, entry, before):
    """The finished run and no reason, or none and the reason."""
    # The supervisor may still be leaving.
    with tempfile.TemporaryDirectory(prefix="conformance-", ignore_cleanup_errors=True) as place:
        os.mkdir(os.path.join(place, "claim"))
        with open(os.path.join(place, "dropforge.toml"), "w") as settings:
            settings.write(SETTINGS)
        manifest = os.path.join(place, "workflow.yaml")
        shutil.copy(os.path.join(folder, "workflows", entry["workflow"]), manifest)
        command = [program, "run", manifest, *needed(manifest, before), "--namespace", "argo", "-o", "json", "--store", os.path.join(place, "store")]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=place)
        except subprocess.TimeoutExpired:
            return None, "no end within 100 s"
        if done.returncode not in (0, 1) or not done.stdout.strip():
            said = done.stderr.strip().splitlines()
            return None, said[0][:200] if said else f"exit {done.returncode}"
        return documents(done.stdout)[entry["document"]], None


def needed(manifest, before):
    """The prerequisites whose objects the manifest names, or that those name; claims are folders here."""
    with open(manifest) as text:
        seen, found, left = text.read(), [], list(before)
        while chosen := [path for path in left if names(path) & set(re.findall(r"\bname:\s*[\"']?([\w.-]+)", seen))]:
            left = [path for path in left if path not in chosen]
            found += chosen
            seen += "".join(content(path) for path in chosen)
    return [path for path in found if "kind: PersistentVolumeClaim" not in content(path)]


def names(path):
    return set(re.findall(r"(?m)^metadata:\s*(?:\n\s+|\{)name:\s*([\w.-]+)", content(path)))


def content(path):
    with open(path) as text:
        return text.read()


def documents(text):
    """The JSON values that stand one after another in a text; a list is its items."""
    found, decoder, at = [], json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        value, at = decoder.raw_decode(text, at)
        found.extend(value if isinstance(value, list) else [value])
        while at < len(text) and text[at].isspace():
            at += 1
    return found
