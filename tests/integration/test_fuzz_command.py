"""`stackemu fuzz` as users run it: what it finds, what it keeps, and how it goes on."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from stackemu.harness.witness import load_witness

Stackemu = Callable[..., "subprocess.CompletedProcess[str]"]
HIDDEN = ("--func", "ZooHidden*")
HIDDEN_BOTTOM = 3 * 1024
"""hidden.c: the bytes of an array at the bottom of the hidden path."""
FUNCTIONS = ("--func", "ZooSeveralExits", "--func", "ZooSwitch", "--func", "ZooHidden*")


@pytest.fixture(scope="module")
def corpus(stackemu: Stackemu, stackzoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus of a short campaign on the hidden path."""
    directory = tmp_path_factory.mktemp("fuzz") / "corpus"
    done = stackemu("fuzz", stackzoo, *HIDDEN, "--time", "3", "--corpus", directory)
    assert done.returncode == 0, done.stderr
    return directory


def _files(directory: Path, kind: str) -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in (directory / kind).glob("*.json")}


def test_the_hidden_path_is_found_and_its_input_is_a_few_bytes(corpus: Path) -> None:
    witness = load_witness(next((corpus / "witnesses").glob("ZooHiddenDeepPath-*.json")))
    assert witness.depth > HIDDEN_BOTTOM
    assert witness.outcome == "returned"
    assert len(bytes.fromhex(witness.input)) < 64


def test_everything_that_is_kept_replays(corpus: Path, stackemu: Stackemu) -> None:
    files = [path for kind in ("inputs", "witnesses", "crashes") for path in (corpus / kind).glob("*.json")]
    assert len(files) > 5
    for path in random.Random(0).sample(files, 5):
        done = stackemu("replay", path)
        assert (done.returncode, done.stderr) == (0, ""), path


def test_the_report_shows_the_deepest_chain_first_and_what_repeats_it(
    corpus: Path, stackemu: Stackemu, stackzoo: Path
) -> None:
    done = stackemu("fuzz", stackzoo, *HIDDEN, "--time", "0", "--corpus", corpus)
    header, first, second, *_ = done.stdout.splitlines()
    assert header.split() == ["depth", "of", "12", "KiB", "own", "input", "function", ">", "deepest", "chain"]
    assert first.split()[-5:] == ["ZooHiddenDeepPath", "32", ">", "ZooHiddenBottom", "3112"]
    assert int(first.split()[0]) > int(second.split()[0])
    command = next(line for line in done.stdout.splitlines() if "stackemu replay" in line)
    assert str(corpus / "witnesses" / "ZooHiddenDeepPath-") in command


def test_the_status_line_has_the_form_of_other_fuzzers(stackemu: Stackemu, stackzoo: Path) -> None:
    done = stackemu("fuzz", stackzoo, *HIDDEN, "--time", "1")
    line = done.stderr.splitlines()[-1]
    words = line.split()
    assert words[0].startswith("#")
    for word in ("cov:", "deep:", "corp:", "exec/s:", "lastfind:", "crash:", "uptime:"):
        assert word in words


