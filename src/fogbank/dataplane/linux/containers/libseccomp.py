"""Compiles a system call filter once, so that crun need not do it for every container.

libseccomp is crun's own library; through it crun would make the same filter, in a tenth of a cold start, and
as a chain of comparisons. Here it is made as a tree of them, which the kernel loads and runs more quickly.
"""

import ctypes
import os
from collections.abc import Iterable, Mapping
from typing import Any

_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_OPTIMIZE, _AS_TREE = 8, 2
_OPERATORS = {"SCMP_CMP_EQ": 4, "SCMP_CMP_GT": 6, "SCMP_CMP_MASKED_EQ": 7}
_UNKNOWN = -1


class _Argument(ctypes.Structure):
    """``struct scmp_arg_cmp`` of seccomp.h."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def compile_filter(profile: Mapping[str, Any]) -> bytes:
    """Make the classic BPF program of an OCI profile; OSError when the library is missing or refuses."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_release.restype = None
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_rule_add_array.argtypes = [
        *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint),
        ctypes.POINTER(_Argument),
    ]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    context = library.seccomp_init(_ERRNO | profile["defaultErrnoRet"])
    if not context:
        raise OSError("seccomp_init")
    try:
        _checked(library.seccomp_attr_set(context, _OPTIMIZE, _AS_TREE))
        for rule in profile["syscalls"]:
            _add(library, context, rule)
        return _exported(library, context)
    finally:
        library.seccomp_release(context)


def _add(library: ctypes.CDLL, context: int, rule: Mapping[str, Any]) -> None:
    action = _ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else _ERRNO | rule["errnoRet"]
    arguments = tuple(_arguments(rule["args"]))
    array = (_Argument * len(arguments))(*arguments)
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number != _UNKNOWN:  # the library is older than this call: the default action will do
            _checked(library.seccomp_rule_add_array(context, action, number, len(arguments), array))


def _arguments(wanted: Iterable[Mapping[str, Any]]) -> Iterable[_Argument]:
    for each in wanted:
        yield _Argument(each["index"], _OPERATORS[each["op"]], each["value"], each["valueTwo"])


def _exported(library: ctypes.CDLL, context: int) -> bytes:
    memory = os.memfd_create("filter", os.MFD_CLOEXEC)
    try:
        _checked(library.seccomp_export_bpf(context, memory))
        return os.pread(memory, os.fstat(memory).st_size, 0)
    finally:
        os.close(memory)


def _checked(result: int) -> None:
    if result < 0:
        raise OSError(-result, os.strerror(-result), "libseccomp")
