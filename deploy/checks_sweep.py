"""Runs what the chart ddil-sweep would have the cluster run: every shard by the arguments of its pod, then the report by those of the
other Job, and holds the report against that of the same sweep without shards. `ci/chart` calls it, by checks.py sweeps BINARY."""

import pathlib
import subprocess
import tempfile

INDEX = "$(JOB_COMPLETION_INDEX)"


def arguments(job, folders, index=""):
    words = job["spec"]["template"]["spec"]["containers"][0]["args"]
    given = []
    for word in map(str, words):
        for path, folder in folders.items():
            word = word.replace(path, folder)
        given.append(word.replace(INDEX, str(index)))
    return given


def ran(binary, words):
    return subprocess.run([binary, *words], capture_output=True, text=True, timeout=600)


def without_shards(words):
    """The same sweep, run whole."""
    left = iter(words)
    return [word for word in left if not (word in ("--shard", "--result") and next(left))]


def sweep(binary, name, objects, check):
    """One set. What would take a cluster is only read by ddil, with so few seeds that the last shard has none."""
    jobs = [each for each in objects if each["kind"] == "Job"]
    shards = next(job for job in jobs if job["spec"].get("completionMode") == "Indexed")
    report = next((job for job in jobs if job is not shards), None)
    completions = shards["spec"]["completions"]
    with tempfile.TemporaryDirectory() as folder:
        folders = {"/results": f"{folder}/results", "/scenarios": f"{folder}/scenarios"}
        for path in folders.values():
            pathlib.Path(path).mkdir()
        for each in objects:
            for file, text in each.get("data", {}).items():
                pathlib.Path(folders["/scenarios"], file).write_text(text)
        words = arguments(shards, folders, completions - 1)
        small = int(words[words.index("--seeds") + 1]) <= 10
        if not small:
            words[words.index("--seeds") + 1] = "1"
            done = ran(binary, words)
            check(done.returncode == 0, name, f"ddil refuses the arguments of a shard: {done.stderr}")
            return "read"
        for index in range(completions):
            done = ran(binary, arguments(shards, folders, index))
            check(done.returncode == 0, name, f"shard {index} ends with {done.returncode}: {done.stderr}")
        merged = ran(binary, arguments(report, folders))
        check(merged.returncode == 0, name, f"the report ends with {merged.returncode}: {merged.stdout}{merged.stderr}")
        as_json = ["--json"] if "--json" in arguments(report, folders) else []
        whole = ran(binary, [*without_shards(words), *as_json])
        check(merged.stdout == whole.stdout, name, "the report is not that of the sweep without shards")
    return "run"


def sweeps(binary, sets, check):
    done = {name: sweep(binary, name, objects, check) for name, objects in sets.items()}
    print(f"sweeps by {binary}: " + ", ".join(f"{name} {what}" for name, what in done.items()))
