"""Holds a running service against api/*.yaml by somebody else's rules: Schemathesis makes requests, and finds every answer
whose status or shape is not described, every 5xx, every bad value that was taken and every good one that was not.

The service is the program named on the command line, with the embedded store, the built-in directory and mail, no rate
limits, and whatever ports are free. It ends with this script. SCHEMATHESIS_SEED and SCHEMATHESIS_EXAMPLES choose others.
"""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import requests

HERE = Path(__file__).resolve().parent
API = HERE.parent.parent / "api"
# The same requests in every run: what fails here fails on the next machine, too.
SEED = os.environ.get("SCHEMATHESIS_SEED", "1")
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "100")
# Generous: a machine that is busy with something else must not fail here.
START_SECONDS = 60
RUN_SECONDS = 600
# A proxy that the machine goes out through is no way to this machine itself.
os.environ |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


class Service:
    """The service; its log is read all the time, or it would stand still."""

    def __init__(self, program, directory):
        own = ("AUTHSESSION_", "OTEL_", "RUST_LOG")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        environment |= {
            "AUTHSESSION_PUBLIC_HTTP_ADDR": "127.0.0.1:0",
            "AUTHSESSION_INTERNAL_HTTP_ADDR": "127.0.0.1:0",
            "AUTHSESSION_DATA_DIR": directory,
            "AUTHSESSION_RATE_LIMIT_SEND_PER_MINUTE": "0",
            "AUTHSESSION_RATE_LIMIT_CONFIRM_PER_MINUTE": "0",
            "AUTHSESSION_LOG_FORMAT": "json",
        }
        self.process = subprocess.Popen([program], env=environment, stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self.read_log, daemon=True).start()

    def read_log(self):
        for line in self.process.stdout:
            line = json.loads(line)
            if line["level"] == "ERROR":
                print(line, file=sys.stderr)
            self.lines.put(line)
        self.lines.put(None)

    def said(self, wanted):
        """The first line from here on that is `wanted`."""
        while True:
            line = self.lines.get(timeout=START_SECONDS)
            if line is None:
                sys.exit("the service ended by itself")
            if wanted(line):
                return line

    def listener(self, name):
        return "http://" + self.said(lambda line: line["message"] == f"{name} listener ready")["addr"]

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(timeout=START_SECONDS)
        finally:
            self.process.kill()


def log_in(service, public, internal):
    """The ids of a session that exists, and of its user."""

    def answer(response):
        response.raise_for_status()
        return response.json()

    start = f"{public}/api/v1/public/auth"
    sent = answer(requests.post(f"{start}/send-email-code", json={"email": "known@example.com"}, timeout=10))
    mail = service.said(lambda line: line.get("challenge_id") == sent["challenge_id"] and "code" in line)
    confirm = sent | {
        "code": mail["code"],
        "client_public_key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    }
    session = answer(requests.post(f"{start}/confirm-email-code", json=confirm, timeout=10))["device_session_id"]
    read = answer(requests.get(f"{internal}/api/v1/internal/sessions/{session}", timeout=10))
    return session, read["session"]["user_id"]


def holds(description, url, config, directory, ids=("", "")):
    """Whether all that Schemathesis asks at `url` is answered as `description` says."""
    schemathesis = Path(sys.executable).with_name("schemathesis")
    command = [schemathesis, "--config-file", HERE / config, "run", API / description, "--url", url]
    command += ["--seed", SEED, "--max-examples", EXAMPLES, "--request-timeout", "30"]
    # It warns of answers that are 4xx as they should be.
    command += ["--warnings", "off"]
    session, user = ids
    environment = os.environ | {"DESCRIBED_SESSION": session, "DESCRIBED_USER": user}
    # What it leaves behind goes with the directory.
    ended = subprocess.run(command, cwd=directory, env=environment, timeout=RUN_SECONDS, check=False)
    return ended.returncode == 0


def main(program):
    with tempfile.TemporaryDirectory() as directory:
        service = Service(program, directory)
        try:
            public, internal = service.listener("public"), service.listener("internal")
            ids = log_in(service, public, internal)
            held = [
                holds("internal.yaml", internal, "known.toml", directory, ids),
                holds("internal.yaml", internal, "internal.toml", directory),
                holds("public.yaml", public, "public.toml", directory),
            ]
        finally:
            code = service.stop()
    if code != 0:
        sys.exit(f"the service ended with {code}")
    sys.exit(0 if all(held) else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
