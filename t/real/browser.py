"""browser - a real Chromium, driven through WebDriver: what a person sees and does

    with Browser() as b:
        b.go("http://…"); b.type("login", "alice"); b.press("Sign in"); assert "Overview" in b.text()

Headless, with a profile of its own, stopped by its process id.
"""
import base64
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

from harness import Late, die_with_parent, eventually, free_port

ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
             "--disable-quic", "--hide-scrollbars"]
DESK, PHONE = (1280, 900), (390, 844)
KEY = "element-6066-11e4-a52e-4f735466cecf"  # W3C WebDriver, section 12.1


class Browser:
    def __init__(self, width=DESK[0], height=DESK[1], phone=False, dark=False, script=True):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="rc-browser-", dir="/tmp"))
        self.port = free_port()
        self.process = subprocess.Popen(["/usr/bin/chromedriver", f"--port={self.port}", "--silent"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=die_with_parent)
        self.session = ""
        self.size, self.phone, self.dark, self.script = PHONE if phone else (width, height), phone, dark, script

    def __enter__(self):
        try:
            eventually(lambda: self._call("GET", "/status")["ready"], 20, "chromedriver")
            made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": {
                "binary": "/usr/bin/chromium", "args": [*ARGUMENTS, f"--user-data-dir={self.dir}/profile"]}}}})
            self.session = "/session/" + made["sessionId"]
            self._look_like()
            self.cdp("Emulation.setScriptExecutionDisabled", value=not self.script)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(Exception):
            self._call("DELETE", self.session)
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if os.environ.get("ROLLCALL_KEEP") != "1":
            shutil.rmtree(self.dir, ignore_errors=True)

    def _call(self, method, path, body=None):
        data = json.dumps(body if body is not None else {}).encode() if method == "POST" else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method,
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"].splitlines()[0]) from None

    def call(self, method, path, body=None):
        return self._call(method, self.session + path, body)

    def cdp(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _look_like(self):
        self.cdp("Emulation.setDeviceMetricsOverride", width=self.size[0], height=self.size[1], deviceScaleFactor=1,
                 mobile=self.phone)
        self.cdp("Emulation.setEmulatedMedia",
                 features=[{"name": "prefers-color-scheme", "value": "dark" if self.dark else "light"},
                           {"name": "prefers-reduced-motion", "value": "reduce"}])

    def emulate(self, phone, dark):
        """The same page on another screen."""
        self.size, self.phone, self.dark = PHONE if phone else DESK, phone, dark
        self._look_like()

    # ---- what a person does

    def go(self, url):
        self.call("POST", "/url", {"url": url})

    @property
    def url(self):
        return self.call("GET", "/url")

    def find(self, how, what):
        return self.call("POST", "/element", {"using": how, "value": what})[KEY]

    def css(self, selector):
        return self.find("css selector", selector)

    def has(self, selector):
        return bool(self.call("POST", "/elements", {"using": "css selector", "value": selector}))

    def all(self, selector):
        found = self.call("POST", "/elements", {"using": "css selector", "value": selector})
        return [self.call("GET", f"/element/{e[KEY]}/text") for e in found]

    def text(self, selector="body"):
        return self.call("GET", f"/element/{self.css(selector)}/text")

    def value(self, field):
        return self.call("GET", f"/element/{self.css('#' + field)}/property/value")

    def type(self, field, text, clear=True):
        """Into the field of that id."""
        element = self.css("#" + field)
        if clear and self.call("GET", f"/element/{element}/property/type") != "file":
            self.call("POST", f"/element/{element}/clear")
        self.call("POST", f"/element/{element}/value", {"text": str(text)})

    def click(self, selector):
        self.call("POST", f"/element/{self.css(selector)}/click")

    def _leaves(self, element):
        """Clicks, and waits for the page that comes."""
        before = self.css("html")
        self.call("POST", f"/element/{element}/click")

        def is_another():
            with contextlib.suppress(AssertionError):
                return self.css("html") != before and self.run("return document.readyState") == "complete"
        eventually(is_another, 20, f"another page than {self.url}", every=0.05)

    def follow(self, selector):
        self._leaves(self.css(selector))

    def press(self, words):
        """The button or link that says so; it leads to another page."""
        quoted = '"' + words + '"'
        path = f"//button[normalize-space()={quoted}]|//a[normalize-space()={quoted}]"
        self._leaves(self.find("xpath", path))

    def choose(self, field, option):
        path = f"//select[@id='{field}']/option[normalize-space()=\"{option}\"]"
        self.call("POST", f"/element/{self.find('xpath', path)}/click")

    def waits_for(self, words, deadline=20):
        try:
            eventually(lambda: words in self.text(), deadline, words, every=0.1)
        except Late:
            raise AssertionError(f"{words!r} does not appear at {self.url}:\n{self.text()}") from None

    def in_frame(self, selector, fn):
        """Does something within that frame."""
        self.call("POST", "/frame", {"id": {KEY: self.css(selector)}})
        try:
            return fn()
        finally:
            self.call("POST", "/frame", {"id": None})

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def shot(self, path):
        """The whole page as it looks."""
        size = self.cdp("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": self.size[0], "height": max(size["height"], self.size[1]), "scale": 1}
        picture = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        pathlib.Path(path).write_bytes(base64.b64decode(picture["data"]))
