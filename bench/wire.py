"""A kept TLS connection to vmmd's public API that costs as little as Python can: for figures of which the client must
not be a part. Requests are bytes made beforehand; of a reply only the status and the length are looked at."""
import os
import socket
import ssl
from urllib.parse import urlsplit

READ = 1 << 20


class Wire:
    """VMMD_URL, VMMD_CACERT and VMMD_TOKEN come from the environment, as for vmmctl."""

    def __init__(self):
        url = urlsplit(os.environ["VMMD_URL"])
        raw = socket.create_connection((url.hostname, url.port), timeout=120)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = ssl.create_default_context(cafile=os.environ["VMMD_CACERT"])
        self.tls = context.wrap_socket(raw, server_hostname=url.hostname)

    @staticmethod
    def request(method, path, body=b"", headers=""):
        """The bytes of a request, for send(). 'headers' are whole lines."""
        if body:
            headers += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        head = (f"{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {os.environ['VMMD_TOKEN']}\r\n{headers}\r\n")
        return head.encode() + body

    def send(self, request):
        """The body of the reply; RuntimeError when it is not a 2xx."""
        self.tls.sendall(request)
        data = self.tls.recv(READ)
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self.read()
        head = data[:end].lower()
        at = head.find(b"content-length:")
        left = int(head[at + 15:].split(b"\r\n", 1)[0]) if at >= 0 else 0
        body = [data[end + 4:]]
        left -= len(body[0])
        while left > 0:
            body.append(self.read())
            left -= len(body[-1])
        body = b"".join(body)
        if data[9:10] != b"2":
            raise RuntimeError(f"{request[:60]!r}: {data[:12]!r} {body[:300]!r}")
        return body

    def read(self):
        data = self.tls.recv(READ)
        if not data:
            raise RuntimeError("vmmd closed a connection")
        return data
