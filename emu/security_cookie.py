"""The security cookie as the loader leaves it: a value of the image's own in place of the linker's default.

Since Windows 8 the loader fills in a driver's cookie, whose place the load configuration names, before DriverEntry
runs ("/GS (Buffer Security Check)" and "Load Configuration" in Microsoft's documentation); a driver that finds the
default value there makes a cookie of its own, or refuses to start.
"""

from __future__ import annotations

from stackemu.emu.image import Image

DEFAULT_COOKIE = 0xBB40E64E
"""What the linker puts there on x86."""


def initial_cookie(image: Image) -> tuple[int, int] | None:
    """Return (address, value) of the cookie that the loader writes, None when the image asks for none.

    The value is the same in every run: it comes from the image's content. Neither half of it is zero.
    """
    place = image.security_cookie
    if place is None or image.read_u32(place) != DEFAULT_COOKIE:
        return None
    value = int(image.sha256[:8] or "0", 16) | 0x00010001
    return image.base + place, value if value != DEFAULT_COOKIE else value ^ 2
