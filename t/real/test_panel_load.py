"""panel_load: 200 clients that stay connected ask for pages, as two customers in turn, while a third takes in a long list.
Catches a connection to PostgreSQL that still belongs to the one before, an import that keeps everybody waiting or is lost
among them, and connections that are dropped. A test of being right; how fast it is, t/bench measures.
"""
import http.client
import threading

from harness import Rollcall, eventually, main
from panel import Panel
from test_panel import fill, worked_out

CLIENTS, THREADS, LINES = 200, 8, 20000
PAGES = ("/domains", "/quarantine", "/users", "/changes", "/senders")


class Asking(threading.Thread):
    """A share of the clients, each with a connection of its own."""

    def __init__(self, panel, cookies, over):
        super().__init__(daemon=True)
        self.panel, self.cookies, self.over = panel, cookies, over
        self.answers, self.trouble = 0, []

    def run(self):
        connections = [http.client.HTTPConnection("127.0.0.1", self.panel.port, timeout=60) for _ in range(CLIENTS // THREADS)]
        try:
            turn = 0
            while not self.over.is_set() or turn < len(PAGES):
                for i, connection in enumerate(connections):
                    self.ask(connection, *self.cookies[i % 2], PAGES[(turn + i) % len(PAGES)])
                turn += 1
        except Exception as error:
            self.trouble.append(repr(error))
        finally:
            for connection in connections:
                connection.close()

    def ask(self, connection, cookie, own, other, path):
        was = connection.sock
        connection.request("GET", path, headers={"Cookie": f"rollcall={cookie}"})
        answer = connection.getresponse()
        text = answer.read().decode()
        while answer.status == 303:  # to the first domain
            connection.request("GET", answer.headers["Location"], headers={"Cookie": f"rollcall={cookie}"})
            answer = connection.getresponse()
            text = answer.read().decode()
        self.answers += 1
        if answer.status != 200 or own not in text or other in text:
            self.trouble.append((path, answer.status, own in text, other in text))
        if was is not None and connection.sock is not was:
            self.trouble.append((path, "the connection was not kept"))


def test_many_clients_while_a_list_comes_in():
    with Rollcall() as rc, Panel(rc) as panel:
        fill(rc)
        rc.cli("customer", "add", "Third")
        rc.cli("domain", "add", "third.example", "--customer", "Third")
        cookies = []
        for name, customer, other in (("anna", "Clinic", "school.example"), ("sam", "School", "clinic.example")):
            panel.account(name, customer)
            client = panel.client()
            client.sign_in(name)
            cookies.append((client.cookies["rollcall"], customer, other))
        panel.account("thea", "Third")
        thea = panel.client()
        thea.sign_in("thea")
        over = threading.Event()
        asking = [Asking(panel, cookies, over) for _ in range(THREADS)]
        for one in asking:
            one.start()
        try:
            eventually(lambda: sum(one.answers for one in asking) > CLIENTS, 60, "all are connected")
            thea.get("/import")
            lines = "address,name\n" + "".join(f"u{i}@third.example,User {i}\n" for i in range(LINES))
            path = thea.upload("/import", lines.encode(), mode="add", domain="", follow=False).location
            eventually(lambda: 'http-equiv="refresh"' not in thea.get(path).text, 120, "the preview")
            thea.post(path + "/apply", follow=False)
            eventually(lambda: "The list is on the roll" in thea.get(path).text, 120, "the import")
        finally:
            over.set()
            for one in asking:
                one.join(60)
        trouble = [what for one in asking for what in one.trouble]
        assert not trouble, trouble[:5]
        assert not any(one.is_alive() for one in asking) and sum(one.answers for one in asking) >= CLIENTS * len(PAGES)
        assert rc.psql("select count(*) from roll where address like '%@third.example'") == str(LINES)
        assert "u77@third.example" in worked_out(thea, "/explain?address=u77@third.example").text
        print(f"    {sum(one.answers for one in asking)} pages meanwhile")


if __name__ == "__main__":
    main()
