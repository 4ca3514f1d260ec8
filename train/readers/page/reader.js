"use strict";
(async () => {
  const byId = (id) => document.getElementById(id);
  const response = await fetch("study");
  if (!response.ok) {
    byId("told").textContent = "The study cannot be read: is s2ldm-train reader-study serve still running?";
    return;
  }
  const study = await response.json();
  const answers = study.answers, pair = study.design === "pair";
  const sides = pair ? ["Left", "Right"] : ["Image"];
  let at = Math.max(0, study.items.findIndex((item) => !(item.name in answers)));
  let opened = Date.now(), drawing = 0, decoded = new Map();

  function radios(field, name, values) {
    field.append(...values.map((value) => {
      const label = document.createElement("label"), input = document.createElement("input");
      input.type = "radio";
      input.name = name;
      input.value = value;
      input.required = true;
      label.append(input, value);
      return label;
    }));
  }

  const grades = ["1", "2", "3", "4", "5"];
  const asked = pair ? (study.acquired ? "Which one was acquired by a scanner?" : "Which one looks more like an acquired scan?")
    : "Was this acquired by a scanner, or is it synthetic?";
  byId("choice").querySelector("legend").textContent = asked;
  radios(byId("choice"), "choice", study.choices);
  byId("choice").hidden = study.choices.length === 0;
  radios(byId("confidence"), "confidence", grades);
  sides.forEach((side, place) => {
    const field = document.createElement("fieldset"), legend = document.createElement("legend");
    legend.textContent = `${side}: how real? (1 surely synthetic, 5 surely acquired)`;
    field.append(legend);
    radios(field, `realism-${place}`, grades);
    byId("realism").append(field);
  });
  byId("title").textContent = study.title;

  function picture(place, plane) {
    const source = `images/${study.items[at].name}/${place}/${plane}`;
    if (!decoded.has(source)) decoded.set(source, decodePicture(source));
    return decoded.get(source);
  }

  async function draw() {
    const turn = ++drawing, plane = byId("plane").value, sheet = study.items[at].sheets[plane], slider = byId("slice");
    slider.max = sheet.slices - 1;
    const slice = Number(slider.value);
    byId("where").textContent = `${slice + 1} of ${sheet.slices}`;
    const pictures = await Promise.all(sides.map((_, place) => picture(place, plane)));
    if (turn !== drawing) return;  // a later choice is being drawn
    byId("panes").replaceChildren(...pictures.map((found, place) => {
      const figure = document.createElement("figure"), caption = document.createElement("figcaption");
      caption.textContent = pair ? sides[place] : "";
      figure.append(caption, paintSlice(sheet, slice, windowedGrey(found, study.hu, byId("window").value)));
      return figure;
    }));
  }

  function middle() {
    byId("slice").max = 9999;  // the last item's end must not bound this one's middle
    byId("slice").value = Math.floor(study.items[at].sheets[byId("plane").value].slices / 2);
  }

  function tick(name, value) {
    for (const input of document.getElementsByName(name)) input.checked = input.value === String(value);
  }

  function show(place) {
    at = Math.min(study.items.length - 1, Math.max(0, place));
    opened = Date.now();
    decoded = new Map();
    const item = study.items[at], answer = answers[item.name] ?? {realism: []};
    sides.forEach((_, side) => tick(`realism-${side}`, answer.realism[side]));
    tick("choice", answer.choice);
    tick("confidence", answer.confidence);
    byId("findings").value = answer.findings ?? "";
    byId("progress").textContent = `Item ${at + 1} of ${study.items.length}; ${Object.keys(answers).length} answered`;
    byId("back").disabled = at === 0;
    byId("forth").disabled = at === study.items.length - 1;
    const planes = Object.keys(item.sheets), kept = byId("plane").value;
    byId("plane").replaceChildren(...planes.map((plane) => new Option(plane, plane)));
    byId("plane").value = planes.includes(kept) ? kept : planes[0];
    middle();
    return draw();
  }

  byId("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = new FormData(byId("form")), name = study.items[at].name;
    const answer = {
      realism: sides.map((_, place) => Number(given.get(`realism-${place}`))),
      choice: given.get("choice"),
      confidence: Number(given.get("confidence")),
      findings: byId("findings").value,
      seconds: Math.min(86400, (Date.now() - opened) / 1000),
    };
    byId("save").disabled = true;
    const kept = await fetch(`answers/${name}`, {method: "PUT", body: JSON.stringify(answer)}).catch(() => null);
    byId("save").disabled = false;
    if (!kept?.ok) {
      byId("told").textContent = "Not saved: is s2ldm-train reader-study serve still running? Save again.";
      return;
    }
    answers[name] = answer;
    const open = study.items.findIndex((item) => !(item.name in answers));
    await show(open < 0 ? at : open);
    byId("told").textContent = open < 0 ? "Saved. All items are answered: thank you." : "Saved.";
  });
  byId("back").addEventListener("click", () => show(at - 1));
  byId("forth").addEventListener("click", () => show(at + 1));
  byId("plane").addEventListener("input", () => { middle(); draw(); });
  for (const id of ["slice", "window"]) byId(id).addEventListener("input", draw);
  byId("panes").addEventListener("wheel", (event) => {
    event.preventDefault();
    byId("slice").value = Number(byId("slice").value) + Math.sign(event.deltaY);
    draw();
  }, {passive: false});
  document.addEventListener("keydown", (event) => {
    const step = {ArrowUp: -1, ArrowDown: 1}[event.key];
    if (step === undefined || event.target.matches("textarea, select, input")) return;
    event.preventDefault();
    byId("slice").value = Number(byId("slice").value) + step;
    draw();
  });
  await show(at);
})();
