"""KMDF devices, queues and requests: callbacks become roots and are called with requests of their type.

Structures are packed here from wdfdevice.h, wdfio.h and wdfrequest.h for a 32-bit build.
"""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.inputs import Input, Override, Place, Style

CALLBACK = 0xA5DE1100
GLOBALS = 0


def word(kernel: Any, address: int) -> int:
    return int(struct.unpack("<I", kernel.host.read(address, 4))[0])


def device(kernel: Any, *, file_context: int = 0) -> int:
    """Return a control device; its files have a context of the type given."""
    init = kernel.call("WdfControlDeviceInitAllocate", GLOBALS, 0, 0)
    config = kernel.text(struct.pack("<6I", 24, CALLBACK, CALLBACK + 4, CALLBACK + 8, 0, 0))
    file_attributes = kernel.text(struct.pack("<8I", 32, 0, 0, 1, 1, 0, 0, file_context))
    kernel.call("WdfDeviceInitSetFileObjectConfig", GLOBALS, init, config, file_attributes)
    pointer, out = kernel.text(struct.pack("<I", init)), kernel.text(bytes(4))
    assert kernel.call("WdfDeviceCreate", GLOBALS, pointer, 0, out) == 0
    assert word(kernel, pointer) == 0
    return word(kernel, out)


def queue(kernel: Any, owner: int, *, size: int = 56, takes_empty: bool = False, **callbacks: int) -> int:
    """Return a queue whose WDF_IO_QUEUE_CONFIG has `size` bytes; `takes_empty` is AllowZeroLengthRequests."""
    names = ("default", "read", "write", "control", "internal", "stop", "resume", "canceled")
    words = [callbacks.get(name, 0) for name in names]
    config = kernel.text(struct.pack("<IIIBBxx8III", size, 1, 2, takes_empty, 1, *words, 0, 0))
    out = kernel.text(bytes(4))
    assert kernel.call("WdfIoQueueCreate", GLOBALS, owner, config, 0, out) == 0
    return word(kernel, out)


def drawing(**numbers: int) -> Input:
    """Return an input whose numbered draws of the first call give these values."""
    source = Input(0, Style.ZEROS, True)
    for key, value in numbers.items():
        source = source.with_override(Override(Place.RESULT, int(key[1:]), value))
    return source


def test_a_queue_s_callbacks_become_roots_by_their_documented_names(kernel: Any) -> None:
    handle = queue(kernel, device(kernel), read=CALLBACK, control=CALLBACK + 16, stop=CALLBACK + 32)
    roots = {root.role: root.context for root in kernel.roots if root.role.startswith("EvtIo")}
    assert roots == {"EvtIoRead": (handle,), "EvtIoDeviceControl": (handle,), "EvtIoStop": (handle,)}


def test_a_queue_config_of_kmdf_1_5_ends_before_its_settings(kernel: Any) -> None:
    assert queue(kernel, device(kernel), size=48, canceled=CALLBACK)
    assert [root.role for root in kernel.roots][-1] == "EvtIoCanceledOnQueue"


def io_control(kernel: Any, code: int, output: int, given: int) -> tuple[int, ...]:
    """Return the arguments of EvtIoDeviceControl for an IOCTL; its context's draws start at the call's number."""
    queue(kernel, device(kernel), control=CALLBACK)
    root = next(root for root in kernel.roots if root.role == "EvtIoDeviceControl")
    first = 8 * kernel.calls
    source = drawing(**{f"k{first}": output, f"k{first + 1}": given, f"k{first + 2}": code})
    return kernel.arguments(root, source).stack


def test_a_device_control_request_has_the_buffers_that_its_arguments_say(kernel: Any) -> None:
    _, request, output, given, code = io_control(kernel, 0x222000, 64, 24)
    assert (output, given, code) == (64, 24, 0x222000)
    buffer, size = kernel.text(bytes(4)), kernel.text(bytes(4))
    assert kernel.call("WdfRequestRetrieveInputBuffer", GLOBALS, request, 24, buffer, size) == 0
    assert word(kernel, size) == 24
    system_buffer = word(kernel, buffer)
    assert kernel.call("WdfRequestRetrieveOutputBuffer", GLOBALS, request, 64, buffer, size) == 0
    assert (word(kernel, buffer), word(kernel, size)) == (system_buffer, 64)  # METHOD_BUFFERED shares one


@pytest.mark.parametrize(("given", "minimum"), [(24, 25), (0, 0)])
def test_a_buffer_that_is_too_small_is_not_retrieved(kernel: Any, given: int, minimum: int) -> None:
    _, request, *_ = io_control(kernel, 0x222000, 64, given)
    out = kernel.text(bytes(4))
    assert kernel.call("WdfRequestRetrieveInputBuffer", GLOBALS, request, minimum, out, 0) == 0xC0000023


def test_direct_output_is_apart_from_the_input_and_has_an_mdl(kernel: Any) -> None:
    _, request, *_ = io_control(kernel, 0x222002, 5000 % 4096, 16)  # METHOD_OUT_DIRECT
    out = kernel.text(bytes(4))
    kernel.call("WdfRequestRetrieveInputBuffer", GLOBALS, request, 16, out, 0)
    system_buffer = word(kernel, out)
    assert kernel.call("WdfRequestRetrieveOutputWdmMdl", GLOBALS, request, out) == 0
    mdl = kernel.context().view("MDL", word(kernel, out))
    assert mdl["MappedSystemVa"] not in (0, system_buffer)
    assert mdl["ByteCount"] == 904
    assert mdl["StartVa"] + mdl["ByteOffset"] == mdl["MappedSystemVa"]


