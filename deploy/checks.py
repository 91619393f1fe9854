"""What a platform engineer would look for in the rendered chart and in the files beside it, looked for by a program.

  checks.py files [UPDATE]   rendered manifests against each other, profile `restricted`, and against what the node can be told
  checks.py packages FOLDER  writes the values that the Zarf package and the UDS bundle give the chart, for it to be rendered with
  checks.py start BINARY     starts the node with the environment of each rendered container, in namespaces of its own:
                             unshare --map-root-user --net --mount python3 deploy/checks.py start target/debug/peat-node
  checks.py sweeps BINARY    runs the shards of the rendered sweeps by their arguments, with target/debug/ddil, and merges them

`ci/chart` calls them, after it has rendered. Needs PyYAML. Exit code 1: something is wrong, and every wrong thing was printed.
"""

import json
import os
import pathlib
import re
import sys

import yaml

from checks_start import start  # noqa: E402  (a file of its own: it needs namespaces, this does not)
from checks_sweep import sweeps

TOP = pathlib.Path(__file__).resolve().parent.parent
DEPLOY = TOP / "deploy"
CHART = DEPLOY / "chart" / "peat-node"
EXAMPLE = DEPLOY / "chart" / "example-app"
SWEEP = DEPLOY / "chart" / "ddil-sweep"
HELP = TOP / "node/src/config/flags/snapshots"
VARIABLE = re.compile(r"\bPEAT_NODE_[A-Z][A-Z_]*[A-Z]\b")

# Variables of the node that the chart has no value for, and why.
NOT_IN_THE_CHART = {"PEAT_NODE_MESH_ADDRESS": "a pod has one address, or listens on all it has"}
# Variables that are not the node's: of the compose file and of the image's build.
NOT_OF_THE_NODE = {"PEAT_NODE_IMAGE"}
# Secrets: never in plain text in a manifest.
SECRET_VARIABLES = {"FORMATION_KEY", "PEAT_NODE_SHARED_KEY_PREVIOUS", "PEAT_NODE_RELAY_TOKEN"}

wrong = []


def check(holds, where, what):
    if not holds:
        wrong.append(f"{where}: {what}")
    return holds


def documents(path):
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def snapshots():
    """Name of the set -> its objects."""
    return {
        f"{chart.name}/{path.stem}": documents(path)
        for chart in (CHART, EXAMPLE, SWEEP)
        for path in sorted((chart / "ci/snapshots").glob("*.yaml"))
    }


def variables_of(*names):
    text = "".join((HELP / f"peat_node__config__flags__tests__{name}.snap").read_text() for name in names)
    return set(VARIABLE.findall(text))


