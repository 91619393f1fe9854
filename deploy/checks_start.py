"""Starts the node with the environment of each rendered container: what the chart renders, the node must accept.

Must run in a network and a mount namespace of its own: the variables are used as they are, ports and paths included, and
nothing that the node sends may leave. Files of Secrets are made here; only the data directory is another.
"""

import base64
import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import urllib.request

# Long enough for a machine that compiles meanwhile; a node with relays looks for them first.
START_SECONDS = 30
SECRETS = pathlib.Path("/run/secrets")


def raise_loopback():
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14s", b"lo", 0x1 | 0x40, b""))  # SIOCSIFFLAGS: UP, RUNNING


def authority(folder):
    """A certificate authority, and a certificate for every name that the sets ask by; empty without openssl."""
    if not shutil.which("openssl"):
        return {}

    def run(*words, **kwargs):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, **kwargs)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run("req", "-x509", *curve, "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem")
    run("req", *curve, "-subj", "/CN=node", "-keyout", "node.key", "-out", "node.csr")
    names = "subjectAltName=DNS:peat.fleet.example,DNS:peat-mesh.fleet.svc"
    pathlib.Path(folder, "extensions").write_text(names)
    run("x509", "-req", "-in", "node.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-extfile", "extensions", "-out", "node.pem")
    read = lambda name: pathlib.Path(folder, name).read_bytes()
    return {"cert": read("node.pem"), "key": read("node.key"), "ca": read("ca.pem")}


def key():
    return base64.b64encode(os.urandom(32))


def contents(files, variable):
    """What the file that a variable names is to have."""
    for ending, file in {"_CERT": "cert", "_TLS_KEY": "key", "_CA": "ca"}.items():
        if variable.endswith(ending):
            return files[file]
    if variable == "PEAT_NODE_TOKENS":
        return b'{"name":"dashboard","sha256":"%s","scope":"read"}\n' % (b"9f86d081" * 8)
    if variable == "PEAT_NODE_ALLOW_LIST":
        return b"# nobody yet\n"
    return key()


def environment(env, files, data):
    given = {"PATH": os.environ["PATH"]}
    for one in env:
        if "value" in one:
            given[one["name"]] = re.sub(r"\$\((\w+)\)", lambda name: given.get(name[1], name[0]), one["value"])
        elif "secretKeyRef" in one["valueFrom"]:
            given[one["name"]] = key().decode()
        else:
            given[one["name"]] = "peat-0"
    for variable, value in given.items():
        path = pathlib.Path(value.removeprefix("file:"))
        if path.is_relative_to(SECRETS):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents(files, variable))
    given["PEAT_NODE_DATA_DIR"] = data
    return given


def page(env, path):
    url = env["PEAT_NODE_METRICS_LISTEN"].replace("tcp://", "http://").replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")
    try:
        with urllib.request.urlopen(url + path, timeout=2) as answer:
            return answer.status
    except OSError:
        return None


def ready(node, env):
    """Whether both probes say so in time."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and node.poll() is None:
        if page(env, "/readyz") == 200 and page(env, "/healthz") == 200:
            return True
        time.sleep(0.05)
    return False


def try_one(binary, name, env):
    """Everything that is wrong with one environment."""
    wrong = []
    node = subprocess.Popen([binary], env=env, stderr=subprocess.PIPE, text=True)
    if not ready(node, env):
        node.kill()
        return [f"{name}: the node is not ready: {node.communicate()[1].strip()}"]
    asks_more = "PEAT_NODE_TLS_CLIENT_CA" in env or "PEAT_NODE_TOKENS" in env
    asked = subprocess.run([binary, "status"], env=env, capture_output=True, text=True, timeout=START_SECONDS)
    # With a lock the command has no key for, it must be refused rather than answered.
    if (asked.returncode == 0) == asks_more:
        wrong.append(f"{name}: peat-node status in the pod ended with {asked.returncode}: {asked.stderr.strip()}")
    node.send_signal(signal.SIGTERM)
    said = node.communicate(timeout=START_SECONDS)[1]
    if node.returncode != 0:
        wrong.append(f"{name}: the node ended with {node.returncode}: {said.strip()}")
    return wrong


def refuses_no_key(binary, name, env):
    """A Secret whose entry is empty must keep the node from starting: it would run an open formation."""
    env = {**env, "PEAT_NODE_SHARED_KEY": env["PEAT_NODE_SHARED_KEY"].removesuffix(env["FORMATION_KEY"])}
    try:
        ended = subprocess.run([binary], env=env, capture_output=True, text=True, timeout=START_SECONDS)
    except subprocess.TimeoutExpired:
        return [f"{name}: with an empty key the node runs an open formation"]
    if ended.returncode != 2 or "--shared-key" not in ended.stderr:
        return [f"{name}: with an empty key the node ended with {ended.returncode}: {ended.stderr.strip()}"]
    return []


def start(binary, environments):
    raise_loopback()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    os.makedirs("/run/peat")
    wrong, tried = [], 0
    subprocess.run([binary, "--version"], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        files = authority(folder)
        for name, env in environments.items():
            needs_tls = any(re.search("_TLS_|_CA$", one["name"]) for one in env)
            if needs_tls and not files:
                print(f"NOT STARTED {name}: it needs a certificate, and openssl is not installed")
                continue
            shutil.rmtree(SECRETS, ignore_errors=True)
            given = environment(env, files, os.path.join(folder, name.replace("/", "-")))
            wrong += try_one(binary, name, given)
            if "FORMATION_KEY" in given:
                wrong += refuses_no_key(binary, name, given)
            tried += 1
    print(f"started the node with {tried} of {len(environments)} environments: ready, asked, stopped; and without a key not at all")
    return wrong
