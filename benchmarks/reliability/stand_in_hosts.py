"""Stand-ins for hosts on one machine: network namespaces with names and addresses of their own, or plain processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

NAME, NETWORK = "lfadsx", "10.77.0"


class Loopback:
    """All hosts are this machine."""

    kind = "loopback"

    def address(self, index: int) -> str:
        return "127.0.0.1"

    def command(self, index: int) -> list[str]:
        """Words before a command that the host is to run."""
        return []

    def unplug(self, index: int, *, out: bool = True) -> bool:
        """Unplugs the network of a host, or plugs it in; returns whether that is possible."""
        return False


class Namespaces(Loopback):
    """Each host is a network namespace on a bridge, with a host name that the others can resolve."""

    kind = "network namespaces"

    def address(self, index: int) -> str:
        return f"{NETWORK}.{index + 1}"

    def command(self, index: int) -> list[str]:
        name = f"{NAME}{index}"
        return [*f"ip netns exec {name} unshare --uts sh -c".split(), f'hostname {name}; exec "$@"', "sh"]

    def unplug(self, index: int, *, out: bool = True) -> bool:
        _ip(f"link set {NAME}v{index} {'down' if out else 'up'}")
        return True


@contextlib.contextmanager
def hosts(n: int) -> Iterator[Loopback]:
    """Makes hosts: namespaces if the machine allows (Linux, root), otherwise plain processes."""
    if not (hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("ip") and shutil.which("unshare")):
        yield Loopback()
        return
    try:
        _make(n)
    except subprocess.CalledProcessError:
        _remove(n)
        yield Loopback()
        return
    try:
        yield Namespaces()
    finally:
        _remove(n)


def _make(n: int) -> None:
    names = "".join(f"{NETWORK}.{index + 1} {NAME}{index}\n" for index in range(n))
    _ip(f"link add {NAME}br type bridge")
    _ip(f"link set {NAME}br up")
    for index in range(n):
        name = f"{NAME}{index}"
        _ip(f"netns add {name}")
        _ip(f"link add {NAME}v{index} type veth peer name eth0 netns {name}")
        _ip(f"link set {NAME}v{index} master {NAME}br up")
        _ip(f"-n {name} addr add {NETWORK}.{index + 1}/24 dev eth0")
        _ip(f"-n {name} link set eth0 up")
        _ip(f"-n {name} link set lo up")
        folder = Path("/etc/netns") / name  # `ip netns exec` shows its files in /etc
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "hosts").write_text("127.0.0.1 localhost\n" + names)


def _remove(n: int) -> None:
    with contextlib.suppress(subprocess.CalledProcessError):
        for index in range(n):
            shutil.rmtree(Path("/etc/netns") / f"{NAME}{index}", ignore_errors=True)
            _ip(f"netns del {NAME}{index}")
    with contextlib.suppress(subprocess.CalledProcessError):
        _ip(f"link del {NAME}br")


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True)
