"""Raw requests to a real server on loopback: what no well-behaved client would send."""

import contextlib
import json
import socket
import threading
import time

import pytest
import uvicorn

import fractaljax as fj
from fractaljax.explorer import server
from fractaljax.explorer.guard import Guard

SPEC = fj.Spec(
    model=fj.Part("mlp", width=2),
    problem=fj.Part("random_regression", inputs=2, points=4),
    steps=2,
    dtype="float64",
)
WINDOW = fj.Window(fj.Axis("optimizer.lr_in", 1e-3, 1e6), fj.Axis("optimizer.lr_out", 1e-3, 1e6))
JSON = "content-type: application/json"


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explore")
    (folder / "secret.png").write_text("secret")
    app = server.make_app(SPEC, WINDOW, folder=folder)
    listener = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not running.started:
        assert time.monotonic() < until
        time.sleep(0.01)
    yield listener.getsockname()[1]
    running.should_exit = True
    thread.join(60)


def asked(port, first, *headers, body=b"", host="127.0.0.1"):
    """Status and body of one request, its bytes as they are; the answer must be short."""
    head = "\r\n".join([first, *([f"host: {host}"] if host else []), "connection: close", *headers])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as stream:
        stream.sendall(head.encode("latin-1") + b"\r\n\r\n")
        content = b""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # answered before the end
            stream.sendall(body)
        with contextlib.suppress(ConnectionResetError):
            while len(content) < 2**20 and (piece := stream.recv(2**16)):
                content += piece
    status, _, rest = content.partition(b"\r\n")
    return int(status.split()[1]) if status else 0, rest


PATHS = [
    "/static/../server.py",
    "/static/%2e%2e/server.py",
    "/static/%2e%2e%2fserver.py",
    "/static/..%2fserver.py",
    "/static/..%5cserver.py",
    "/static/..\\server.py",
    "/static/%252e%252e/server.py",
    "/static/....//server.py",
    "/static//etc/passwd",
    "/static/%00",
    "/static/app.js%00.png",
    "/api/renders/../../secret.png",
    "/api/renders/%2e%2e%2f%2e%2e/image.png",
    "/api/renders/..\\../image.png",
    "/api/maps/..%2f..%2f..%2fetc%2fpasswd",
    "/api/maps/%2e%2e/renders",
    "/api/maps/%c0%ae%c0%ae/tiles/4/0/0",
    "/api/maps/%ff%fe",
    "//evil.example/static/app.js",
    "/etc/passwd",
    "/../../../etc/passwd",
    "http://evil.example/etc/passwd",
    f"/api/maps/{'a' * 5000}",
]


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p[:40])
def test_no_path_leads_out_of_the_folders(port, path):
    status, content = asked(port, f"GET {path} HTTP/1.1")
    assert status in (400, 404, 405), (status, content[:200])
    for words in (b"def make_app", b"root:", b"secret"):
        assert words not in content


ADDRESSES = ["-1/0/0", "4/-1/0", f"4/{2**64}/0", f"{'9' * 20}/0/0", "4/0/1e3", "4/0/0x1", "4/0/%20"]
ADDRESSES += [
    "NaN/0/0",
    "4/0",
    "4/0/0/0",
    f"{'9' * 5000}/0/0",
    "4/0/0?reading=../x",
    "4/0/0?reading=",
]
ADDRESSES += ["60/0/0", f"56/{2**51}/0", "+4/0/0", "4/0/\xb2"]


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda a: a[:20])
def test_no_absurd_tile_is_trained(port, address):
    _, content = asked(port, "GET /api/start HTTP/1.1")
    name = json.loads(content.split(b"\r\n\r\n", 1)[1])["map"]["id"]
    status, content = asked(port, f"GET /api/maps/{name}/tiles/{address} HTTP/1.1")
    assert status in (400, 404, 410), (status, content[:300])
    _, content = asked(port, "GET /api/status HTTP/1.1")
    told = json.loads(content.split(b"\r\n\r\n", 1)[1])
    assert (told["trained"], told["queue"]) == (0, 0)


def endless():
    """A body in chunks whose length nobody says; far more than a server should take."""
    return b"".join(b"400\r\n" + b" " * 1024 + b"\r\n" for _ in range(2000))


@pytest.mark.parametrize("path", ["/api/maps", "/api/maps/x/renders"])
def test_bodies_are_read_up_to_a_limit(port, path):
    status, content = asked(port, f"POST {path} HTTP/1.1", JSON, f"content-length: {10**12}")
    assert status in (0, 404, 413), content[:200]  # nothing was waited for
    large = b"x" * (2 * server.MAX_BODY)
    status, content = asked(
        port, f"POST {path} HTTP/1.1", JSON, f"content-length: {len(large)}", body=large
    )
    assert status in (404, 413), content[:200]
    status, content = asked(
        port, f"POST {path} HTTP/1.1", JSON, "transfer-encoding: chunked", body=endless()
    )
    assert status in (404, 413), content[:200]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "2130706433", "0", None, ""]
)
def test_a_foreign_name_is_refused(port, host):
    status, content = asked(port, "GET /api/start HTTP/1.1", host=host)
    assert status in (400, 403) and b"settings" not in content


def test_two_names_are_refused(port):
    status, _ = asked(port, "GET /api/start HTTP/1.1", "host: evil.example")
    assert status in (400, 403)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"]
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/maps"), ("DELETE", "/api/renders/r1")])
def test_writes_of_other_sites_are_refused(port, origin, method, path):
    status, content = asked(
        port,
        f"{method} {path} HTTP/1.1",
        f"origin: {origin}",
        JSON,
        "content-length: 2",
        body=b"{}",
    )
    assert status == 403 and b"access-control-allow" not in content.lower()


def test_a_form_of_another_site_is_refused(port):
    form = ("content-type: text/plain", "content-length: 2", "sec-fetch-site: cross-site")
    assert asked(port, "POST /api/maps HTTP/1.1", *form, body=b"{}")[0] == 403
    assert asked(port, "POST /api/maps HTTP/1.1", *form[:2], body=b"{}")[0] == 415


def test_there_is_no_other_protocol(port):
    key = ("upgrade: websocket", "sec-websocket-version: 13", "sec-websocket-key: eA==")
    status, _ = asked(port, "GET /api/start HTTP/1.1", *key, "connection: upgrade")
    assert status in (200, 400, 403, 404, 426, 500)  # an answer, and no socket
    for first in ("TRACE / HTTP/1.1", "CONNECT evil.example:80 HTTP/1.1", "PUT /api/maps HTTP/1.1"):
        assert asked(port, first)[0] in (400, 404, 405)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("192.168.1.7:8000", True),
        ("[fe80::1]:8000", True),
        ("lab", True),
        ("LAB:8000", True),
        ("evil.example", False),
        ("192.168.1.7.evil.example", False),
        ("1.2.3", False),
        ("", False),
    ],
)
def test_a_server_for_others_has_its_names_and_addresses(host, allowed):
    """With `--host 0.0.0.0`, a foreign name that was pointed at this machine is still foreign."""
    guard = Guard(None, ("localhost", "Lab"), addresses=True)
    from starlette.datastructures import Headers

    assert (guard._refusal("/api/start", Headers({"host": host})) is None) == allowed