def matches(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


def pods(objects):
    """(object, labels of its pods, pod spec) of everything that makes pods."""
    for each in objects:
        if each["kind"] in ("StatefulSet", "Job"):
            yield each, each["spec"]["template"]["metadata"]["labels"], each["spec"]["template"]["spec"]
        elif each["kind"] == "Pod":
            yield each, each["metadata"]["labels"], each["spec"]


def containers(spec):
    return spec.get("initContainers", []) + spec["containers"]


def check_objects(name, objects):
    ids = [(each["kind"], each["metadata"]["name"]) for each in objects]
    check(len(ids) == len(set(ids)), name, f"two objects have one name: {ids}")
    for each in objects:
        meta, where = each["metadata"], f"{name} {each['kind']}"
        check(meta.get("namespace") == "fleet", where, "it names no namespace, so that kubectl apply puts it anywhere")
        check(re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", meta["name"]), where, f"bad name {meta['name']}")
        for value in meta.get("labels", {}).values():
            check(len(str(value)) <= 63, where, f"label {value} is too long")


def check_restricted(name, objects):
    for each, _, spec in pods(objects):
        where = f"{name} {each['metadata']['name']}"
        check(spec.get("automountServiceAccountToken") is False, where, "the token of the account is mounted")
        check(spec.get("enableServiceLinks") is False, where, "services become variables")
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            check(not spec.get(key), where, f"{key} is set")
        for volume in spec.get("volumes", []):
            check("hostPath" not in volume, where, f"volume {volume['name']} is of the host")
        for container in containers(spec):
            at = f"{where}/{container['name']}"
            context = {**spec.get("securityContext", {}), **container.get("securityContext", {})}
            check(context.get("runAsNonRoot") is True, at, "may run as root")
            check(context.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"), at, "has no seccomp profile")
            check(context.get("allowPrivilegeEscalation") is False, at, "may gain privileges")
            check(context.get("capabilities", {}).get("drop") == ["ALL"], at, "keeps capabilities")
            check(not context.get("capabilities", {}).get("add"), at, "adds capabilities")
            check(context.get("readOnlyRootFilesystem") is True, at, "may write to its image")
            check(context.get("runAsUser") != 0, at, "runs as root")
            for kind in ("requests", "limits"):
                check("memory" in container.get("resources", {}).get(kind, {}), at, f"has no {kind} of memory")
            image = container["image"].rsplit("/", 1)[-1]
            check("@sha256:" in image or re.search(r":(?!latest$).+", image), at, f"image {image} is not pinned")


def check_node(name, objects, known):
    """The container of the node: its variables, its files, its ports. Returns the variables that it has."""
    seen = set()
    for each, _, spec in pods(objects):
        claims = [claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", [])]
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        check(not set(claims) & volumes.keys(), name, "a claim and a volume have one name")
        used = {mount["name"] for container in containers(spec) for mount in container.get("volumeMounts", [])}
        check(used == set(claims) | volumes.keys(), name, f"volumes {sorted(volumes)} + {claims}, mounted {sorted(used)}")
        for container in containers(spec):
            if container["name"] != "peat-node":
                continue
            env = container["env"]
            names = [one["name"] for one in env]
            seen |= set(names)
            check(len(names) == len(set(names)), name, f"a variable is given twice: {names}")
            ours = {one for one in names if one.startswith("PEAT_NODE_")}
            check(ours <= known, name, f"the node knows no {sorted(ours - known)}")
            mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
            for one in env:
                if one["name"] in SECRET_VARIABLES:
                    check("secretKeyRef" in one.get("valueFrom", {}), name, f"{one['name']} is in plain text")
                value = one.get("value", "valueFrom")
                if one["name"] == "PEAT_NODE_SHARED_KEY":
                    check(value == " $(FORMATION_KEY)", name, "an empty entry of the Secret makes an open formation")
                    check(names.index("FORMATION_KEY") < names.index("PEAT_NODE_SHARED_KEY"), name, "it is not expanded")
                check(value, name, f"{one['name']} is empty: leave it out")
                if one["name"] == "PEAT_NODE_ENCRYPTION_KEY":
                    check(value.startswith("file:"), name, "the key of the store is in plain text")
                for path in re.findall(r"/run/secrets/[^/]+", value):
                    mounted = mounts.get(path)
                    if check(mounted, name, f"{one['name']} names {value}, and nothing is mounted there"):
                        check(mounted.get("readOnly"), name, f"{path} may be written")
                        check("subPath" not in mounted, name, f"{path} by subPath is never brought up to date")
            ports = [port["name"] for port in container["ports"]]
            check(len(ports) == len(set(ports)), name, f"two ports have one name: {ports}")
            for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
                check(container.get(probe, container["livenessProbe"])["httpGet"]["port"] == "metrics", name, f"{probe} asks another port")
            native = container.get("restartPolicy") == "Always"
            inside = container in spec.get("initContainers", [])
            check(native == inside, name, "a native sidecar is an init container, and only that")
    return seen


def check_selectors(name, objects):
    """Everything that selects pods or services finds those that it is for."""
    every_pod = [(labels, spec) for _, labels, spec in pods(objects)]
    nodes = [pod for pod in every_pod if any(one["name"] == "peat-node" for one in containers(pod[1]))]
    services = [each for each in objects if each["kind"] == "Service"]
    for each in objects:
        where = f"{name} {each['kind']} {each['metadata']['name']}"
        spec = each.get("spec", {})
        if each["kind"] == "Service":
            selector = dict(spec["selector"])
            pod = selector.pop("statefulset.kubernetes.io/pod-name", None)
            found = [one for one in every_pod if matches(selector, one[0])]
            check(found == nodes, where, f"selects {len(found)} kinds of pods")
            if pod:
                sets = {(one["metadata"]["name"], one["spec"]["replicas"]) for one in objects if one["kind"] == "StatefulSet"}
                check(any(pod in [f"{base}-{i}" for i in range(count)] for base, count in sets), where, f"no pod is {pod}")
            named = {port["name"] for _, one in found for container in containers(one) for port in container.get("ports", [])}
            for port in spec["ports"]:
                check(port["targetPort"] in named, where, f"no container has the port {port['targetPort']}")
        elif each["kind"] == "StatefulSet":
            heads = [one for one in services if one["metadata"]["name"] == spec["serviceName"]]
            if heads:
                check(heads[0]["spec"].get("clusterIP") == "None", where, "its service is not headless")
            else:
                check(name == "example-app/ephemeral", where, f"there is no service {spec['serviceName']}")
            check(matches(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]), where, "selects other pods")
        elif each["kind"] in ("PodDisruptionBudget", "NetworkPolicy"):
            selector = (spec.get("selector") or spec["podSelector"])["matchLabels"]
            found = [one for one in every_pod if matches(selector, one[0])]
            check(found == nodes, where, f"selects {len(found)} kinds of pods")
        elif each["kind"] == "ServiceMonitor":
            chosen = [one for one in services if matches(spec["selector"]["matchLabels"], one["metadata"]["labels"])]
            check(len(chosen) == 1, where, f"selects {len(chosen)} services, so that pods are scraped {len(chosen)} times")
            for end in spec["endpoints"]:
                check(all(end["port"] in [p["name"] for p in one["spec"]["ports"]] for one in chosen), where, "names no port")
        elif each["kind"] == "Package":
            for one in spec["network"].get("expose", []):
                check(one["service"] in [s["metadata"]["name"] for s in services], where, f"exposes {one['service']}, which is not there")
            for one in spec["monitor"]:
                chosen = [s for s in services if matches(one["selector"], s["metadata"]["labels"])]
                check(len(chosen) == 1, where, f"monitors {len(chosen)} services")
                check(any(matches(one["podSelector"], labels) for labels, _ in nodes), where, "monitors no pods")
    return nodes


def check_policy(name, objects):
    """The mesh, names, and nothing that is open to everyone."""
    for each in objects:
        if each["kind"] != "NetworkPolicy":
            continue
        for rule in each["spec"]["ingress"]:
            check(rule.get("from"), name, "a rule lets everyone in")
        for rule in each["spec"]["egress"]:
            check(rule.get("to"), name, "a rule lets the node out to everywhere")
        for rule in each["spec"]["ingress"] + each["spec"]["egress"]:
            for peer in rule.get("from", []) + rule.get("to", []):
                for selector, value in peer.items():
                    check(value and value.get("cidr") not in ("0.0.0.0/0", "::/0"), name, f"{selector} is everyone: {peer}")
        udp = [port for rule in each["spec"]["ingress"] for port in rule["ports"] if port["protocol"] == "UDP"]
        check(udp, name, "the mesh is not let in")


def check_discovery(name, objects):
    services = {each["metadata"]["name"]: each for each in objects if each["kind"] == "Service"}
    for _, _, spec in pods(objects):
        for container in containers(spec):
            for one in container.get("env", []):
                if one["name"] == "PEAT_NODE_DISCOVERY_SERVICE" and ".svc." in one["value"]:
                    service, namespace = one["value"].split(".")[:2]
                    check(one["value"].endswith("."), name, "the name does not end in a dot: the search list is asked too")
                    check(namespace == "fleet", name, f"asks in namespace {namespace}")
                    head = services.get(service)
                    check(head and head["spec"].get("publishNotReadyAddresses"), name, f"asks for {service}, which is not there")


def check_alerts(name, objects):
    """Alerts are about metrics that there are. docs/operations.md has them all, to which a unit test holds the node's page."""
    known = set(re.findall(r"\bpeat_[a-z_]+\b", (TOP / "docs/operations.md").read_text()))
    for each in objects:
        if each["kind"] == "PrometheusRule":
            for rule in each["spec"]["groups"][0]["rules"]:
                used = set(re.findall(r"\bpeat_[a-z_]+\b", rule["expr"]))
                check(used <= known, name, f"{rule['alert']} is about {sorted(used - known)}, which docs/operations.md does not know")


def values_with_comments(chart=CHART):
    """Path, comment and default of every value that has a comment, in the order of values.yaml."""
    text = (chart / "values.yaml").read_text()
    defaults = yaml.safe_load(text)
    found, stack, comment = [], [], []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if line.strip().startswith("# -- "):
            comment = [line.strip()[5:]]
        elif match := re.match(r"\s*([A-Za-z]\w*):", line):
            while stack and stack[-1][0] >= indent:
                stack.pop()
            stack.append((indent, match[1]))
            if comment:
                path = [key for _, key in stack]
                value = defaults
                for key in path:
                    value = value[key]
                found.append((".".join(path), comment[0], value))
                comment = []
    return found, defaults


def leaves(value, path=""):
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    else:
        yield path


def check_values(chart, update):
    """README.md has every value, and every value is set in some set of ci/, so that a snapshot shows what it does."""
    found, defaults = values_with_comments(chart)
    documented = [path for path, _, _ in found]
    for path in leaves(defaults):
        said = any(path == one or path.startswith(one + ".") for one in documented)
        check(said, f"{chart.name}/values.yaml", f"{path} has no comment that begins with --")
    tried = set()
    for path in chart.glob("ci/*.yaml"):
        tried |= set(leaves(yaml.safe_load(path.read_text()) or {}))
    if chart == CHART:
        for path in EXAMPLE.glob("ci/*.yaml"):
            tried |= set(leaves((yaml.safe_load(path.read_text()) or {}).get("peat-node", {})))
        tried |= set(leaves(yaml.safe_load((EXAMPLE / "values.yaml").read_text())["peat-node"]))
    for path in documented:
        check(any(one == path or one.startswith(path + ".") for one in tried), f"{chart.name}/ci", f"no set tries {path}")
    rows = ["| value | default | |", "|---|---|---|"]
    for path, comment, value in found:
        shown = json.dumps(value, ensure_ascii=False) if value != "" else ""
        rows.append(f"| `{path}` | {'`' + shown + '`' if shown else ''} | {comment.replace('|', chr(92) + '|')} |")
    readme = chart / "README.md"
    text = readme.read_text()
    head, _, rest = text.partition("<!-- values -->\n")
    _, _, tail = rest.partition("<!-- end of values -->")
    wanted = head + "<!-- values -->\n" + "\n".join(rows) + "\n<!-- end of values -->" + tail
    if update:
        readme.write_text(wanted)
    else:
        check(text == wanted, f"{chart.name}/README.md", "its table is not that of values.yaml: UPDATE=1 ci/chart")


def check_files_beside(known):
    """Compose, systemd, Dockerfiles, packages: what they name exists."""
    everywhere = known | NOT_OF_THE_NODE
    for path in [
        DEPLOY / "compose/compose.yaml", DEPLOY / "systemd/peat-node.service", DEPLOY / "systemd/peat-node.env",
        DEPLOY / "Dockerfile", DEPLOY / "Dockerfile.scratch", TOP / "docs/deploy.md", CHART / "README.md",
        *sorted((DEPLOY / "examples").glob("*.yaml")),
    ]:
        unknown = set(VARIABLE.findall(path.read_text())) - everywhere
        check(not unknown, path.relative_to(TOP), f"the node knows no {sorted(unknown)}")
    compose = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
    for name, service in compose["services"].items():
        check(service["read_only"] and service["cap_drop"] == ["ALL"], f"compose {name}", "is not locked down")
        for port in service["ports"]:
            check(port.startswith("127.0.0.1:"), f"compose {name}", f"port {port} is open to the network")
    members = re.search(r"^members = \[(.*)\]", (TOP / "Cargo.toml").read_text(), re.M)[1]
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    for member in re.findall(r'"([^"]+)"', members):
        check(f"!{member}" in ignore, "Dockerfile.dockerignore", f"it leaves out {member}, a member of the workspace")


def check_packages():
    """Versions and paths of chart, Zarf package and UDS bundle agree."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = chart["version"]
    cargo = re.search(r'^version = "([^"]+)"', (TOP / "Cargo.toml").read_text(), re.M)[1]
    check(chart["appVersion"] == cargo and version == cargo, "Chart.yaml", f"its versions are not that of Cargo.toml, {cargo}")
    sweep = yaml.safe_load((SWEEP / "Chart.yaml").read_text())
    check(sweep["version"] == sweep["appVersion"] == cargo, "ddil-sweep/Chart.yaml", f"its versions are not {cargo}")
    example = yaml.safe_load((EXAMPLE / "Chart.yaml").read_text())
    check(example["dependencies"][0]["version"] == version, "example-app/Chart.yaml", f"depends on another version than {version}")
    zarf = yaml.safe_load((DEPLOY / "zarf.yaml").read_text())
    check(zarf["metadata"]["version"] == version, "zarf.yaml", f"its version is not {version}")
    charts = {}
    for component in zarf["components"]:
        for one in component.get("charts", []):
            charts[component["name"], one["name"]] = one
            check(one["version"] == version, "zarf.yaml", f"chart {one['name']} has another version")
            check((DEPLOY / one["localPath"] / "Chart.yaml").exists(), "zarf.yaml", f"there is no {one['localPath']}")
        files = [file for one in component.get("manifests", []) for file in one["files"]]
        files += [file for one in component.get("charts", []) for file in one.get("valuesFiles", [])]
        declared = {one["name"] for one in zarf["variables"]}
        constants = {one["name"] for one in zarf["constants"]}
        for file in files:
            if check((DEPLOY / file).exists(), "zarf.yaml", f"there is no {file}"):
                text = (DEPLOY / file).read_text()
                used, fixed = set(re.findall(r"###ZARF_VAR_(\w+)###", text)), set(re.findall(r"###ZARF_CONST_(\w+)###", text))
                check(used <= declared and fixed <= constants, file, f"not declared: {used - declared | fixed - constants}")
    bundle = yaml.safe_load((DEPLOY / "bundle/uds-bundle.yaml").read_text())
    check(bundle["metadata"]["version"] == version, "uds-bundle.yaml", f"its version is not {version}")
    _, defaults = values_with_comments()
    for package in bundle["packages"]:
        if package["name"] != zarf["metadata"]["name"]:
            continue
        check(package["ref"] == version, "uds-bundle.yaml", f"it refers to another version than {version}")
        check((DEPLOY / "bundle" / package["path"] / "zarf.yaml").exists(), "uds-bundle.yaml", "its path has no zarf.yaml")
        names = {one["name"] for one in zarf["components"]}
        check(set(package.get("optionalComponents", [])) <= names, "uds-bundle.yaml", "it names a component that is not there")
        for component, overridden in package["overrides"].items():
            for name, override in overridden.items():
                check((component, name) in charts, "uds-bundle.yaml", f"overrides {component}/{name}, which is not there")
                for one in override.get("values", []) + override.get("variables", []):
                    value = defaults
                    for key in one["path"].split("."):
                        value = value.get(key) if isinstance(value, dict) else None
                    check(value is not None, "uds-bundle.yaml", f"the chart has no value {one['path']}")


def set_path(values, path, value):
    *way, last = path.split(".")
    for key in way:
        values = values.setdefault(key, {})
    values[last] = value


def write_package_values(folder):
    """What the chart is given by the package with the defaults of its variables, and by the bundle on top of that."""
    zarf = yaml.safe_load((DEPLOY / "zarf.yaml").read_text())
    given = {"VAR_" + one["name"]: one["default"] for one in zarf["variables"]}
    given |= {"CONST_IMAGE_REPOSITORY": "peat-node", "CONST_IMAGE_TAG": "0.1.0"}
    text = re.sub(r"###ZARF_(\w+?)###", lambda found: given[found[1]], (DEPLOY / "zarf/values.yaml").read_text())
    pathlib.Path(folder, "zarf.yaml").write_text(text)
    values = yaml.safe_load(text)
    for override in yaml.safe_load((DEPLOY / "bundle/uds-bundle.yaml").read_text())["packages"][0]["overrides"].values():
        for chart in override.values():
            for one in chart.get("values", []) + chart.get("variables", []):
                set_path(values, one["path"], one.get("value", one.get("default")))
    pathlib.Path(folder, "uds-bundle.yaml").write_text(yaml.safe_dump(values))


def check_files(update):
    node = variables_of("help_is_complete")
    known = node | variables_of("help_of_the_questions", "help_of_the_upkeep", "help_of_the_tokens")
    sets, seen = snapshots(), set()
    for name, objects in sets.items():
        check_objects(name, objects)
        check_restricted(name, objects)
        seen |= check_node(name, objects, known)
        check_selectors(name, objects)
        check_policy(name, objects)
        check_discovery(name, objects)
        check_alerts(name, objects)
    for variable in sorted(node - seen - NOT_IN_THE_CHART.keys()):
        check(False, "chart", f"no value of it leads to {variable}, and NOT_IN_THE_CHART does not say why")
    check_values(CHART, update)
    check_values(SWEEP, update)
    check_files_beside(known)
    check_packages()
    objects = sum(len(each) for each in sets.values())
    print(f"checked {objects} objects of {len(sets)} sets; {len(node & seen)} of {len(node)} variables of the node are used")


def main(words):
    if words[:1] == ["files"]:
        check_files(update=words[1:] == ["UPDATE"])
    elif words[:1] == ["packages"] and len(words) == 2:
        write_package_values(words[1])
    elif words[:1] == ["sweeps"] and len(words) == 2:
        sweeps(words[1], {name: objects for name, objects in snapshots().items() if name.startswith(SWEEP.name)}, check)
    elif words[:1] == ["start"] and len(words) == 2:
        environments = {
            name: container["env"]
            for name, objects in snapshots().items()
            for _, _, spec in pods(objects)
            for container in containers(spec)
            if container["name"] == "peat-node"
        }
        wrong.extend(start(os.path.abspath(words[1]), environments))
    else:
        print(__doc__, file=sys.stderr)
        return 2
    for each in wrong:
        print(f"WRONG {each}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
