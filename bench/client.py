"""The little of an HTTP client that the benchmarks need: one kept connection to vmmd's public API."""
import http.client
import json
import os
import ssl
from urllib.parse import urlsplit


class Api:
    """VMMD_URL, VMMD_CACERT and VMMD_TOKEN come from the environment, as for vmmctl."""

    def __init__(self):
        url = urlsplit(os.environ["VMMD_URL"])
        context = ssl.create_default_context(cafile=os.environ["VMMD_CACERT"])
        self.connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=120,
                                                      context=context)
        self.headers = {"Authorization": "Bearer " + os.environ["VMMD_TOKEN"]}

    def call(self, method, path, body=None, wait_s=None):
        """The decoded reply, None when it has no body; RuntimeError with the problem's words."""
        headers = dict(self.headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        if wait_s:
            headers["Prefer"] = f"wait={wait_s}"
        self.connection.request(method, "/api/v1" + path, body, headers)
        reply = self.connection.getresponse()
        text = reply.read()
        if reply.status >= 400:
            raise RuntimeError(f"{method} {path}: {reply.status} {problem(text)}")
        if wait_s and reply.status == 202:
            raise RuntimeError(f"{method} {path}: has not ended after {wait_s} s")
        return json.loads(text) if text else None


    def metrics(self):
        """The daemon's own figures, as text."""
        self.connection.request("GET", "/metrics", None, self.headers)
        reply = self.connection.getresponse()
        text = reply.read().decode()
        if reply.status != 200:
            raise RuntimeError(f"GET /metrics: {reply.status}")
        return text


def problem(text):
    try:
        return json.loads(text)["detail"]
    except (ValueError, KeyError):
        return text[:200]


def vm_spec(name):
    """The machine of all figures: that of ./quickstart."""
    return {"name": name, "vcpus": 1, "memory_bytes": 256 << 20,
            "boot": {"kernel": "tiny", "cmdline": "console=tty0 console=ttyS0 quiet no_timer_check"},
            "disks": [{"size_bytes": 1 << 30, "format": "qcow2", "pool": "main"}]}
