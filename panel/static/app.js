/* What is quicker with a script; everything works without. */
"use strict";

document.querySelectorAll("select[data-go]").forEach(select => {
  const button = select.form.querySelector("button");
  if (button) button.hidden = true;
  select.addEventListener("change", () => select.form.requestSubmit());
});

document.querySelector(".complaints")?.focus();

/* On a telephone the tabs are wider than the window: the one that is open is in it. */
const tabs = document.querySelector(".tabs"), here = tabs?.querySelector("[aria-current]");
if (here) tabs.scrollLeft = here.offsetLeft - (tabs.clientWidth - here.offsetWidth) / 2;

/* A text that may come from a file. */
document.querySelectorAll("textarea[data-file]").forEach(area => {
  const pick = document.createElement("input");
  pick.type = "file";
  pick.setAttribute("aria-label", area.dataset.file);
  pick.addEventListener("change", async () => { area.value = (await pick.files[0]?.slice(0, 131072).text()) ?? ""; });
  area.after(pick);
});

/* How strong a new password is: its length in characters that are not like the one before, by how many there are of
   their kinds. An estimate; the server knows which are tried first. */
const strength = document.querySelector("[data-strength]");
if (strength) {
  const words = strength.dataset.strength.split("|"), field = document.querySelector("#new_password");
  const meter = Object.assign(document.createElement("meter"), { min: 0, max: 4, low: 2, high: 3, optimum: 4 });
  const said = document.createElement("span");
  meter.setAttribute("aria-hidden", "true");
  strength.append(meter, " ", said);
  field.addEventListener("input", () => {
    const signs = [...field.value], fresh = signs.filter((sign, i) => sign !== signs[i - 1]).length;
    const kinds = [[/[a-z]/, 26], [/[A-Z]/, 26], [/[0-9]/, 10], [/[^a-zA-Z0-9]/, 30]];
    const of = kinds.reduce((sum, [kind, many]) => sum + (kind.test(field.value) ? many : 0), 0);
    const bits = Math.min(fresh, 2 * new Set(signs).size) * Math.log2(of || 1);
    const step = signs.length < 10 ? 0 : bits < 50 ? 1 : bits < 65 ? 2 : bits < 85 ? 3 : 4;
    strength.hidden = !signs.length;
    meter.value = step;
    said.textContent = words[step];
  });
}

/* One box for all of a list. */
document.querySelectorAll("input[data-all]").forEach(all => {
  const boxes = () => [...all.closest("table").querySelectorAll("tbody input[type=checkbox]")];
  all.hidden = false;
  all.addEventListener("change", () => boxes().forEach(box => { box.checked = all.checked; }));
  all.closest("table").addEventListener("change", () => { all.checked = boxes().every(box => box.checked); });
});

/* What is being worked on is shown again, until it is done: then the page comes as a whole. A page that nobody looks
   at rests, and one that was left open ends its session as any other. */
function again() {
  const shown = document.querySelector("[data-again]"), most = 15 * 60 * 1000;
  if (!shown || performance.now() > most) return;
  setTimeout(async () => {
    if (document.hidden) return again();
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      const type = answer.headers.get("Content-Type") || "";
      const page = type.startsWith("text/html") ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
      const then = page?.querySelector("[data-again]");
      if (!answer.ok || then) {
        if (then) shown.replaceChildren(...then.childNodes);
        again();
      } else if (page) location.reload();
      else {
        location.assign(location.href);
        setTimeout(() => location.assign(document.querySelector(".crumbs a").href), 1000);
      }
    } catch { again(); }
  }, 1000 * (Number(shown.dataset.again) || 1));
}
again();

document.addEventListener("click", event => {
  document.querySelectorAll("details[open] > summary").forEach(summary => {
    const details = summary.parentElement;
    if (details.closest("td") && !details.contains(event.target)) details.open = false;
  });
});
