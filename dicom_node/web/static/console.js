"use strict";
// The viewer of a series: the same slice of source, synthetic series, change and uncertainty, side by side.
for (const viewer of document.querySelectorAll(".viewer")) {
  const series = viewer.dataset.series;
  const plane = viewer.querySelector("[name=plane]");
  const presets = viewer.querySelector("[name=window]");
  const slider = viewer.querySelector("[name=index]");
  const shown = viewer.querySelector("output");
  const said = viewer.querySelector(".said");
  const images = viewer.querySelectorAll("img");
  let slices = null;

  function draw() {
    const [center, width] = presets.value.split("/");
    shown.textContent = `${Number(slider.value) + 1} of ${slices[plane.value]}`;
    for (const image of images) {
      const of = image.dataset.of;
      const window = { change: [0, 200], uncertainty: [50, 100] }[of] || [center, width];
      const asked = new URLSearchParams({ of, plane: plane.value, index: slider.value, center: window[0], width: window[1] });
      image.src = `/api/series/${image.dataset.series || series}/image.png?${asked}`;
    }
  }

  function turn() {
    slider.max = slices[plane.value] - 1;
    slider.value = Math.floor(slices[plane.value] / 2);
    draw();
  }

  async function begin() {
    const answer = await fetch(`/api/series/${series}/volume`);
    const known = await answer.json();
    if (!answer.ok) {
      said.textContent = `${known.problem.sentence} ${known.problem.remedy}`;
      viewer.querySelector(".panes").hidden = true;
      return;
    }
    slices = known.slices;
    said.textContent = "";
    turn();
  }

  plane.addEventListener("change", turn);
  presets.addEventListener("change", () => slices && draw());
  slider.addEventListener("input", () => slices && draw());
  viewer.querySelector(".panes").addEventListener("wheel", (event) => {
    if (slices === null) return;
    event.preventDefault();
    slider.value = Number(slider.value) + Math.sign(event.deltaY);
    draw();
  }, { passive: false });
  begin().catch(() => { said.textContent = "The node does not answer."; });
}

// A package is sent as it is, not as a part of a form: the node writes it to disk while it comes.
for (const form of document.querySelectorAll("form[data-upload]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = form.querySelector("output");
    const button = form.querySelector("button");
    button.disabled = true;
    said.textContent = "Sending.";
    try {
      const body = form.querySelector("input[type=file]").files[0];
      const answer = await fetch(form.dataset.upload, { method: "POST", body, headers: { "content-type": "application/zip" } });
      if (answer.ok) return location.reload();
      const { problem } = await answer.json();
      said.textContent = `${problem.sentence} ${problem.remedy}`;
    } catch {
      said.textContent = "The node does not answer.";
    }
    button.disabled = false;
  });
}

// The first page renews itself, while somebody sees it, and says so when it cannot.
const stale = document.getElementById("stale");
if (stale !== null) {
  let renewed = new Date();
  document.addEventListener("htmx:beforeRequest", (event) => { if (document.hidden) event.preventDefault(); });
  document.addEventListener("htmx:afterRequest", (event) => {
    stale.hidden = event.detail.successful;
    if (event.detail.successful) renewed = new Date();
    else stale.textContent = `The node does not answer. What stands here is as it was at ${renewed.toISOString().slice(0, 19).replace("T", " ")} UTC.`;
  });
}
