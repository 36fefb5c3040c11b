"""test_package - the Debian packages: built from a clean tree, each file where it belongs, and in a clean root installed,
upgraded, removed and purged

Then a machine is booted from it, with systemd as its first process, where every unit does its work.
Catches a program, page, unit or job that is in no package or in the wrong one, a build dependency that is missing, modes
that are too wide, a setting of the administrator's that an upgrade overwrites, and what a purge leaves behind. The
clean root is made by debootstrap, from Debian's mirror: by `t/run package` or --full, not in every run, which needs no
network.
"""
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess

import booted_units
from booted import Booted, containers_work
from harness import FULL, NAMED, TREE, Scratch, main, run, shared, shared_servers

WHOLE = FULL or NAMED
PACKAGES = ("rollcall-common", "rollcall-gateway", "rollcall-server")
MIRROR = "http://deb.debian.org/debian"
TIGHT = {"/etc/rollcall": ("root", "rollcall", 0o750), "/var/lib/rollcall": ("rollcall", "rollcall", 0o750),
         "/var/lib/rollcall/replica": ("rollcall", "rollcall", 0o750),
         "/var/spool/rollcall-panel": ("rollcall", "rollcall", 0o700),
         "/etc/rollcall/secret.key": ("root", "rollcall", 0o640)}


class Build(Scratch):
    """The packages, built without optimisation: that is quicker, and other tests have measured the rest."""
    name = "package"

    def __init__(self, called="rollcall", source=TREE):
        super().__init__()
        self.tree, self.source = self.dir / called, self.dir / "source"
        for to in (self.source, self.tree):
            shutil.copytree(source, to, ignore=shutil.ignore_patterns("build*", ".git", "__pycache__"), symlinks=True)
        self.build("noopt")

    def build(self, options):
        with open(self.dir / "build.log", "a") as log:
            subprocess.run(["dpkg-buildpackage", "-b", "-us", "-uc"], cwd=self.tree, stdout=log, stderr=log, check=True,
                           timeout=600, env={**os.environ, "DEB_BUILD_OPTIONS": f"{options} parallel=2 noautodbgsym"})

    def deb(self, package):
        return max(self.dir.glob(f"{package}_*.deb"), key=os.path.getmtime)

    def files(self, package):
        lines = run("dpkg-deb", "--contents", self.deb(package)).stdout.splitlines()
        return {line.split()[5].removeprefix("."): line.split()[0] for line in lines if not line.endswith("/")}


def built():
    if "build" not in shared:
        shared["build"] = shared_servers.enter_context(Build())
    return shared["build"]


def test_contents():
    packages = {package: built().files(package) for package in PACKAGES}
    everything = {path: modes for files in packages.values() for path, modes in files.items()}
    programs = {path for path in everything if re.fullmatch(r"/usr/s?bin/.*", path)}
    for program in programs:
        name = program.rpartition("/")[2]
        assert any(re.fullmatch(rf"/usr/share/man/man./{name}\.[18]\.gz", path) for path in everything), f"no page of {name}"
    for unit in (TREE / "etc/systemd").iterdir():
        text = unit.read_text()
        assert f"/lib/systemd/system/{unit.name}" in everything, unit.name
        for started in re.findall(r"^Exec\w+=(/usr/s?bin/rollcall\S*)", text, re.M):
            assert started in programs, f"{unit.name} starts {started}, which is in no package"
    jobs = "".join((built().tree / "debian" / f"{package}.cron.d").read_text() for package in PACKAGES[1:])
    for line in jobs.splitlines():
        assert line.startswith(("#", "PATH=")) or "[ -d /run/systemd/system ] || " in line, line
    wanted = {command for path in (TREE / "etc/cron.d").iterdir()
              for command in re.findall(r"^\S+ \S+ \S+ \S+ \S+\s+rollcall\s+(.*)$", path.read_text(), re.M)}
    missing = [command for command in wanted if not re.search(rf"\|\| PGUSER=rollcall_[a-z]+ {re.escape(command)}", jobs)]
    assert wanted and not missing, f"{missing} in no package:\n{jobs}"
    for path, modes in everything.items():
        assert modes[8] != "w" and modes[5] != "w" and "s" not in modes, f"{path}: {modes}"
    for command in wanted:  # the guard needs a unit that does the work
        name = "-".join(re.findall(r"[a-z]+", command.split(">")[0].rpartition("/")[2]))
        units = [TREE / f"etc/systemd/{name}.{kind}" for kind in ("timer", "service")]
        assert any(unit.exists() and "[Install]" in unit.read_text() for unit in units), f"{command}: no unit {name}"
    conffiles = run("dpkg-deb", "-I", built().deb("rollcall-common"), "conffiles").stdout.split()
    assert conffiles == ["/etc/rollcall/rollcall.conf"], conffiles
    print(f"    {len(programs)} programs, {len(everything)} files in {len(PACKAGES)} packages")


