"""The system call filter: as data, and as the program that the kernel runs (interpreted here)."""

import errno
import platform
import struct

import pytest

from fogbank.dataplane.linux.containers.libseccomp import compile_filter
from fogbank.dataplane.linux.containers.seccomp import ALLOWED, REFUSED, profile

ALLOW, ERRNO = 0x7FFF_0000, 0x5_0000
X86_64 = 0xC000_003E
I386 = 0x4000_0003
CALLS = {"read": 0, "socket": 41, "clone": 56, "mount": 165, "keyctl": 250, "clone3": 435, "personality": 135}


def run_filter(program: bytes, number: int, *arguments: int, architecture: int = X86_64) -> int:
    """Interpret classic BPF on a ``struct seccomp_data``; what it returns is the verdict."""
    padded = (*arguments, *([0] * (6 - len(arguments))))
    data = struct.pack("=iIQ6Q", number, architecture, 0, *padded)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator, place = 0, 0
    while True:
        code, yes, no, k = instructions[place]
        place += 1
        match code:
            case 0x20:  # load a word
                accumulator = struct.unpack_from("=I", data, k)[0]
            case 0x54:  # and
                accumulator &= k
            case 0x05:  # jump
                place += k
            case 0x15 | 0x25 | 0x35 | 0x45:  # jump if equal, greater, at least, any bit
                holds = {0x15: accumulator == k, 0x25: accumulator > k, 0x35: accumulator >= k}
                place += yes if holds.get(code, bool(accumulator & k)) else no
            case 0x06:
                return k
            case _:
                raise AssertionError(f"instruction {code:#x}")


def test_no_call_is_in_two_lists():
    assert set(ALLOWED).isdisjoint(REFUSED)
    assert set(ALLOWED).isdisjoint({"clone", "clone3", "socket", "personality"})


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of calls are those of x86-64")
def test_the_compiled_filter_keeps_the_profile():
    program = compile_filter(profile())

    def verdict(name: str, *arguments: int) -> int:
        return run_filter(program, CALLS[name], *arguments)

    assert verdict("read") == ALLOW
    assert verdict("mount") == verdict("keyctl") == ERRNO | errno.EPERM
    assert verdict("clone3") == run_filter(program, 9999) == ERRNO | errno.ENOSYS
    assert verdict("clone", 0x0120_0011) == verdict("clone", 0x003D_0F00) == ALLOW
    for flag in (0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000):
        assert verdict("clone", flag | 17) == ERRNO | errno.EPERM
    assert [family for family in range(60) if verdict("socket", family) == ALLOW] == [1, 2, 10, 16]
    assert verdict("socket", 40) == verdict("socket", 38) == ERRNO | errno.EAFNOSUPPORT
    assert verdict("personality", 0xFFFF_FFFF) == ALLOW
    assert verdict("personality", 0x40_0000) == ERRNO | errno.ENOSYS


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of calls are those of x86-64")
def test_a_call_in_the_convention_of_another_architecture_ends_the_program():
    program = compile_filter(profile())
    assert run_filter(program, 3, architecture=I386) == 0
    assert run_filter(program, 0x4000_0000 | CALLS["read"]) in (0, ERRNO | errno.ENOSYS)
