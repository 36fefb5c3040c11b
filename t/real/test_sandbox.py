"""test_sandbox - every program that SECURITY.md says gives up what it does not need has done so, and in every thread

Catches a program whose main lost the call, a thread that was started before it (which would go on with all rights), and
a kernel door that stays open with `sandbox = yes`. What the sandbox forbids is t/unit/sandbox.c's matter.
"""
import pathlib
import re

from harness import BUILD, eventually, main, run
from observed import Observed
from panel import Panel
from quarantine import Quarantine

GIVEN_UP = "system calls and files that are not needed are given up"
JOBS = {
    "rollcall-report": ("rollcall_report", ["spam"], ["send"]),
    "rollcall-ldapsync": ("rollcall_sync", [], ["--requests"]),
    "rollcall-observe": ("rollcall_observe", ["collect"], ["status"]),
}


def threads(pid):
    """Of each thread, whether it may gain rights, and how its system calls are filtered."""
    return {path.parent.name: dict(re.findall(r"^(NoNewPrivs|Seccomp):\s+(\d)", path.read_text(), re.M))
            for path in pathlib.Path(f"/proc/{pid}/task").glob("*/status")}


def confined(program, pid, log):
    eventually(lambda: GIVEN_UP in log.read_text(), 20, f"{program} to give up what it does not need")
    free = {thread: state for thread, state in threads(pid).items() if state != {"NoNewPrivs": "1", "Seccomp": "2"}}
    assert not free, f"threads of {program} outside of the sandbox: {free}"
    print(f"    {program}: {len(threads(pid))} threads")


def test_daemons():
    with Observed() as rc:
        rc.set(log_level="debug")
        policyd = rc.policyd()
        eventually(lambda: rc.ask("nobody@customer.test"), 10)
        confined("rollcall-policyd", policyd.process.pid, policyd.log)
        with Panel(rc, log_level="debug") as panel:
            confined("rollcall-panel", panel.process.pid, panel.log)
        with Quarantine(rc, log_level="debug") as intake:
            confined("rollcall-quarantine", intake.process.pid, intake.log)


def test_jobs():
    with Observed() as rc:
        rc.log.write_text("")
        rc.set(log_level="debug", link_key_file=rc.dir / "link.key", secret_key_file=rc.dir / "secret.key")
        jobs = [(program, role, arguments) for program, (role, *runs) in JOBS.items() for arguments in runs]
        for program, role, arguments in [*jobs, ("rollcall-observe", "rollcall_sync", ["create"])]:
            done = run(BUILD / "bin" / program, "-c", rc.conf, "-o", f"database=host={rc.host} dbname={rc.dbname} user={role}",
                       *arguments, check=False, env=rc.environment(), cwd="/")
            assert GIVEN_UP in done.stderr, f"{program} {arguments} has no sandbox: {done.stderr}"
            done = run(BUILD / "bin" / program, "-c", rc.conf, "-o", f"database=host={rc.host} dbname={rc.dbname} user={role}",
                       "-o", "sandbox=no", *arguments, check=False, env=rc.environment(), cwd="/")
            assert GIVEN_UP not in done.stderr, f"{program} {arguments}: sandbox = no"


if __name__ == "__main__":
    main()
