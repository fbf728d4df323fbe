"""The corpus on disk: what is kept comes back, however its writer ended; nothing foreign is touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from made_runs import context, observation

from stackemu.emu.errors import InputError
from stackemu.emu.inputs import Override, Place
from stackemu.harness.contexts import Context
from stackemu.harness.fuzz.corpus import Corpus, identity
from stackemu.harness.runs import RunSettings
from stackemu.harness.session import Driver, open_driver
from stackemu.harness.witness import Witness, to_json, witness_for

STACKZOO = Path(__file__).parents[4] / "drivers" / "stackzoo.sys"
F, G = 0x1000, 0x1100
SMALL = context(F)
LARGE = replace(SMALL, source=SMALL.source.with_override(Override(Place.ARGUMENT, 0, 0x12345678)))


@pytest.fixture(scope="module")
def driver() -> Driver:
    return open_driver(STACKZOO)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "corpus"


def _open(directory: Path, driver: Driver, **settings: object) -> Corpus:
    return Corpus.open(directory, driver, RunSettings(**settings))  # type: ignore[arg-type]


def _witness(driver: Driver, run: Context, depth: int, name: str = "Zoo") -> Witness:
    return witness_for(driver, name, run.caller, run, observation((run.caller, depth)), RunSettings())


def _names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_what_was_added_is_there_when_it_is_opened_again(directory: Path, driver: Driver) -> None:
    witness = _witness(driver, SMALL, 24)
    with _open(directory, driver) as corpus:
        assert corpus.add_input(witness)
        assert corpus.add_witness(witness)
        assert corpus.add_crash("bugcheck", witness) is not None
    with _open(directory, driver) as corpus:
        assert (list(corpus.inputs()), list(corpus.witnesses()), list(corpus.crashes())) == ([witness],) * 3
        assert corpus.input_count == 1
        assert not corpus.add_input(witness)
        assert corpus.warnings == []


def test_files_are_named_by_what_is_run(directory: Path, driver: Driver) -> None:
    witness = _witness(driver, SMALL, 24)
    with _open(directory, driver) as corpus:
        corpus.add_input(witness)
        corpus.add_witness(witness)
        corpus.add_crash("overflow", witness)
    name = identity(witness)
    assert _names(directory) == sorted(
        [".lock", "campaign.json", f"inputs/{name}.json", "witnesses/Zoo-1000.json", f"crashes/overflow-{name}.json"]
    )
    assert identity(_witness(driver, SMALL, 999)) == name
    assert identity(_witness(driver, LARGE, 24)) != name


@pytest.mark.parametrize(
    ("run", "depth", "stays"),
    [(LARGE, 24, False), (LARGE, 28, True), (SMALL, 20, False), (SMALL, 24, False)],
    ids=["as deep but larger", "deeper", "less deep", "the same"],
)
def test_a_witness_gives_way_to_a_deeper_or_smaller_one(
    directory: Path, driver: Driver, run: Context, depth: int, stays: bool
) -> None:
    first, second = _witness(driver, SMALL, 24), _witness(driver, run, depth)
    with _open(directory, driver) as corpus:
        corpus.add_witness(first)
        assert corpus.add_witness(second) is stays
        assert list(corpus.witnesses()) == [second if stays else first]


def test_a_smaller_witness_of_the_same_depth_takes_its_place(directory: Path, driver: Driver) -> None:
    with _open(directory, driver) as corpus:
        corpus.add_witness(_witness(driver, LARGE, 24))
        assert corpus.add_witness(_witness(driver, SMALL, 24))
        assert list(corpus.witnesses()) == [_witness(driver, SMALL, 24)]


def test_an_input_that_was_removed_is_gone(directory: Path, driver: Driver) -> None:
    with _open(directory, driver) as corpus:
        corpus.add_input(_witness(driver, SMALL, 24))
        corpus.add_input(_witness(driver, LARGE, 24))
        corpus.remove_input(LARGE)
        assert list(corpus.inputs()) == [_witness(driver, SMALL, 24)]


def test_a_file_that_cannot_be_read_is_moved_aside(directory: Path, driver: Driver) -> None:
    with _open(directory, driver) as corpus:
        corpus.add_input(_witness(driver, SMALL, 24))
        corpus.add_witness(_witness(driver, SMALL, 24))
    (directory / "inputs" / "0000.json").write_bytes(to_json(_witness(driver, LARGE, 24))[:100])
    with _open(directory, driver) as corpus:
        assert list(corpus.inputs()) == [_witness(driver, SMALL, 24)]
        assert len(corpus.warnings) == 1
    assert (directory / "broken" / "inputs-0000.json").exists()


def test_what_a_killed_process_left_half_written_is_swept_away(directory: Path, driver: Driver) -> None:
    _open(directory, driver).__exit__(None, None, None)
    for place in ("inputs", "witnesses", "."):
        (directory / place / ".tmp-1-1").write_bytes(b"{")
    with _open(directory, driver) as corpus:
        assert list(corpus.inputs()) == []
    assert _names(directory) == [".lock", "campaign.json"]


def test_a_corpus_whose_beginning_was_killed_is_begun_again(directory: Path, driver: Driver) -> None:
    (directory / "inputs").mkdir(parents=True)
    (directory / ".lock").touch()
    (directory / ".tmp-1").write_bytes(b"{")
    with _open(directory, driver) as corpus:
        assert corpus.input_count == 0


def test_two_corpora_are_merged(tmp_path: Path, driver: Driver) -> None:
    with _open(tmp_path / "one", driver) as one:
        one.add_input(_witness(driver, SMALL, 24))
        one.add_witness(_witness(driver, SMALL, 24))
    with _open(tmp_path / "two", driver) as two:
        two.add_input(_witness(driver, LARGE, 40))
        two.add_witness(_witness(driver, LARGE, 40))
        two.add_witness(_witness(driver, replace(SMALL, caller=G), 8, "Other"))
        two.add_crash("wild-jump", _witness(driver, LARGE, 40))
    with _open(tmp_path / "one", driver) as one:
        one.merge(tmp_path / "two")
        assert one.input_count == 2
        assert {witness.depth for witness in one.witnesses()} == {8, 40}
        assert [path.name.rpartition("-")[0] for path in (tmp_path / "one" / "crashes").iterdir()] == ["wild-jump"]


def test_a_second_campaign_has_to_wait(directory: Path, driver: Driver) -> None:
    with _open(directory, driver), pytest.raises(InputError, match="another campaign is using it"):
        _open(directory, driver)
    with _open(directory, driver):
        pass


def test_a_directory_with_something_else_is_left_alone(directory: Path, driver: Driver) -> None:
    directory.mkdir()
    (directory / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="holds something else than a corpus"):
        _open(directory, driver)
    assert _names(directory) == ["thesis.txt"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sha256": "0" * 64}, "belongs to another image"),
        ({"seed": 7}, "was made with seed 7, not 0"),
        ({"initialise": False}, "was made with initialise False, not True"),
        ({"schema": "stackemu.campaign/9"}, "not a corpus: schema stackemu.campaign/9"),
        ({"seed": "7"}, "not a corpus"),
    ],
)
def test_a_corpus_made_otherwise_is_refused(
    directory: Path, driver: Driver, change: dict[str, object], why: str
) -> None:
    _open(directory, driver).__exit__(None, None, None)
    path = directory / "campaign.json"
    path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | change))
    with pytest.raises(InputError, match=why):
        _open(directory, driver)


def test_a_file_in_the_place_of_the_directory_is_refused(directory: Path, driver: Driver) -> None:
    directory.write_text("a file")
    with pytest.raises(InputError, match="is not a directory"):
        _open(directory, driver)


def test_without_a_directory_everything_works_and_nothing_is_written(driver: Driver) -> None:
    with Corpus.in_memory() as corpus:
        witness = _witness(driver, SMALL, 24)
        assert corpus.add_input(witness)
        assert not corpus.add_input(witness)
        assert corpus.add_witness(witness)
        assert corpus.add_crash("bugcheck", witness) is None
        assert corpus.witness_path("Zoo-1000.json") is None
        assert list(corpus.inputs()) == []
