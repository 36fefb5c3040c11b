#!/usr/bin/env python3
"""ThreadSanitizer: policyd built with it answers under load while everything about it changes.

Catches: a data race between workers, follower, gateway and metrics threads.
"""
import pathlib
import threading
import time

from harness import TREE, Policyd, Rollcall, main, request, run

THREAD_BUILD = TREE / "build-thread"
CONNECTIONS, SECONDS, CHANGES = 20, 4, 25


def build():
    run("cmake", "--preset", "thread", "-S", TREE, timeout=60)
    run("cmake", "--build", THREAD_BUILD, "--target", "rollcall-policyd", timeout=500)


def fill(roll):
    roll.psql("""begin; select roll_begin('test');
        insert into customer (name) values ('c');
        insert into domain (name, customer_id, loaded_at, changed_by)
          select 'd' || i || '.test', 1, now(), roll_changeset() from generate_series(0, 9) i;
        insert into users (customer_id) select 1 from generate_series(1, 10000);
        insert into recipient (domain_id, local_part, user_id, kind, claims, changed_by)
          select 1 + i % 10, 'u' || lpad(i::text, 7, '0'), i + 1, 'primary', '{manual}', roll_changeset()
            from generate_series(0, 9999) i;
        commit""")


def change(roll, step):
    roll.psql(f"""begin; select roll_begin('test');
        update recipient set state = case state when 'active' then 'disabled'::recipient_state else 'active' end,
          changed_by = roll_changeset() where id % 7 = {step} % 7;
        update domain set threshold = {step}, changed_by = roll_changeset() where id = 1 + {step} % 10;
        commit""")


def test_no_race_under_load():
    with Rollcall(poll_interval="50ms") as roll:
        fill(roll)
        with roll.policyd() as daemon:
            roll.answers("u0000000@d0.test", "DUNNO")
            load = threading.Thread(target=ask_for_ever, args=(roll, time.monotonic() + SECONDS))
            load.start()
            for step in range(CHANGES):
                change(roll, step)
                roll.metrics()
                if step % 10 == 5:
                    daemon.reload()
            load.join()
            roll.followed()
            answered = sum(v for k, v in roll.metrics().items() if k.startswith("rollcall_policy_answers_total"))
            print(f"# {answered:.0f} answers, {CHANGES} changes")
            assert answered > 1000


def ask_for_ever(roll, until):
    clients = [roll.daemon.connect() for _ in range(CONNECTIONS)]
    number = 0
    while time.monotonic() < until:
        for client in clients:
            number = (number * 1103515245 + 12345) % 20000
            client.send(request(f"u{number:07d}@d{number % 10}.test"))
        for client in clients:
            client.answer()
    for client in clients:
        client.close()


build()
Policyd.program = THREAD_BUILD / "bin/rollcall-policyd"
main()
