// The gate lab's truth table: each row as it should be, and as the network has it.
function layTable() {
  // anew for another number of inputs; otherwise `drawTable` writes into it
  const names = letters();
  const body = one("rows").querySelector("tbody");
  const may = inputs() <= MOST_INPUTS;
  const head = [
    names.join(" "),
    say("output_head", { gate: state.label }),
    say("network_head"),
    say("check_head"),
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
          "aria-label": say("row", { row: digits }),
        },
        digits,
      );
      const bit = node("button", {
        type: "button",
        class: "bit",
        "data-bit": index,
        ...(may ? {} : { disabled: "" }),
      });
      const share = node("span", { class: "share" });
      share.append(node("span", { "data-share": "" }), node("i", { "aria-hidden": "true" }));
      for (const content of [pick, bit, share, ""]) {
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
      const share = probability(state.net, row(index));
      const good = share > 0.5 === target;
      right += good;
      line.classList.toggle("present", index === present);
      const bit = line.querySelector(".bit");
      const bar = line.querySelector("i");
      const check = line.lastChild;
      bit.textContent = +target;
      bit.setAttribute("aria-pressed", target);
      bit.setAttribute("aria-label", say("toggle", { row: row(index).join(""), value: +target }));
      line.querySelector("[data-share]").textContent = share.toFixed(3);
      bar.style.setProperty("--share", `${100 * share}%`);
      bar.style.setProperty("--ink", share > 0.5 ? "var(--one)" : "var(--zero)");
      check.textContent = good ? "✓" : "✗";
      check.className = good ? "" : "wrong";
    });
  one("count").textContent = say("rows_right", { right, rows: state.bits.length });
}
