/* What is quicker with a script; everything works without. */
"use strict";

document.querySelectorAll("select[data-go]").forEach(select => {
  const button = select.form.querySelector("button");
  if (button) button.hidden = true;
  select.addEventListener("change", () => select.form.requestSubmit());
});

document.querySelector(".complaints")?.focus();

document.addEventListener("click", event => {
  document.querySelectorAll("details[open] > summary").forEach(summary => {
    const details = summary.parentElement;
    if (details.closest("td") && !details.contains(event.target)) details.open = false;
  });
});
