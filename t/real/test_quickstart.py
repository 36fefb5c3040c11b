"""test_quickstart - etc/quickstart from the first start to --stop, twice, in a state directory of its own

With the programs of this build (--build); the long form also builds as a stranger would.
"""
import contextlib
import os
import pathlib
import shutil
import tempfile

from harness import BUILD, FULL, SANITIZER_WORDS, TREE, Failed, main, run

QUICKSTART = TREE / "etc/quickstart"
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # leaks are the other tests' matter


def quickstart(*args, check=True):
    return run(QUICKSTART, *args, check=check, timeout=500, cwd="/", env=ENVIRONMENT)


def processes_of(state):
    """Every process that works below the directory or names it."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
                if str(state) in words or str(state) in os.readlink(entry / "cwd"):
                    found.append(f"{entry.name} {words}")
    return found


@contextlib.contextmanager
def state_directory():
    parent = pathlib.Path(tempfile.mkdtemp(prefix="rc-quick-", dir="/tmp"))
    parent.chmod(0o755)
    try:
        yield parent / "state"
    finally:
        run(QUICKSTART, "--stop", "--state", parent / "state", check=False)
        shutil.rmtree(parent, ignore_errors=True)


def test_start_again_and_stop():
    build = [] if FULL else ["--build", BUILD]
    with state_directory() as state:
        try:
            for again in (False, True):
                done = quickstart("--state", state, *build)
                lines = done.stdout.splitlines()
                assert sum(line.startswith("ok ") for line in lines) >= 20, done.stdout
                assert not any(line.startswith("WRONG") for line in lines), done.stdout
                assert "all as expected" in lines[-1] and ("ended what ran here before" in lines) == again, done.stdout
                assert any("unlisted" in line for line in lines), "explain tells the rule"
                assert processes_of(state)
            log = (state / "policyd.log").read_text(errors="replace")
            assert not any(word in log for word in SANITIZER_WORDS), log
        except Failed as failed:
            for log in (state / "policyd.log", state / "gateway/mail.log"):
                if log.exists():
                    print(log.read_text(errors="replace")[-3000:])
            raise AssertionError(failed.out + failed.err) from None
        assert quickstart("--stop", "--state", state).stdout == "stopped\n"
        assert processes_of(state) == []
        assert quickstart("--stop", "--state", state).stdout == f"nothing runs below {state}\n"


def test_what_it_refuses():
    with state_directory() as state:
        state.mkdir()
        (state / "precious").write_text("mine")
        done = quickstart("--state", state, "--build", BUILD, check=69)
        assert "not mine" in done.stderr and (state / "precious").read_text() == "mine"
        assert "longer than" in quickstart("--state", f"{state}/{'x' * 80}", "--build", BUILD, check=69).stderr
        assert "build first" in quickstart("--state", f"{state}2", "--build", "/nonexistent", check=69).stderr
        assert "no option" in quickstart("--strat", check=64).stderr
        assert quickstart("--help").stdout.startswith("usage: etc/quickstart")


if __name__ == "__main__":
    main()