def test_a_campaign_goes_on_where_it_was(corpus: Path, stackemu: Stackemu, stackzoo: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(corpus, again)
    before = _files(again, "witnesses")
    done = stackemu("fuzz", stackzoo, *HIDDEN, "--time", "1", "--corpus", again, "--format", "json")
    document = json.loads(done.stdout)
    assert document["progress"]["blocks_new"] == 0
    assert document["progress"]["blocks_seen"] == document["progress"]["blocks"]
    after = _files(again, "witnesses")
    assert {name: one["depth"] for name, one in after.items()} == {name: one["depth"] for name, one in before.items()}


def test_a_corpus_can_be_made_small(corpus: Path, stackemu: Stackemu, stackzoo: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    shutil.copytree(corpus, small)
    done = stackemu("fuzz", stackzoo, *HIDDEN, "--corpus", small, "--minimize", "--format", "json")
    assert done.returncode == 0, done.stderr
    progress = json.loads(done.stdout)["progress"]
    assert 0 < progress["corpus"] < len(_files(corpus, "inputs"))
    assert progress["corpus"] == len(_files(small, "inputs"))
    assert progress["blocks_seen"] == progress["blocks"]


def test_corpora_are_merged(corpus: Path, stackemu: Stackemu, stackzoo: Path, tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    done = stackemu("fuzz", stackzoo, *HIDDEN, "--time", "0", "--corpus", merged, "--merge", corpus)
    assert done.returncode == 0, done.stderr
    assert _files(merged, "inputs").keys() >= _files(corpus, "inputs").keys()
    assert _files(merged, "witnesses").keys() == _files(corpus, "witnesses").keys()


def test_the_number_of_executions_can_be_limited(stackemu: Stackemu, stackzoo: Path) -> None:
    done = stackemu("fuzz", stackzoo, *HIDDEN, "--execs", "2000", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["progress"]["executions"] >= 2000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--minimize",), "--corpus"),
        (("--merge", "nowhere"), "--corpus"),
        (("--corpus", "{stackzoo}"), "is not a directory"),
        (("--corpus", "{drivers}"), "holds something else than a corpus"),
        (("--corpus", "{new}", "--merge", "{drivers}"), "not a corpus"),
        (("--func", "Nothing*"), "no function matches"),
        (("--cluster", "tcp://127.0.0.1:1"), "127.0.0.1:1"),
    ],
)
def test_wrong_use_is_said_in_one_line(
    stackemu: Stackemu, stackzoo: Path, tmp_path: Path, options: Sequence[str], words: str
) -> None:
    places = {"stackzoo": stackzoo, "drivers": stackzoo.parent, "new": tmp_path / "new"}
    done = stackemu("fuzz", stackzoo, "--time", "1", *(option.format(**places) for option in options))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert words in done.stderr


def test_another_drivers_corpus_is_refused(corpus: Path, stackemu: Stackemu, passthrough: Path) -> None:
    done = stackemu("fuzz", passthrough, "--time", "1", "--corpus", corpus)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "belongs to another image" in done.stderr


# -- campaigns that end early --


@pytest.fixture
def begun(
    command: Sequence[str], environment: dict[str, str], stackzoo: Path, tmp_path: Path
) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Return what starts a campaign without end on one corpus, in a process group of its own."""
    running: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*command, "fuzz", str(stackzoo), *FUNCTIONS, "--corpus", str(tmp_path / "corpus")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_ends_a_campaign_with_its_report(begun: Callable[[], subprocess.Popen[str]], tmp_path: Path) -> None:
    process = begun()
    _wait_for(lambda: any((tmp_path / "corpus" / "witnesses").glob("ZooHiddenDeepPath-*")))
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "ZooHiddenDeepPath" in output
    assert "stackemu replay" in output


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_a_campaign_that_is_killed_loses_nothing_that_was_there(
    begun: Callable[[], subprocess.Popen[str]], tmp_path: Path, stackemu: Stackemu, stackzoo: Path
) -> None:
    generator, directory = random.Random(0), tmp_path / "corpus"
    kept: dict[str, int] = {}
    for _ in range(3):
        process = begun()
        _wait_for(lambda: (directory / "campaign.json").exists())
        time.sleep(generator.random() * 2)
        known = {name: int(one["depth"]) for name, one in _files(directory, "witnesses").items()}
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        after = {name: int(one["depth"]) for name, one in _files(directory, "witnesses").items()}
        assert all(after.get(name, -1) >= depth for name, depth in {**kept, **known}.items())
        kept = after
    done = stackemu("fuzz", stackzoo, *FUNCTIONS, "--time", "1", "--corpus", directory)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    assert list(directory.rglob(".tmp-*")) == []
