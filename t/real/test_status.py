"""test_status - `rollcall status` about its host: jobs, mails on their way, disks; test_cli.py has gateways and changes

Catches a full disk that nobody is told of, one that is told for each directory on it, a directory of a program that is
elsewhere taken for trouble, a job without its next run.
"""
import datetime

from faults import fill, small_disk
from harness import main, run
from test_cli import sample


def test_status_of_this_host():
    """Jobs with their last and next run, mails on their way, and disks that are full of bytes or of files."""
    with sample() as rc, small_disk(rc.dir / "disk", 8) as filler, small_disk(rc.dir / "files", 8) as _:
        run("mount", "-o", "remount,nr_inodes=100", rc.dir / "files")
        rc.set(replica_directory=rc.dir / "disk/replica", quarantine_directory=rc.dir / "files/quarantine",
               observe_directory=rc.dir / "nowhere", panel_spool_directory=rc.dir / "files")
        (rc.dir / "disk/replica").mkdir(mode=0o777)
        (rc.dir / "files/quarantine").mkdir()
        told = rc.json("status", check=False)
        disks = {disk["disk_of"]: disk for disk in told["disks"]}
        assert set(disks) == {"PostgreSQL", "replica", "quarantine", "panel"}, disks
        data = rc.pg.psql("show data_directory")
        assert disks["PostgreSQL"]["directory"] == data, disks["PostgreSQL"]
        assert disks["replica"]["free_mib"] in (7, 8) and disks["replica"]["free_percent"] > 90
        assert 80 < disks["quarantine"]["free_inodes"] < 100, disks["quarantine"]
        assert not [line for line in told["attention"] if "disk_least" in line["text"]]
        rc.set(disk_least=20)
        about = lambda: [line["text"] for line in rc.json("status", check=False)["attention"]
                         if line["text"].startswith(("replica:", "quarantine:", "panel:"))]
        assert about() == []
        fill(filler)
        for n in range(85):
            (rc.dir / f"files/{n}").touch()
        replica, files = about()  # of the two directories on one disk only the first is told
        assert replica.startswith(f"replica: {rc.dir}/disk/replica: 0 MiB are free, 0 %"), replica
        assert files.startswith(f"quarantine: {rc.dir}/files/quarantine: only ") and "inodes" in files, files
        assert "make room" in rc.run("status", check=1).stdout
        rc.set(disk_least=0)
        assert about() == []

        rc.psql("select job_tell('observe-create', 'here', true, '', '5 minutes');"
                "select job_tell('ldapsync', 'there', false, 'cannot', '1 hour');"
                "insert into outbox (kind, urgent, envelope_from, envelope_to, message_id, state, made_at, body) values "
                "('report', false, '', 'ann@panel.test', 'x@example', 'waiting', now() - interval '1 hour', 'x')")
        told = rc.json("status", check=1)
        jobs = {job["job"]: job for job in told["jobs"]}
        moment = lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        for name, minutes in (("observe-create", 5), ("ldapsync", 60)):
            between = moment(jobs[name]["next_run"]) - moment(jobs[name]["last_run"])
            assert between == datetime.timedelta(minutes=minutes), jobs[name]
        assert jobs["ldapsync"]["why"] == "cannot" and jobs["ldapsync"]["last_fine"] is None
        assert [(mail["kind"], mail["waiting"], mail["given_up"]) for mail in told["outbox"]] == [("report", 1, 0)]
        assert told["outbox"][0]["oldest"] > 3590
        shown = rc.run("status", check=1).stdout
        assert "next_run" in shown and "disks of this host" in shown and "job ldapsync on there: cannot" in shown, shown


if __name__ == "__main__":
    main()
