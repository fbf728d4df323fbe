import json

import msgspec
import pytest

from stackemu.harness.results import (
    ChainFrame,
    DriverInfo,
    FunctionResult,
    MeasuredFigures,
    Measurement,
    StaticFigures,
    Summary,
    SymbolsInfo,
    from_json,
    to_json,
)


@pytest.fixture
def document() -> Measurement:
    return Measurement(
        driver=DriverInfo(
            path="/d/PassThrough.sys",
            name="PassThrough.sys",
            sha256="ab" * 32,
            machine="x86",
            base=0xA5DE0000,
            symbols=SymbolsInfo(source="pdb", path=None),
        ),
        settings={"seed": 0, "single_step": False, "symbols": None, "mode": "x"},
        functions=(
            FunctionResult(
                name="PtCreate",
                module="PassThrough",
                rva=0x1000,
                address=0xA5DE1000,
                size=None,
                prototype=None,
                root="IRP_MJ_CREATE",
                static=StaticFigures(locals=96, saved=16, frame=112, own=None, bound=None, open=("dynamic alloca",)),
                measured=MeasuredFigures(
                    outcome="returned",
                    own=136,
                    depth=240,
                    chain=(
                        ChainFrame(function="PtCreate", bytes=136),
                        ChainFrame(function="PtLog", bytes=104),
                    ),
                    instructions=1204,
                    runs=16,
                    blocks_seen=12,
                    blocks=14,
                ),
                verdict="dynamic",
                why=None,
                witness=None,
            ),
        ),
        summary=Summary(
            functions=1,
            measured=1,
            outcomes={"returned": 1},
            verdicts={"dynamic": 1},
            deepest="PtCreate",
            deepest_bytes=240,
        ),
    )


def test_a_saved_document_loads_as_it_was(document: Measurement) -> None:
    assert from_json(to_json(document)) == document


def test_the_names_and_their_order_are_the_schemas(document: Measurement) -> None:
    data = json.loads(to_json(document))
    assert list(data)[:5] == ["schema", "driver", "settings", "functions", "summary"]
    assert data["schema"] == "stackemu.measurement/1"
    assert list(data["driver"]) == ["path", "name", "sha256", "machine", "base", "symbols"]
    (function,) = data["functions"]
    assert list(function)[:12] == [
        "name",
        "module",
        "rva",
        "address",
        "size",
        "prototype",
        "root",
        "static",
        "measured",
        "verdict",
        "why",
        "witness",
    ]
    assert list(function["static"])[:7] == ["locals", "saved", "frame", "own", "bound", "open", "source"]
    assert list(function["measured"])[:8] == [
        "outcome",
        "own",
        "depth",
        "chain",
        "instructions",
        "runs",
        "blocks_seen",
        "blocks",
    ]
    assert function["measured"]["chain"][0] == {"function": "PtCreate", "bytes": 136}


def test_numbers_are_integers_and_unknown_is_null(document: Measurement) -> None:
    (function,) = json.loads(to_json(document))["functions"]
    assert function["address"] == 0xA5DE1000
    assert function["size"] is None
    assert function["static"]["own"] is None


def test_the_text_ends_in_a_newline(document: Measurement) -> None:
    assert to_json(document).endswith(b"}\n")


@pytest.mark.parametrize("data", [b"{}", b'{"schema": 1}', b"[]"])
def test_another_document_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        from_json(data)


def test_text_that_is_not_json_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        from_json(b"96 bytes used for locals by func:")
