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
import fcntl
import heapq
import os
import pathlib
import random
import re
import select
import struct
import threading
import time

from harness import run

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
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
        self.connect()
        self.ip("addr", "add", f"{self.address}/24", "dev", "eth0")
        self.ip("link", "set", "eth0", "up")
        net.hub.ip("link", "set", self.cable, "master", "bridge")
        self.plug()

    def connect(self):
        self.ip("link", "add", "eth0", "type", "veth", "peer", "name", self.cable, "netns", self.net.hub.name)

    def unplug(self):
        """Nothing comes or goes any more; nobody is told, as when a cable is pulled or the power fails."""
        self.net.hub.ip("link", "set", self.cable, "down")

    def plug(self):
        self.net.hub.ip("link", "set", self.cable, "up")

    def close(self):
        pass


def tap(name):
    """A network card of the namespace the thread is in, whose cable ends in a descriptor."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return descriptor


class LongHost(Host):
    """A host at the end of a long, bad line: each frame is delayed and may be lost, as `weather` says, both ways. The
    frames are carried by a thread, since not every kernel has netem."""

    def connect(self):
        with self.inside():
            here = tap("eth0")
        with self.net.hub.inside():
            there = tap(self.cable)
        self.ends, self.done = (here, there), threading.Event()
        self.rng, self.carried, self.lost = random.Random(self.address), 0, 0
        self.weather()
        self.carrier = threading.Thread(target=self._carry, daemon=True)
        self.carrier.start()

    def weather(self, delay=0.0, jitter=0.0, loss=0.0):
        """Seconds, seconds more at most, and a share of the frames."""
        self.delay, self.jitter, self.loss = delay, jitter, loss

    def _carry(self):
        here, there = self.ends
        other, under_way, serial, last = {here: there, there: here}, [], 0, {here: 0.0, there: 0.0}
        while not self.done.is_set():
            wait = max(0.0, min(0.2, under_way[0][0] - time.monotonic())) if under_way else 0.2
            for end in select.select(self.ends, (), (), wait)[0]:
                with contextlib.suppress(OSError):  # its card is down
                    frame = os.read(end, 65536)
                    if self.rng.random() < self.loss:
                        self.lost += 1
                        continue
                    serial, self.carried = serial + 1, self.carried + 1
                    due = time.monotonic() + self.delay + self.rng.uniform(0, self.jitter)
                    last[end] = max(due, last[end])  # in order, as on a line
                    heapq.heappush(under_way, (last[end], serial, other[end], frame))
            while under_way and under_way[0][0] <= time.monotonic():
                _, _, end, frame = heapq.heappop(under_way)
                with contextlib.suppress(OSError):
                    os.write(end, frame)

    def close(self):
        self.done.set()
        self.carrier.join(5)
        for end in self.ends:
            os.close(end)


class Network:
    subnet = "10.77.0"

    def __init__(self, kind=Host):
        sweep()
        self.kind, self.hosts = kind, []
        self.hub = Namespace("hub")
        self.hub.ip("link", "add", "bridge", "type", "bridge")
        self.hub.ip("addr", "add", f"{self.subnet}.254/24", "dev", "bridge")
        self.hub.ip("link", "set", "bridge", "up")

    def host(self, name):
        made = self.kind(self, name, len(self.hosts) + 1)
        self.hosts.append(made)
        return made

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for host in self.hosts:
            host.close()
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