def test_bills_of_materials():
    """Each package says what its programs link, in the version that is installed, and dpkg-shlibdeps found the same."""
    for package in PACKAGES:
        path = f"./usr/share/doc/{package}/{package}.spdx.json"
        packed = run("dpkg-deb", "--contents", built().deb(package)).stdout
        path += ".gz" if f"{path}.gz" in packed else ""
        pipe = f"dpkg-deb --fsys-tarfile {built().deb(package)} | tar -xO {path}" + (" | gzip -dc" if path.endswith(".gz") else "")
        bill = json.loads(run("bash", "-o", "pipefail", "-c", pipe).stdout)
        libraries = {p["name"]: p for p in bill["packages"] if p["name"] != package}
        depends = run("dpkg-deb", "-f", built().deb(package), "Depends").stdout
        for name, library in libraries.items():
            debian = re.match(r"pkg:deb/debian/([^@]+)@", library["externalRefs"][0]["referenceLocator"])[1]
            assert re.search(rf"\b{re.escape(debian)}\b", depends), f"{package}: {name} is {debian}'s, not in: {depends}"
            installed = run("dpkg-query", "-W", "-f", "${Version}", debian).stdout
            assert library["versionInfo"] == installed and library["licenseDeclared"] != "NOASSERTION", library
        assert bill["creationInfo"]["created"].startswith("20") and len(libraries) > 3
        print(f"    {package}: {len(libraries)} libraries")


def test_the_same_bytes():
    """Built again, elsewhere, at another time: nothing of either is in the packages."""
    if not WHOLE:
        return
    with Build("a-directory-of-another-name", built().source) as again:
        for package in PACKAGES:
            one, other = (build.deb(package).read_bytes() for build in (built(), again))
            assert one == other, f"{package}: {len(one)} and {len(other)} bytes differ: try diffoscope"
    print(f"    {len(PACKAGES)} packages, the same bytes from two directories")


def test_what_it_needs_is_what_is_installed():
    """debian/control and etc/install-deps name the same libraries."""
    control = re.search(r"Build-Depends: (.*?)\n\S", (TREE / "debian/control").read_text(), re.S)[1]
    needed = {re.sub(r"\s*\(.*\)", "", name).strip() for name in control.replace("\n", " ").split(",")}
    listed = set(re.search(r"^build=\((.*?)\)", (TREE / "etc/install-deps").read_text(), re.S | re.M)[1].split())
    assert listed - {"build-essential"} == needed - {"debhelper-compat"}, listed ^ needed


