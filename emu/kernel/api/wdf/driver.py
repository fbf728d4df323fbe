"""WdfVersionBind and the driver object: what FxDriverEntry and DriverEntry of a KMDF driver ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.wdf.handles import create, find, framework, make
from stackemu.emu.kernel.api.wdf.shapes import nothing, status_only
from stackemu.emu.kernel.api.wdf.structures import DRIVER_CONFIG, DRIVER_GLOBALS, config, view
from stackemu.emu.kernel.call import ApiCall, Bugcheck, Context
from stackemu.emu.kernel.objects import driver_object, registry_path
from stackemu.emu.kernel.roots import Root, Words

_STATUS_DRIVER_INTERNAL_ERROR = 0xC0000183
_POOL_TAG = int.from_bytes(b"FxDr", "little")
_NO_UNLOAD_OF_ITS_OWN = 1 | 2
"""WdfDriverInitNonPnpDriver and WdfDriverInitNoDispatchOverride."""
_NAME_SIZE = 32
_VERSION = "Kernel Mode Driver Framework version 1.33"


def driver_globals(context: Context) -> int:
    """Return the address of the driver's WDF_DRIVER_GLOBALS."""
    state = framework(context)
    if not state.globals:
        state.globals = context.allocate(DRIVER_GLOBALS.size)
        globals_ = view(context, state.globals, DRIVER_GLOBALS)
        globals_["DriverTag"] = _POOL_TAG
        name = context.kernel.image.module.encode("ascii", "replace")[: _NAME_SIZE - 1]
        context.write(globals_.at("DriverName"), name)
    return state.globals


def driver_handle(context: Context) -> int:
    """Return the WDFDRIVER handle, of an object made up when WdfDriverCreate was not called."""
    state = framework(context)
    if not state.driver:
        made = make(context, "WDFDRIVER")
        made.is_foreign = True
        state.driver = made.handle
    return state.driver


def _version_bind(call: ApiCall) -> None:
    """WdfVersionBind: the table of functions is bound before any driver code runs, the globals are given here.

    It fails where the library cannot be loaded in the version that the driver asks for.
    """
    if call.succeeds:
        call.put_u32(call.arguments[3], driver_globals(call))
    else:
        call.fail()


def _driver_create(call: ApiCall) -> None:
    """A driver has one WDFDRIVER: creating a second one fails as documented."""
    state = framework(call)
    globals_address, _, _, attributes, config_address, out = call.arguments[:6]
    if state.driver:
        call.complete(_STATUS_DRIVER_INTERNAL_ERROR)
        return
    if not call.succeeds:
        call.fail()
        return
    driver = create(call, "WDFDRIVER", attributes)
    state.driver = driver.handle
    given = config(call, config_address, DRIVER_CONFIG)
    for name, address in given.callbacks():
        call.root(address, name, name)
        driver.values[name] = address
    if globals_address:
        globals_ = view(call, globals_address, DRIVER_GLOBALS)
        globals_["Driver"] = driver.handle
        globals_["DriverFlags"] = flags = given["DriverInitFlags"]
        # FxDriverEntry then puts its own DriverUnload into the driver object.
        globals_["DisplaceDriverUnload"] = not flags & _NO_UNLOAD_OF_ITS_OWN or given["EvtDriverUnload"] != 0
        if given["DriverPoolTag"]:
            globals_["DriverTag"] = given["DriverPoolTag"]
    call.put_optional(out, driver.handle)


def _registry_path(call: ApiCall) -> None:
    """WdfDriverGetRegistryPath answers with a terminated string."""
    driver = find(call, call.arguments[1], "WDFDRIVER")
    if not driver.get("registry path"):
        text = call.unicode(registry_path(call)).encode("utf-16-le") + b"\0\0"
        driver.values["registry path"] = address = call.allocate(len(text))
        call.write(address, text)
    call.eax = driver.get("registry path")


def _wdm_driver_object(call: ApiCall) -> None:
    call.eax = driver_object(call).address


def _wdf_driver_handle(call: ApiCall) -> None:
    call.eax = driver_handle(call)


def _version_string(call: ApiCall) -> None:
    if call.succeeds:
        find(call, call.arguments[2], "WDFSTRING").text = _VERSION.encode("utf-16-le")
    else:
        call.fail()


def _is_version_available(call: ApiCall) -> None:
    call.eax = int(call.succeeds)


def _bugcheck(call: ApiCall) -> None:
    raise Bugcheck(call.arguments[1])


def _driver_role(context: Context, _root: Root) -> Words:
    return Words((driver_handle(context),))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "WdfVersionBind": _version_bind,
    "WdfVersionUnbind": nothing,
    "WdfVersionBindClass": status_only,
    "WdfVersionUnbindClass": nothing,
    "WdfDriverCreate": _driver_create,
    "WdfDriverGetRegistryPath": _registry_path,
    "WdfDriverWdmGetDriverObject": _wdm_driver_object,
    "WdfWdmDriverGetWdfDriverHandle": _wdf_driver_handle,
    "WdfDriverRetrieveVersionString": _version_string,
    "WdfDriverIsVersionAvailable": _is_version_available,
    "WdfDriverRegisterTraceInfo": status_only,
    "WdfDriverMiniportUnload": nothing,
    "WdfVerifierKeBugCheck": _bugcheck,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"EvtDriverUnload": _driver_role}
