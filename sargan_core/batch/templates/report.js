"use strict";
(() => {
  const CHUNK = 60;
  const ROOM = 1.35; // how much more than the faces the picture of a face shows
  const rows = JSON.parse(document.getElementById("rows").textContent);
  const names = { done: "done", no_face: "no face", unreadable: "unreadable", failed: "failed" };
  const cards = document.getElementById("cards");
  const more = document.getElementById("more");
  const controls = {};
  for (const id of ["outcome", "expression", "order", "words", "view", "size", "warned", "count"])
    controls[id] = document.getElementById(id);
  let chosen = [];

  // Text enters the page as text only, never as markup.
  const make = (tag, style, text) => {
    const node = document.createElement(tag);
    if (style) node.className = style;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const nothing = (text) => make("div", "nothing", text);

  // Show the square around the faces: sizes in percent of the frame, so that they follow it.
  const zoom = (image, box, scale) => {
    const width = image.naturalWidth, height = image.naturalHeight;
    if (!box || !width || controls.view.value === "whole") return;
    const side = Math.min(Math.max(box[2], box[3]) * scale * ROOM, Math.max(width, height));
    const corner = (start, length, end) =>
      end <= side ? (end - side) / 2 : Math.min(Math.max((start + length / 2) * scale - side / 2, 0), end - side);
    const left = corner(box[0], box[2], width), top = corner(box[1], box[3], height);
    image.classList.add("zoomed");
    image.style.width = (100 * width) / side + "%";
    image.style.left = (-100 * left) / side + "%";
    image.style.top = (-100 * top) / side + "%";
  };

  const picture = (photo, box, title) => {
    if (!photo) return nothing(title + " cannot be shown from here");
    if (!photo.show) return nothing(title + ": browsers cannot show this format; open the file itself");
    const image = make("img");
    image.loading = "lazy";
    image.decoding = "async";
    image.alt = title;
    image.draggable = false;
    image.addEventListener("load", () => zoom(image, box, photo.scale));
    image.addEventListener("error", () => image.replaceWith(nothing(title + ": the file is not there, or cannot be shown")));
    image.src = photo.show;
    return image;
  };

  const frame = (row) => {
    const node = make("div", "frame");
    const before = make("div", "before");
    before.append(picture(row.before, row.box, "before"));
    node.append(before);
    if (!row.after) return node;
    const after = make("div", "after");
    after.append(picture(row.after, row.box, "after"));
    node.append(after, make("span", "tag left", "before"), make("span", "tag right", "after"));
    if (controls.view.value === "pair") {
      node.classList.add("pair");
      return node;
    }
    const slider = make("input");
    slider.type = "range";
    slider.value = 50;
    slider.setAttribute("aria-label", "before and after of " + row.name);
    const cut = (percent) => node.style.setProperty("--cut", percent + "%");
    slider.addEventListener("input", () => cut(slider.value));
    slider.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "mouse") return;
      const place = slider.getBoundingClientRect();
      slider.value = (100 * (event.clientX - place.left)) / place.width;
      cut(slider.value);
    });
    cut(50);
    node.append(make("span", "edge"), slider);
    return node;
  };

  const link = (photo, text) => {
    const node = make("a", "", text);
    node.href = photo.link;
    node.target = "_blank";
    node.rel = "noopener";
    return node;
  };

  const percent = (value) => Math.round(100 * value) + " %";

  const card = (row) => {
    const node = make("article", row.outcome);
    const text = make("div", "text");
    const name = make("p", "name");
    name.append(row.after ? link(row.after, row.name) : row.name);
    const what = make("p", "soft", row.expression + (row.strength === 1 ? "" : " × " + row.strength) + " · ");
    what.append(make("span", "outcome", names[row.outcome] || row.outcome));
    if (row.before) what.append(" · ", link(row.before, "before"));
    what.title = row.input;
    text.append(name, what);
    const figures = [];
    if (row.seam !== null) figures.push("seam " + row.seam.toFixed(2));
    if (row.change !== null) figures.push("change " + row.change.toFixed(3));
    if (row.seconds) figures.push(row.seconds.toFixed(2) + " s");
    if (figures.length) text.append(make("p", "soft", figures.join(" · ")));
    if (row.reached !== null) {
      let line = row.expression + " seen at " + percent(row.reached);
      if (row.was !== null) line += " (before " + percent(row.was) + ")";
      if (row.sees && row.sees !== row.expression) line += ", most likely " + row.sees;
      if (row.identity !== null) line += " · same person " + row.identity.toFixed(2);
      text.append(make("p", "soft", line));
    }
    if (row.message) text.append(make("p", "outcome", row.message));
    for (const warning of row.warnings) text.append(make("p", "warning", "⚠ " + warning));
    node.append(frame(row), text);
    return node;
  };

  const grow = () => {
    const start = cards.childElementCount;
    cards.append(...chosen.slice(start, start + CHUNK).map(card));
    more.hidden = cards.childElementCount >= chosen.length;
    // Observing anew reports again, so that a tall window fills up.
    watcher.disconnect();
    if (!more.hidden) watcher.observe(more);
  };
  const watcher = new IntersectionObserver((seen) => seen.some((entry) => entry.isIntersecting) && grow(), { rootMargin: "1200px" });

  const ranks = Object.keys(names);
  const key = (row, name) => (name === "outcome" ? -ranks.indexOf(row.outcome) : row[name]);
  const compare = (order) => {
    const down = order.startsWith("-"), name = down ? order.slice(1) : order;
    return (one, other) => {
      const a = key(one, name), b = key(other, name);
      if (a === null || b === null) return (a === null) - (b === null); // without a figure: last
      const way = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
      return down ? -way : way;
    };
  };

  const refresh = () => {
    const words = controls.words.value.trim().toLowerCase();
    const expression = controls.expression ? controls.expression.value : "";
    chosen = rows.filter((row) =>
      (!controls.outcome.value || row.outcome === controls.outcome.value) &&
      (!expression || row.expression === expression) &&
      (!controls.warned.checked || row.warnings.length) &&
      (!words || [row.name, row.input, row.message, ...row.warnings].join("\n").toLowerCase().includes(words)));
    if (controls.order.value) chosen.sort(compare(controls.order.value));
    controls.count.textContent = chosen.length + " of " + rows.length + " shown";
    cards.replaceChildren();
    grow();
  };

  document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["outcome", "expression", "order", "view", "warned"])
    if (controls[id]) controls[id].addEventListener("change", refresh);
  controls.words.addEventListener("input", refresh);
  controls.size.addEventListener("change", () => document.documentElement.style.setProperty("--card", controls.size.value));
  refresh();
})();