class CleanRoot:
    """A Debian of its own, in which nothing starts."""

    def __init__(self, path, like=None):
        self.path = path
        if like is not None:
            run("cp", "-a", like.path, path)
            return
        run("debootstrap", "--variant=minbase", "bookworm", path, MIRROR, timeout=600)
        (path / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (path / "usr/sbin/policy-rc.d").chmod(0o755)
        (path / "debs").mkdir()
        self("sh", "-c", "echo postfix postfix/main_mailer_type select No configuration | debconf-set-selections; "
             "apt-get update -q")

    def __call__(self, *command, check=True):
        return run("unshare", "--mount", "--pid", "--fork", "--mount-proc=" + str(self.path / "proc"), "chroot", self.path,
                   *command, check=check, timeout=600,
                   env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"})

    def install(self, build, *more):
        debs = [shutil.copy(build.deb(package), self.path / "debs") for package in PACKAGES]
        self("apt-get", "install", "-y", "-q", "--no-install-recommends",
             *(f"/debs/{pathlib.Path(deb).name}" for deb in debs), *more)

    def owner_and_mode(self, path):
        owner, group, mode = self("stat", "-c", "%U %G %a", path).stdout.split()
        return owner, group, int(mode, 8)

    def left(self):
        """Files of Rollcall's that are there."""
        found = self("find", "/etc", "/usr", "/lib/systemd", "/var/lib", "/run", "-iname", "*rollcall*",
                     "-not", "-path", "/var/lib/dpkg/*", "-not", "-path", "/var/lib/systemd/*").stdout.split()
        return [path for path in found if stat.S_ISREG((self.path / path[1:]).lstat().st_mode)]


def clean_root(name):
    if "root" not in shared:
        shared["root"] = CleanRoot(built().dir / "clean")
    return CleanRoot(built().dir / name, shared["root"])


def test_lintian():
    if not WHOLE:
        return
    built().build("noopt")
    told = run("lintian", "--allow-root", "--fail-on", "error", "--no-tag-display-limit",
               *built().dir.glob("*.changes"), check=False, timeout=300)
    print("    " + told.stdout.replace("\n", "\n    "))
    assert told.returncode == 0


def test_install_upgrade_remove_purge():
    if not WHOLE:
        return
    root, build = clean_root("root"), built()
    root.install(build)
    for path, wanted in TIGHT.items():
        assert root.owner_and_mode(path) == wanted, (path, root.owner_and_mode(path))
    assert "rollcall" in root("getent", "passwd", "rollcall").stdout
    root("setpriv", "--reuid=rollcall", "--regid=rollcall", "--clear-groups", "rollcall-policyd", "--check")
    for program in ("rollcall", "rollcall-policyd", "rollcall-observe", "rollcall-ldapsync", "rollcall-quarantine",
                    "rollcall-report", "rollcall-panel"):
        root(program, "--help")
    key = (root.path / "etc/rollcall/secret.key").read_text()
    assert re.fullmatch("[0-9a-f]{64}\n", key) and key != (root.path / "etc/rollcall/link.key").read_text()
    conf = root.path / "etc/rollcall/rollcall.conf"
    conf.write_text(conf.read_text() + "log_level = warning\n")
    (root.path / "var/lib/rollcall/replica/kept").write_text("x")

    changelog = build.tree / "debian/changelog"
    changelog.write_text(re.sub(r"\((.*?)\)", r"(\1+next)", changelog.read_text(), count=1))
    build.build("noopt")
    root.install(build)
    assert "+next" in root("dpkg-query", "-W", "-f", "${Version}", "rollcall-gateway").stdout
    assert "log_level = warning" in conf.read_text(), "the upgrade has overwritten what the administrator wrote"
    assert (root.path / "var/lib/rollcall/replica/kept").exists()
    assert (root.path / "etc/rollcall/secret.key").read_text() == key, "the upgrade has made another key"

    root("apt-get", "remove", "-y", "-q", *PACKAGES)
    assert "log_level = warning" in conf.read_text() and (root.path / "var/lib/rollcall/replica/kept").exists()
    assert not [path for path in root.left() if path.startswith(("/usr/bin", "/usr/sbin", "/lib"))]
    root("apt-get", "purge", "-y", "-q", *PACKAGES)
    assert root.left() == [] and not (root.path / "var/lib/rollcall").exists(), root.left()
    assert (root.path / "etc/rollcall/secret.key").exists(), "the database needs it still"


def test_units_on_a_booted_machine():
    """systemd as the first process: all units enabled as docs/install.md has it, at their work, restarted, hung, failing.
    Needs a machine where root may run containers (namespaces, a cgroup hierarchy that can be written)."""
    if not WHOLE:
        return
    root = clean_root("machine")
    works, why = containers_work(root.path)
    if not works:
        print(f"    NOT TRIED: root may run no containers here: {why}")
        return
    root.install(built(), "systemd-sysv", "dbus", "postgresql-15", "postfix")
    booted_units.configure(root.path)
    with Booted(root.path) as machine:
        units = booted_units.enable(machine)
        booted_units.every_unit_runs(machine, units)
        booted_units.it_answers(machine)
        booted_units.restarts_lose_nobody(machine, 10)
        booted_units.a_daemon_that_hangs_is_started_again(machine)
        booted_units.a_failure_is_mailed(machine)


if __name__ == "__main__":
    main()
