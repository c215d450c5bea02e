// The truth table: the target of each row, and the network's prediction.
function buildTable() {
  // rebuilt for another number of inputs; `drawTable` fills it in
  const names = letters();
  const body = one("rows").querySelector("tbody");
  const trainable = inputs() <= MAX_INPUTS;
  const head = [
    names.join(" "),
    t("output_head", { gate: state.label }),
    t("network_head"),
    t("check_head"),
  ];
  one("rows").querySelector("thead").replaceChildren(node("tr"));
  one("rows")
    .querySelector("tr")
    .append(...head.map((text) => node("th", { scope: "col" }, text)));
  if (body.children.length === state.bits.length) return;
  body.replaceChildren(
    ...[...state.bits].map((_, index) => {
      const line = node("tr");
      const digits = row(index).join("");
      const pick = node(
        "button",
        {
          type: "button",
          class: "pick",
          "data-row": index,
          "aria-label": t("row", { row: digits }),
        },
        digits,
      );
      const bit = node("button", {
        type: "button",
        class: "bit",
        "data-bit": index,
        ...(trainable ? {} : { disabled: "" }),
      });
      const prob = node("span", { class: "prob" });
      prob.append(node("span", { "data-prob": "" }), node("i", { "aria-hidden": "true" }));
      for (const content of [pick, bit, prob, ""]) {
        const cell = node("td");
        cell.append(content);
        line.append(cell);
      }
      return line;
    }),
  );
}
function drawTable() {
  let right = 0;
  const present = parseInt(state.x.map((v) => +(v > 0.5)).join(""), 2);
  one("rows")
    .querySelectorAll("tbody tr")
    .forEach((line, index) => {
      const target = state.bits[index] === "1";
      const prob = probability(state.net, row(index));
      const good = prob > 0.5 === target;
      right += good;
      line.classList.toggle("present", index === present);
      const bit = line.querySelector(".bit");
      const bar = line.querySelector("i");
      const check = line.lastChild;
      bit.textContent = +target;
      bit.setAttribute("aria-pressed", target);
      bit.setAttribute("aria-label", t("toggle", { row: row(index).join(""), value: +target }));
      line.querySelector("[data-prob]").textContent = prob.toFixed(3);
      bar.style.setProperty("--prob", `${100 * prob}%`);
      bar.style.setProperty("--ink", prob > 0.5 ? "var(--one)" : "var(--zero)");
      check.textContent = good ? "✓" : "✗";
      check.className = good ? "" : "wrong";
    });
  one("count").textContent = t("rows_right", { right, rows: state.bits.length });
}