def test_parameters_repeat_what_the_callback_was_given(kernel: Any) -> None:
    _, request, output, given, code = io_control(kernel, 0x12240B, 100, 200)
    parameters = kernel.text(struct.pack("<H", 24) + bytes(22))
    kernel.call("WdfRequestGetParameters", GLOBALS, request, parameters)
    assert kernel.host.read(parameters, 20) == struct.pack("<HBxIIII", 24, 0, 14, output, given, code)


def test_a_request_is_completed_once(kernel: Any) -> None:
    _, request, *_ = io_control(kernel, 0, 0, 0)
    kernel.call("WdfRequestCompleteWithInformation", GLOBALS, request, 0, 4)
    kernel.call("WdfRequestComplete", GLOBALS, request, 0)
    assert list(kernel.state.records.notes) == [f"WdfRequestComplete: request {request:#x} was completed before"]


def test_a_file_whose_creation_succeeded_is_the_one_of_later_requests(kernel: Any) -> None:
    owner = device(kernel)
    queue(kernel, owner, write=CALLBACK)
    roots = {root.role: root for root in kernel.roots}
    handle, request, file = kernel.arguments(roots["EvtDeviceFileCreate"]).stack
    assert handle == owner
    kernel.call("WdfRequestComplete", GLOBALS, request, 0)
    _, write, _ = kernel.arguments(roots["EvtIoWrite"]).stack
    assert kernel.call("WdfRequestGetFileObject", GLOBALS, write) == file
    assert kernel.arguments(roots["EvtFileClose"]).stack == (file,)


def test_requests_leave_a_manual_queue_in_the_order_of_their_forwarding(kernel: Any) -> None:
    _, first, *_ = io_control(kernel, 0, 0, 0)
    root = next(root for root in kernel.roots if root.role == "EvtIoDeviceControl")
    _, second, *_ = kernel.arguments(root).stack
    manual, out = queue(kernel, device(kernel)), kernel.text(bytes(4))
    for request in (first, second):
        assert kernel.call("WdfRequestForwardToIoQueue", GLOBALS, request, manual) == 0
    taken = []
    for _ in range(2):
        assert kernel.call("WdfIoQueueRetrieveNextRequest", GLOBALS, manual, out) == 0
        taken.append(word(kernel, out))
    assert taken == [first, second]


def test_asking_a_queue_for_all_its_requests_comes_to_an_end(kernel: Any) -> None:
    manual, out = queue(kernel, device(kernel)), kernel.text(bytes(4))
    statuses = [kernel.call("WdfIoQueueRetrieveNextRequest", GLOBALS, manual, out) for _ in range(10)]
    assert statuses[-1] == 0x8000001A


def test_a_completion_routine_runs_when_the_request_was_sent(kernel: Any) -> None:
    request, target = 0x84100000, 0x84200000
    kernel.call("WdfRequestSetCompletionRoutine", GLOBALS, request, CALLBACK, 0x77)
    assert kernel.call("WdfRequestSend", GLOBALS, request, target, 0) == 1
    ((address, arguments),) = kernel.host.invoked
    assert (address, arguments[0], arguments[1], arguments[3]) == (CALLBACK, request, target, 0x77)
    assert [root.role for root in kernel.roots] == ["CompletionRoutine"]


def test_a_synchronous_send_calls_no_completion_routine(kernel: Any) -> None:
    options = kernel.text(struct.pack("<IIq", 16, 2, 0))
    kernel.call("WdfRequestSetCompletionRoutine", GLOBALS, 0x84100000, CALLBACK, 0)
    assert kernel.call("WdfRequestSend", GLOBALS, 0x84100000, 0x84200000, options) == 1
    assert kernel.host.invoked == []


@pytest.mark.parametrize(("takes_empty", "shortest"), [(False, 1), (True, 0)])
@pytest.mark.parametrize("name", ["EvtIoRead", "EvtIoWrite"])
def test_empty_reads_and_writes_reach_only_the_driver_that_allows_them(
    kernel: Any, name: str, takes_empty: bool, shortest: int
) -> None:
    queue(kernel, device(kernel), takes_empty=takes_empty, read=CALLBACK, write=CALLBACK + 16)
    root = next(root for root in kernel.roots if root.role == name)
    first = 8 * kernel.calls
    *_, length = kernel.arguments(root, drawing(**{f"k{first}": 0, f"k{first + 1}": 0})).stack
    assert length == shortest


def test_a_request_that_is_cancelled_is_of_the_queue_that_it_was_marked_on(kernel: Any) -> None:
    owner = device(kernel)
    handle = queue(kernel, owner, write=CALLBACK)
    write = next(root for root in kernel.roots if root.role == "EvtIoWrite")
    _, request, _ = kernel.arguments(write).stack
    assert kernel.call("WdfRequestMarkCancelableEx", GLOBALS, request, CALLBACK + 32) == 0
    cancel = next(root for root in kernel.roots if root.role == "EvtRequestCancel")
    (cancelled,) = kernel.arguments(cancel).stack
    assert kernel.call("WdfRequestGetIoQueue", GLOBALS, cancelled) == handle
    assert kernel.call("WdfIoQueueGetDevice", GLOBALS, handle) == owner
