"""Whom the server answers: this machine with its secret, nobody else."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from dldna.explorer import Explorer
from dldna.explorer.served import LONGEST, application

PORT, TOKEN = 8123, "a-secret"
HOST = f"127.0.0.1:{PORT}"
JSON = ("content-type", "application/json")
ABOUT = json.dumps({"ask": "about"}).encode()


@pytest.fixture(scope="module")
def server():
    x = torch.eye(3)
    maps = Explorer(nn.Linear(3, 1), nn.MSELoss(), (x, x[:, :1]))
    return application(maps, TOKEN, PORT)


def send(app, method, path, headers=(), body=b"", host=HOST, kind="http"):
    """One request; its status and what was answered."""
    if host is not None:
        headers = [("host", host), *headers]
    scope = {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(k.encode(), v.encode()) for k, v in headers],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", PORT),
    }
    got = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def note(message):
        got.append(message)

    with ThreadPoolExecutor(1) as apart:  # here a browser's loop may run
        apart.submit(asyncio.run, app(scope, receive, note)).result()
    text = b"".join(m.get("body", b"") for m in got)
    return got[0].get("status", got[0]["type"]), text


def test_the_page_and_its_questions_are_answered(server):
    status, text = send(server, "GET", f"/{TOKEN}/")
    assert status == 200
    assert b"dldnaExplore(" in text
    assert TOKEN.encode() not in text
    status, text = send(server, "POST", f"/{TOKEN}/ask", [JSON], ABOUT)
    assert status == 200
    assert json.loads(text)["model"] == "Linear"


@pytest.mark.parametrize(
    "path",
    ["/", "/ask", "/wrong/", "/wrong/ask", f"/{TOKEN}x/", f"/{TOKEN[:-1]}/",
     f"//{TOKEN}/", f"/ask/{TOKEN}", f"/x/../{TOKEN}/", "/é/", "/favicon.ico",
     f"/{TOKEN}", f"/{TOKEN}/other", f"/{TOKEN}/../etc/passwd"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_the_token_there_is_no_answer(server, method, path):
    status, text = send(server, method, path, [JSON], ABOUT)
    assert status == 404
    assert b"Linear" not in text
    if path.split("/")[1] != TOKEN:
        assert text == b""


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", f"evil.example:{PORT}", "127.0.0.1",
     "127.0.0.1:80", f"127.0.0.1.evil.example:{PORT}", f"0.0.0.0:{PORT}",
     f"[::1]:{PORT}", f"{HOST} ", f"{HOST},{HOST}"],
)  # fmt: skip
def test_another_host_gets_no_answer(server, host):
    for method, path in (("GET", ""), ("POST", "ask")):
        path = f"/{TOKEN}/{path}"
        assert send(server, method, path, [JSON], ABOUT, host) == (404, b"")


def test_two_hosts_are_none_and_localhost_is_this_one(server):
    two = [("host", HOST)]
    assert send(server, "GET", f"/{TOKEN}/", two) == (404, b"")
    local = f"localhost:{PORT}"
    assert send(server, "GET", f"/{TOKEN}/", host=local)[0] == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "", f"https://{HOST}", "http://127.0.0.1",
     f"http://localhost:{PORT}", f"http://{HOST}/"],
)  # fmt: skip
def test_another_origin_s_page_gets_no_answer(server, origin):
    headers = [JSON, ("origin", origin)]
    found = send(server, "POST", f"/{TOKEN}/ask", headers, ABOUT)
    assert found == (404, b"")
    own = [JSON, ("origin", f"http://{HOST}")]
    assert send(server, "POST", f"/{TOKEN}/ask", own, ABOUT)[0] == 200


def test_what_is_no_message_is_refused(server):
    path = f"/{TOKEN}/ask"
    plain = [("content-type", "text/plain")]  # what a form of others can send
    assert send(server, "POST", path, plain, ABOUT)[0] == 404
    assert send(server, "POST", path, [JSON], b"[" * (LONGEST + 1))[0] == 404
    for body in (b"", b"{", b"[]", b"\xff", b"[" * LONGEST, b'{"ask":NaN}'):
        status, text = send(server, "POST", path, [JSON], body)
        assert status == 200
        assert set(json.loads(text)) == {"error"}
    assert send(server, "PUT", path, [JSON], ABOUT)[0] == 405
    assert send(server, "GET", path)[0] == 405


def test_a_socket_of_the_web_is_closed(server):
    found = send(server, "GET", f"/{TOKEN}/", kind="websocket")
    assert found == ("websocket.close", b"")


@pytest.mark.full
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_the_command_serves_on_this_machine_alone_until_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "dldna.cli", "explore", "mlp", "--data",
               "digits", "--limit", "64", "--no-browser", "--out",
               str(tmp_path / "maps")]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            said = ""
            while "Ctrl-C" not in said:
                line = running.stdout.readline()
                assert line, running.stderr.read()
                said += line
            address = re.search(r"http://127\.0\.0\.1:\d+/\S{32}/", said)[0]
            with urllib.request.urlopen(address) as page:
                assert b"dldnaExplore(" in page.read()
            request = urllib.request.Request(
                address + "ask", ABOUT, dict([JSON]), method="POST"
            )
            with urllib.request.urlopen(request) as found:
                assert json.load(found)["samples"] == 64
        finally:
            running.send_signal(signal.SIGINT)
        # Where Ctrl-C is ignored from the start, as behind an &, it ends well.
        deaf = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert running.wait() == (0 if deaf else 130)
        assert deaf or "stopped" in running.stderr.read()
