"""A file of rules that do what they should, and what they should not; and what tests of them share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from grm_plugin._util.deadline import Deadline
from grm_plugin.rules.runner import RuleRunner
from grm_plugin.types import Conversation, Message, RuleScore

Runner = Callable[..., RuleRunner]
"""Makes a runner of functions in `RULES` that is checked, and closed after the test."""

ASKED = (
    Message("system", "Be brief."),
    Message("user", "What is 6 x 7?"),
    Message("assistant", "Hm."),
    Message("user", "Well?"),
    Message("assistant", "It is"),
)

RULES = r"""
import math, os, re, subprocess, sys, time
from dataclasses import dataclass

import helper_beside_the_rules as helper

def has_box(response):
    return "\\boxed{" in response

def right(response, reference):
    return None if reference is None else response == reference

def all_of_them(prompt, response, reference=None, source=None, messages=None):
    given = (prompt, [turn["role"] for turn in messages], messages[0]["content"], response, reference, source)
    assert given == ("Well?", ["system", "user", "assistant", "user", "assistant"], "Be brief.", "42", "6", "math")
    return 1

def anything(**given):
    return sorted(given) == ["messages", "prompt", "reference", "response", "source"]

def keywords(*, response, tolerance=0.25):
    return tolerance

class Shortness:
    def __call__(self, response):
        return helper.HALF

shortness = Shortness()

def says(response):
    return eval(response)

class Item:
    def __init__(self, value):
        self.value = value
    def item(self):
        return self.value

def surrogate(response):
    return response == "\ud800 \U0001f600"

def length(response):
    return len(response) == 5_000_000

def raises(response):
    raise ValueError("no\nnumber in " + response)

class Silent(Exception):
    def __str__(self):
        raise KeyError

def raises_worse(response):
    raise Silent

def sleeps(response):
    time.sleep(600)

def backtracks(response):
    return bool(re.match(r"(a*)*b", "a" * 40))

def talks(response):
    print("x" * 5_000_000)
    os.write(2, b"y" * 5_000_000)
    return input() == ""

def reads_nothing(response):
    return sys.stdin.read() == "" and 1.0

def leaves(response):
    sys.exit(1)

def leaves_at_once(response):
    os._exit(3)

def crashes(response):
    os.kill(os.getpid(), 11)

def forks(response):
    os.fork()
    return 0.5

def leaves_a_child(response):
    child = os.fork()
    if not child:
        time.sleep(600)
    with open(response, "w") as file:
        file.write(str(child))
    return 1

def starts_a_program(response):
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(response, "w") as file:
        file.write(str(started.pid))
    time.sleep(600)

def writes_everywhere(response):
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, eval(response))
        except OSError:
            pass
    return 1

def process(response):
    with open(response, "a") as file:
        file.write(f"{os.getpid()} ")
    return 1
"""


async def score(runner: RuleRunner, name: str, response: str = "", conversation: Conversation = ASKED) -> RuleScore:
    return await runner.score(name, conversation, response)


def alive(pid: int) -> bool:
    """Whether there is a process of this number that has not ended."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(pid: int) -> None:
    """Returns once the process is there no longer, and fails after 30 s."""
    deadline = Deadline.after(30)
    while alive(pid):
        assert not deadline.over, "the process is still there"
        await asyncio.sleep(0.02)
