// The page's tools: copy a link, save a view, and open a link when the page or its address changes.
const SHOWN_MS = 8000; // of what went well; a fault stays until something else is done
const busy = (is) => { element.firstElementChild.dataset.busy = is; };

let fading = null;
function message(text, isFault = false) {
  clearTimeout(fading);
  if (text && !isFault) fading = setTimeout(message, SHOWN_MS, "");
  one("message").textContent = text;
  one("message").hidden = !text;
  one("message").classList.toggle("fault", isFault);
}

// Do something that may fail with a sentence, and show that.
async function say(act) {
  busy(true);
  message("");
  try {
    await act();
  } catch (error) {
    message(error instanceof BadLink ? error.message : t("failed"), true);
    if (!(error instanceof BadLink)) console.warn(error);
  }
  busy(false);
}

async function openLink() {
  const fragment = location.hash;
  // what names an element of the page is no link of ours, and no mistake
  if (fragment.length < 2 || document.getElementById(fragment.slice(1))) return;
  await say(async () => restore(await fromFragment(fragment)));
}

async function copyLink() {
  const fragment = await shortest();
  history.replaceState(history.state, "", fragment); // the address bar has it, too
  const address = location.href;
  try {
    await navigator.clipboard.writeText(address);
    message(t("copied", { length: fragment.length }));
  } catch { // without permission, or on a page without HTTPS
    popup("link-box", true);
    one("address").value = address;
    one("address").select();
    message(t("copy_yourself"));
  }
}

function popup(name, open) {
  for (const each of ["link-box", "save-box"]) one(each).hidden = each !== name || !open;
  one("save").setAttribute("aria-expanded", name === "save-box" && open);
}

// The parts of the open tab that are visible, each with a button for each kind of file.
function listViews() {
  const views = Object.entries(props.parts).filter(
    ([, { tab, selector }]) => tab === openTab() && visible(selector),
  );
  one("views").replaceChildren(
    ...views.map(([name, { label }]) => {
      const line = node("li");
      line.append(node("span", {}, label), ...["png", "svg"].map((kind) => saveButton(name, kind)));
      return line;
    }),
  );
  one("no-views").hidden = views.length > 0;
}

function saveButton(name, kind) {
  const { label } = props.parts[name];
  const button = node("button", {
    type: "button",
    class: "button",
    "data-view": name,
    "data-kind": kind,
    "aria-label": t("save_as", { label, kind: kind.toUpperCase() }),
  }, kind.toUpperCase());
  button.addEventListener("click", () =>
    say(async () => {
      await save(visible(props.parts[name].selector), name, kind);
      message(t("saved", { name: `${name}.${kind}` }));
    }),
  );
  return button;
}

one("copy").addEventListener("click", () => say(copyLink));
one("save").addEventListener("click", () => {
  const open = one("save-box").hidden;
  if (open) listViews();
  popup("save-box", open);
});
for (const box of ["link-box", "save-box"])
  one(box).addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    popup(box, false);
    one(box === "save-box" ? "save" : "copy").focus();
  });
element.querySelectorAll("[data-dismiss]").forEach((button) =>
  button.addEventListener("click", () => popup("", false)),
);
window.pageLinks?.abort(); // of an earlier mount
window.pageLinks = new AbortController();
window.addEventListener("hashchange", openLink, { signal: window.pageLinks.signal });
openLink();
