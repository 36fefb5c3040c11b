"""network - hosts of a test's own: network namespaces on one bridge, each with an address, whose cable can be pulled

    with Network() as net:
        db, gw = net.host("db1"), net.host("gw1")
        with db.inside():
            start_something_that_listens_on(db.address)
        gw.unplug()

A thread inside a host opens its sockets there, and what it starts lives there. The machine's own network is not
touched: the bridge has a namespace of its own ("hub"), in which the test stands when it asks the hosts something.
Namespaces carry the process id in their names; those of a test that was killed are taken away by the next one.
"""
import contextlib
import ctypes
import os
import pathlib
import re

from harness import run

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
PREFIX = "rc"
NAMED = pathlib.Path("/run/netns")


def enter(descriptor):
    if LIBC.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Namespace:
    def __init__(self, name):
        self.name = f"{PREFIX}{os.getpid()}-{name}"
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *args):
        return run("ip", "-n", self.name, *args)

    @contextlib.contextmanager
    def inside(self):
        """The calling thread, and what it starts meanwhile, is on this host."""
        back, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(NAMED / self.name, os.O_RDONLY)
        try:
            enter(there)
            try:
                yield self
            finally:
                enter(back)
        finally:
            os.close(back)
            os.close(there)


class Host(Namespace):
    def __init__(self, net, name, number):
        super().__init__(name)
        self.net, self.cable, self.address = net, f"to-{name}", f"{net.subnet}.{number}"
        self.ip("link", "add", "eth0", "type", "veth", "peer", "name", self.cable, "netns", net.hub.name)
        self.ip("addr", "add", f"{self.address}/24", "dev", "eth0")
        self.ip("link", "set", "eth0", "up")
        net.hub.ip("link", "set", self.cable, "master", "bridge")
        self.plug()

    def unplug(self):
        """Nothing comes or goes any more; nobody is told, as when a cable is pulled or the power fails."""
        self.net.hub.ip("link", "set", self.cable, "down")

    def plug(self):
        self.net.hub.ip("link", "set", self.cable, "up")


class Network:
    subnet = "10.77.0"

    def __init__(self):
        sweep()
        self.hosts = []
        self.hub = Namespace("hub")
        self.hub.ip("link", "add", "bridge", "type", "bridge")
        self.hub.ip("addr", "add", f"{self.subnet}.254/24", "dev", "bridge")
        self.hub.ip("link", "set", "bridge", "up")

    def host(self, name):
        made = Host(self, name, len(self.hosts) + 1)
        self.hosts.append(made)
        return made

    def __enter__(self):
        return self

    def __exit__(self, *_):
        remove(f"{PREFIX}{os.getpid()}-")


def remove(prefix):
    """With a namespace go its ends of cables; what still runs there lives on without a name for its network."""
    for path in NAMED.glob(prefix + "*") if NAMED.exists() else ():
        run("ip", "netns", "del", path.name, check=False)


def sweep():
    """What tests left behind that could not tidy up."""
    for path in NAMED.glob(PREFIX + "*") if NAMED.exists() else ():
        owner = re.match(PREFIX + r"(\d+)-", path.name)
        if owner and not os.path.exists(f"/proc/{owner[1]}"):
            run("ip", "netns", "del", path.name, check=False)
