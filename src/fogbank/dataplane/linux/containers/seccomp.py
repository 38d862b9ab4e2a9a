"""Which system calls a container may make, as data, and the OCI profile made from it, purely.

The list follows docker's default profile: what ordinary programs need is allowed, and what reaches the
machine itself (mounts, namespaces, keyrings, modules, the clock, other processes' memory) is refused with
EPERM, as the kernel refuses it to an ordinary user. Calls in neither list answer ENOSYS, so that C libraries
fall back when a kernel is newer than this list. Cloud Run runs 64-bit programs only, so other architectures
are not listed, and a system call in their convention ends the program.
"""

import errno
import functools
import socket
from collections.abc import Mapping

_FILES = """
    access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
    fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync
    fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd
    getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
    io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit ioctl lchown lgetxattr link linkat
    listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat memfd_create mkdir mkdirat mknod
    mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64
    pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat
    renameat2 rmdir sendfile setxattr setxattrat splice stat statfs statx symlink symlinkat sync
    sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes vmsplice write writev
"""
_MEMORY = """
    brk cachestat get_mempolicy madvise map_shadow_stack mbind membarrier memfd_secret mincore mlock
    mlock2 mlockall mmap mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free
    pkey_mprotect process_mrelease remap_file_pages set_mempolicy set_mempolicy_home_node
"""
_PROCESSES = """
    arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue futex_wait
    futex_waitv futex_wake get_robust_list get_thread_area getcpu getegid geteuid getgid getgroups getpgid
    getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid
    ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self pidfd_open
    pidfd_send_signal prctl prlimit64 restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
    sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
    seccomp set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setpgid
    setpriority setregid setresgid setresuid setreuid setrlimit setsid setuid sigaltstack sysinfo tgkill
    time times tkill uname vfork wait4 waitid
"""
_TALKING = """
    accept accept4 bind connect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait
    epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 getpeername getrandom getsockname getsockopt
    listen mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv
    msgsnd poll ppoll pselect6 recvfrom recvmmsg recvmsg select semctl semget semop semtimedop sendmmsg
    sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown signalfd signalfd4 socketpair
"""
_TIME = """
    adjtimex alarm clock_adjtime clock_getres clock_gettime clock_nanosleep getitimer gettimeofday
    nanosleep pause setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_settime
    timerfd_create timerfd_gettime timerfd_settime
"""
ALLOWED = tuple(sorted(set(f"{_FILES}{_MEMORY}{_PROCESSES}{_TALKING}{_TIME}".split())))

_MOUNTS_AND_NAMESPACES = """
    chroot fanotify_init fsconfig fsmount fsopen fspick listmount mount mount_setattr move_mount
    open_by_handle_at open_tree pivot_root setns statmount umount umount2 unshare
"""
_KEYRINGS = "add_key keyctl request_key"
"""They are in no namespace but that of users: a filter is what keeps root's keys from a container's root."""
_RARELY_NEEDED = "bpf io_uring_enter io_uring_register io_uring_setup perf_event_open userfaultfd"
"""Much of the kernel for few programs; docker's profile refuses them, too."""
_OTHER_PROCESSES = """
    kcmp migrate_pages move_pages pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace
"""
_THE_MACHINE = """
    _sysctl acct clock_settime create_module delete_module finit_module get_kernel_syms init_module ioperm
    iopl kexec_file_load kexec_load lookup_dcookie modify_ldt nfsservctl query_module quotactl quotactl_fd
    reboot setdomainname sethostname settimeofday stime swapoff swapon sysfs syslog uselib ustat vhangup
    vm86 vm86old
"""
REFUSED = tuple(
    sorted(f"{_MOUNTS_AND_NAMESPACES} {_KEYRINGS} {_RARELY_NEEDED} {_OTHER_PROCESSES} {_THE_MACHINE}".split())
)

FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
"""The kinds of sockets. Not AF_VSOCK: it leads to the machine's hypervisor from any network namespace."""

RAW_FAMILIES = (*FAMILIES, socket.AF_PACKET)
"""Those of a machine, whose root may see every packet of its own network."""

_NAMESPACE_FLAGS = (0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000)
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; NEWTIME is not a flag of clone."""
_PERSONALITIES = (0x0, 0x8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF)
"""Linux, 32-bit addresses, the release number of 2.6, both, and the question which it is."""


@functools.cache
def profile(*, raw: bool = False) -> Mapping[str, object]:
    """Render the ``linux.seccomp`` object of a container's configuration.

    ``raw`` is for virtual machines: packet sockets, and the chroot in which sshd talks to strangers.
    """
    families = RAW_FAMILIES if raw else FAMILIES
    allowed = (*ALLOWED, "chroot") if raw else ALLOWED
    refused = tuple(name for name in REFUSED if name not in allowed)
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.ENOSYS,
        "syscalls": [
            _allow(allowed),
            _refuse(refused, errno.EPERM),
            *(_allow(["personality"], _argument(0, known, "SCMP_CMP_EQ")) for known in _PERSONALITIES),
            # clone3 is in no list: its flags are in memory, out of a filter's reach. On ENOSYS, C libraries
            # use clone.
            _allow(["clone"], _argument(0, sum(_NAMESPACE_FLAGS), "SCMP_CMP_MASKED_EQ", 0)),
            *(
                _refuse(["clone"], errno.EPERM, _argument(0, flag, "SCMP_CMP_MASKED_EQ", flag))
                for flag in _NAMESPACE_FLAGS
            ),
            *(_allow(["socket"], _argument(0, family, "SCMP_CMP_EQ")) for family in families),
            *(
                _refuse(["socket"], errno.EAFNOSUPPORT, _argument(0, family, "SCMP_CMP_EQ"))
                for family in range(max(families))
                if family not in families
            ),
            _refuse(["socket"], errno.EAFNOSUPPORT, _argument(0, max(families), "SCMP_CMP_GT")),
        ],
    }


def _allow(names: list[str] | tuple[str, ...], *arguments: Mapping[str, object]) -> dict[str, object]:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", "args": list(arguments)}


def _refuse(
    names: list[str] | tuple[str, ...], number: int, *arguments: Mapping[str, object]
) -> dict[str, object]:
    return {
        "names": list(names),
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": number,
        "args": list(arguments),
    }


def _argument(index: int, value: int, operator: str, other: int = 0) -> dict[str, object]:
    return {"index": index, "value": value, "valueTwo": other, "op": operator}
