#!/usr/bin/env python3
"""Run Chromium so that it does not notice other network interfaces coming and going.

It breaks off all requests when any does (`net::ERR_NETWORK_CHANGED`), and other tests start
containers. It learns of them by a netlink socket, so it gets none; then it takes itself for
online. `CHROMIUM` is its path.
"""

import ctypes
import os
import platform
import struct
import sys

SOCKET = {"x86_64": 41, "aarch64": 198}
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
AF_NETLINK, EAFNOSUPPORT = 16, 97
LOAD, EQUALS, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | EAFNOSUPPORT


class Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse_netlink(call: int) -> None:
    """Have this process, and what it becomes, open no netlink sockets."""
    steps = (
        (LOAD, 0, 0, 0),  # the number of the system call
        (EQUALS, 0, 3, call),
        (LOAD, 0, 0, 16),  # its first argument
        (EQUALS, 0, 1, AF_NETLINK),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    )
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    system = ctypes.CDLL(None, use_errno=True)
    system.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    program = Program(len(steps), code)
    system.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)


if sys.platform == "linux" and platform.machine() in SOCKET:
    refuse_netlink(SOCKET[platform.machine()])
os.execv(os.environ["CHROMIUM"], [os.environ["CHROMIUM"], *sys.argv[1:]])  # noqa: S606
