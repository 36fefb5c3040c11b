"""volume - a file system made for one measurement, so that it tells nothing about what others did to the disk before

Where others deleted files lately, new ones cost many times as much for some minutes, and not alike on all sides.
"""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile


@contextlib.contextmanager
def scratch(prefix, gibibytes=4):
    """A directory of a file system of its own where that can be: ext4 with its journal, in an image in TMPDIR."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=os.environ.get("TMPDIR", "/var/tmp")))
    image, mounted = directory.with_suffix(".img"), False
    try:
        with image.open("wb") as file:
            file.truncate(gibibytes << 30)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        mounted = subprocess.run(["mount", "-o", "loop", image, directory], check=False).returncode == 0
        if not mounted:
            print(f"no file system of its own: {directory} is on the disk as others left it")
        directory.chmod(0o755)
        yield directory
    finally:
        if mounted:
            subprocess.run(["umount", directory], check=True)
        image.unlink()
        shutil.rmtree(directory, ignore_errors=True)
