"""An S3 server on loopback (moto) that counts what it is asked for, and fails as it is told."""

import collections
import json
import socket
import struct
import threading
import time
from contextlib import contextmanager

import boto3
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from satstudy.data.download import BUCKET, PREFIX


class Bucket:
    """A public bucket in the layout of fMoW's.

    Attributes
    ----------
    faults : name → what its next downloads suffer, one by one: an HTTP status such as 503, "cut" (the body ends
        early), "reset" (the connection does), "wrong" (a byte is changed) or "hang" (nothing comes for seconds)
    asked : name → downloads that were begun
    served : name → downloads that went out whole and right
    delay : seconds that each answer takes
    """

    def __init__(self):
        self.faults: dict[str, list] = {}
        self.asked: collections.Counter = collections.Counter()
        self.served: collections.Counter = collections.Counter()
        self.suffered: collections.Counter = collections.Counter()
        self.delay = 0.0
        self.lock = threading.Lock()
        self.inner = DomainDispatcherApplication(create_backend_app)
        self.server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=_Silent)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        self.owner = boto3.client("s3", endpoint_url=self.url, **keys)
        self.owner.create_bucket(Bucket=BUCKET)
        what = {"Action": ["s3:GetObject", "s3:HeadObject"], "Resource": f"arn:aws:s3:::{BUCKET}/*"}
        everyone = {"Effect": "Allow", "Principal": "*", **what}
        self.owner.put_bucket_policy(
            Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [everyone]})
        )

    def put(self, name: str, data: bytes) -> None:
        # Past the protocol, which takes 60 ms for an object.
        s3_backends[ACCOUNT]["aws"].put_object(BUCKET, f"{PREFIX}/{name}", data)

    def forget(self) -> None:
        self.asked.clear()
        self.served.clear()
        self.suffered.clear()
        self.faults.clear()
        self.delay = 0.0

    def __call__(self, environ, start_response):
        name = environ["PATH_INFO"].partition(f"{PREFIX}/")[2]
        if environ["REQUEST_METHOD"] != "GET" or not name:
            return self.inner(environ, start_response)
        with self.lock:
            self.asked[name] += 1
            waiting = self.faults.get(name)
            fault = waiting.pop(0) if waiting else None
            self.suffered[fault] += fault is not None
        time.sleep(5 if fault == "hang" else self.delay)
        if isinstance(fault, int):
            start_response(f"{fault} Injected", [("Content-Length", "0")])
            return [b""]
        if fault == "reset":
            # Closed with linger 0, a connection is reset.
            environ["werkzeug.socket"].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            environ["werkzeug.socket"].close()
            start_response("200 OK", [])
            return []
        data = b"".join(self.inner(environ, start_response))
        if fault == "cut":
            return [data[: len(data) // 2]]
        if fault == "wrong":
            return [bytes([data[0] ^ 1]) + data[1:]]
        with self.lock:
            self.served[name] += 1
        return [data]


class _Silent(WSGIRequestHandler):
    def log(self, *args):
        pass


@contextmanager
def bucket():
    made = Bucket()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
