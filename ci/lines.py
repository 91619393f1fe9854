"""Command lines of plans against the real tools: `ci/lines` calls this.

Every tool reads its flags before it sees `--help`, so a line with `--help` in it is parsed as it stands, and nothing is done. That this
would notice a wrong flag is tried first, with a flag that no tool has.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

DDIL = os.environ["DDIL"]
CHART_TOOLS = pathlib.Path(os.environ["CHART_TOOLS"])
CLUSTER_TOOLS = pathlib.Path(os.environ["CLUSTER_TOOLS"])
IMAGES = ["--image", "registry.example/peat-node:0.1.0", "--emulator-image", "registry.example/ddil:0.1.0"]
# What is planned: links, nodes that crash and come later, and clusters that exist.
PLANS = [
    ["two-cluster-blackout"],
    ["two-cluster-blackout", "--context", "alpha=a", "--context", "bravo=b", *IMAGES],
    ["ci/machines.toml"],
]
VARIABLE = re.compile(r"\$\{([A-Z_0-9]+)\}")
# Commands with a second word.
GROUPS = {"docker": {"network"}, "k3d": {"cluster", "image", "kubeconfig"}}

wrong = []
checked = {}


def newest(pattern):
    found = sorted(CHART_TOOLS.glob(pattern))
    return str(found[-1]) if found else None


def tool(name):
    ours = CLUSTER_TOOLS / "bin" / name
    if ours.exists():
        return str(ours)
    if name == "helm":
        return newest("bin/helm-*") or shutil.which("helm")
    return shutil.which(name)


def ended(program, arguments, given=""):
    return subprocess.run([program, *arguments], input=given, capture_output=True, text=True, timeout=120)


def parsed(name, program, arguments):
    """Runs the line with `--help` behind its command, where also `docker run` takes it for its own."""
    if name == "docker":
        place = 2 if arguments[0] in GROUPS["docker"] else 1
        return ended(program, [*arguments[:place], "--help", *arguments[place:]])
    return ended(program, [*arguments, "--help"])


def steps(plan):
    for phase in plan["set_up"]:
        yield from phase["steps"]
    for event in plan["timeline"]:
        yield from event["steps"]
    yield from plan["collect"]["steps"]
    yield from plan["clean_up"]["steps"]


def plain(text):
    """Any value will do for a parser."""
    return VARIABLE.sub(lambda found: "10.9.8.7" if found[1].startswith("IP_") else "x", text)


def rendered(helm, step, arguments):
    """The objects that the chart makes of what it is given, against those that the plan says there will be."""
    name, chart = arguments[-2:]
    done = ended(helm, ["template", name, chart, "--namespace", "ddil", "--values", "-"], plain(step["input"]))
    if done.returncode:
        wrong.append(f"{step['line']}\n  the chart refuses its values: {done.stderr.strip()}")
        return
    made = {
        (re.search(r"^kind: (\S+)", part, re.M)[1], re.search(r"^  name: (\S+)", part, re.M)[1])
        for part in done.stdout.split("\n---\n")
        if "kind:" in part and "helm.sh/hook" not in part
    }
    # A claim and a pod are made by the StatefulSet.
    said = {(o["kind"], o["name"]) for o in step["makes"] if o["kind"] not in {"Helm release", "PersistentVolumeClaim", "Pod"}}
    if made != said:
        wrong.append(f"{step['line']}\n  only in the plan: {sorted(said - made)}\n  only in the chart: {sorted(made - said)}")
    checked["releases"] = checked.get("releases", 0) + 1


def valid(kubeconform, step):
    schemas = sorted((CHART_TOOLS / "schemas").glob("v*-strict"))
    place = str(schemas[-1].parent / "{{ .NormalizedKubernetesVersion }}{{ .StrictSuffix }}/{{ .ResourceKind }}{{ .KindSuffix }}.json")
    version = schemas[-1].name[1:].removesuffix("-strict")
    arguments = ["-strict", "-kubernetes-version", version, "-schema-location", place, "-"]
    done = ended(kubeconform, arguments, plain(step["input"]))
    if done.returncode:
        wrong.append(f"{step['line']}\n  what it reads is not valid: {done.stdout}{done.stderr}")
    checked["manifests"] = checked.get("manifests", 0) + 1


tools = {name: tool(name) for name in ("docker", "k3d", "kubectl", "helm")}
kubeconform = newest("bin/kubeconform-*") if list((CHART_TOOLS / "schemas").glob("v*-strict")) else None
for name, program in tools.items():
    if program is None:
        print(f"SKIPPED: lines of {name} are NOT checked: it is not here")
        continue
    first = {"docker": ["version"], "k3d": ["cluster", "create"], "kubectl": ["apply"], "helm": ["upgrade"]}[name]
    if parsed(name, program, [*first, "--no-such-flag"]).returncode == 0:
        wrong.append(f"{name} takes a flag that it does not have: nothing of it can be checked in this way")
if kubeconform is None:
    print("SKIPPED: manifests are NOT held against Kubernetes' schemas: ci/chart has not fetched them")

seen = set()
with tempfile.TemporaryDirectory() as folder:
    for arguments in PLANS:
        printed = ended(DDIL, ["run", *arguments, "--world", "k3d", "--plan", "--json"])
        if printed.returncode:
            sys.exit(f"{arguments}: {printed.stderr}")
        for step in steps(json.loads(printed.stdout)):
            name, program = step.get("program"), tools.get(step.get("program"))
            if program is None:
                continue
            words = [plain(word) for word in step["arguments"]]
            if (name, *words) in seen:
                continue
            seen.add((name, *words))
            done = parsed(name, program, words)
            if done.returncode:
                wrong.append(f"{step['line']}\n  {name} does not take it: {done.stderr.strip()}")
            checked[name] = checked.get(name, 0) + 1
            if name == "helm" and words[0] == "upgrade":
                rendered(program, step, words)
            if name == "kubectl" and "apply" in words and kubeconform:
                valid(kubeconform, step)

print("checked " + ", ".join(f"{count} of {what}" for what, count in sorted(checked.items())))
for what in wrong:
    print(f"FAILED {what}")
sys.exit(1 if wrong else 0)
