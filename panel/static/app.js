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
