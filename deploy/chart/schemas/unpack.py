"""Takes the schemas of the kinds that we render out of the wheel of kubernetes-validate, one self-contained file each.

The wheel's files refer to a shared one by an absolute address, which kubeconform cannot follow.
Usage: unpack.py WHEEL FOLDER VERSION...
"""

import json
import pathlib
import sys
import zipfile

KINDS = """statefulset-apps-v1 service-v1 serviceaccount-v1 pod-v1 secret-v1 configmap-v1 namespace-v1 job-batch-v1
networkpolicy-networking-v1 poddisruptionbudget-policy-v1 persistentvolumeclaim-v1""".split()
SHARED = "/api/_definitions.json#/$defs/"


def references(schema):
    """Every definition that a schema names; rewritten to stand in the same file."""
    found = set()
    if isinstance(schema, dict):
        schema.pop("$id", None)
        target = schema.get("$ref")
        if isinstance(target, str):
            name = target.rsplit("/", 1)[1]
            schema["$ref"] = "#/$defs/" + name
            found.add(name)
        for value in schema.values():
            found |= references(value)
    elif isinstance(schema, list):
        for value in schema:
            found |= references(value)
    return found


def self_contained(schema, shared):
    wanted, taken = references(schema), {}
    while wanted:
        name = wanted.pop()
        if name not in taken:
            taken[name] = json.loads(json.dumps(shared[name]))
            wanted |= references(taken[name]) - taken.keys()
    return {**schema, "$defs": taken}


def main(wheel, folder, versions):
    with zipfile.ZipFile(wheel) as archive:
        for version in versions:
            inside = f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict"
            shared = json.loads(archive.read(f"{inside}/_definitions.json"))["$defs"]
            out = pathlib.Path(folder, f"v{version}-strict")
            out.mkdir(parents=True, exist_ok=True)
            for kind in KINDS:
                schema = json.loads(archive.read(f"{inside}/{kind}.json"))
                (out / f"{kind}.json").write_text(json.dumps(self_contained(schema, shared)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
