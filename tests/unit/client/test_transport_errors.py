"""What a user reads of a request that did not get through: the operating system's words, not httpx's."""

from __future__ import annotations

import errno
import os
import socket

import httpx
import pytest

from grm_plugin.client.transport_errors import explain_transport


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (caused(httpx.ConnectError("All attempts failed"), ConnectionRefusedError(111, "x")), "connection refused"),
        (
            caused(
                httpx.ConnectError("All attempts failed"),
                caused(OSError("no number"), ExceptionGroup("", [OSError(errno.ENETUNREACH, "y"), OSError(113, "z")])),
            ),
            "z",
        ),
        (caused(httpx.ConnectError(""), socket.gaierror(-2, "Name or service not known")), "name or service not known"),
        (httpx.ConnectError("", request=None), "ConnectError"),
        (httpx.ReadError("cut off"), "ReadError: cut off"),
        (httpx.ConnectTimeout(""), "the connection was not taken in time: is it the right host"),
        (caused(httpx.ReadError(""), OSError(errno.ECONNRESET, "")), os.strerror(errno.ECONNRESET).lower()),
    ],
)
def test_the_cause_is_named(error: Exception, words: str) -> None:
    assert explain_transport(error).startswith(words)


def test_a_circle_of_causes_ends() -> None:
    first, second = httpx.ReadError("a"), OSError("b")
    first.__context__, second.__context__ = second, first
    assert explain_transport(first) == "ReadError: a"
