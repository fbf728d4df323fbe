"""WDFWMIPROVIDER and WDFWMIINSTANCE: providers of management data and their callbacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.wdf.handles import WdfObject, create, find, make
from stackemu.emu.kernel.api.wdf.requests import MAX_LENGTH
from stackemu.emu.kernel.api.wdf.shapes import choose, nothing, refers_to, status_only
from stackemu.emu.kernel.api.wdf.structures import WMI_INSTANCE_CONFIG, WMI_PROVIDER_CONFIG, config
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

PROVIDER, INSTANCE = "WDFWMIPROVIDER", "WDFWMIINSTANCE"


def _configure(call: ApiCall, provider: WdfObject, config_address: int, device: int) -> None:
    provider.values["device"] = device
    given = config(call, config_address, WMI_PROVIDER_CONFIG)
    provider.values["smallest buffer"] = given["MinInstanceBufferSize"]
    for name, address in given.callbacks():
        call.root(address, name, name, provider.handle)


def _provider_create(call: ApiCall) -> None:
    device, config_address, attributes, out = call.arguments[1:5]
    if not call.succeeds:
        call.fail()
        return
    provider = create(call, PROVIDER, attributes, device)
    _configure(call, provider, config_address, device)
    call.put_optional(out, provider.handle)


def _instance_create(call: ApiCall) -> None:
    """An instance belongs to a provider that exists, or to a new one that its config describes."""
    device, config_address, attributes, out = call.arguments[1:5]
    if not call.succeeds:
        call.fail()
        return
    given = config(call, config_address, WMI_INSTANCE_CONFIG)
    provider = find(call, given["Provider"], PROVIDER) if given["Provider"] else make(call, PROVIDER, device)
    if given["ProviderConfig"]:
        _configure(call, provider, given["ProviderConfig"], device)
    instance = create(call, INSTANCE, attributes, device)
    instance.values.update({"device": device, "provider": provider.handle})
    smallest = provider.get("smallest buffer")
    for name, address in given.callbacks():
        call.root(address, name, name, instance.handle, smallest)
    call.put_optional(out, instance.handle)


def _is_enabled(call: ApiCall) -> None:
    call.eax = int(call.succeeds)


def _tracing_handle(call: ApiCall) -> None:
    call.eax, call.edx = call.draw(0), call.draw(1)


def _buffer(context: Context, key: int, smallest: int) -> tuple[int, int]:
    """Return size and address of a buffer no smaller than the provider wants them."""
    size = max(choose(context, key, 0, MAX_LENGTH), min(smallest, MAX_LENGTH))
    return size, context.allocate(size, zeroed=False)


def _instance(context: Context, root: Root) -> tuple[int, int]:
    handle, smallest = root.context
    return find(context, handle, INSTANCE).handle, smallest


def _query(context: Context, root: Root) -> Words:
    handle, smallest = _instance(context, root)
    size, address = _buffer(context, 0, smallest)
    return Words((handle, size, address, context.allocate(4)))


def _set(context: Context, root: Root) -> Words:
    handle, smallest = _instance(context, root)
    return Words((handle, *_buffer(context, 0, smallest)))


def _set_item(context: Context, root: Root) -> Words:
    handle, smallest = _instance(context, root)
    return Words((handle, context.draw(1), *_buffer(context, 0, smallest)))


def _execute(context: Context, root: Root) -> Words:
    """The buffer, shared by both directions, is as large as the larger one."""
    handle, smallest = _instance(context, root)
    given, wanted = choose(context, 2, 0, MAX_LENGTH), choose(context, 3, 0, MAX_LENGTH)
    address = context.allocate(max(given, wanted, min(smallest, MAX_LENGTH)), zeroed=False)
    return Words((handle, context.draw(1), given, wanted, address, context.allocate(4)))


def _control(context: Context, root: Root) -> Words:
    provider = find(context, root.context[0], PROVIDER)
    return Words((provider.handle, choose(context, 0, 1, 2), choose(context, 1, 0, 1)))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "WdfWmiProviderCreate": _provider_create,
    "WdfWmiProviderGetDevice": refers_to(PROVIDER, "device", "WDFDEVICE"),
    "WdfWmiProviderIsEnabled": _is_enabled,
    "WdfWmiProviderGetTracingHandle": _tracing_handle,
    "WdfWmiInstanceCreate": _instance_create,
    "WdfWmiInstanceRegister": status_only,
    "WdfWmiInstanceDeregister": nothing,
    "WdfWmiInstanceGetDevice": refers_to(INSTANCE, "device", "WDFDEVICE"),
    "WdfWmiInstanceGetProvider": refers_to(INSTANCE, "provider", PROVIDER),
    "WdfWmiInstanceFireEvent": status_only,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "EvtWmiProviderFunctionControl": _control,
    "EvtWmiInstanceQueryInstance": _query,
    "EvtWmiInstanceSetInstance": _set,
    "EvtWmiInstanceSetItem": _set_item,
    "EvtWmiInstanceExecuteMethod": _execute,
}
