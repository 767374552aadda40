// Elements, made of text alone: nothing that a message says becomes markup.
export const $ = (id) => document.getElementById(id);

// make("a", { href: "/", class: "x" }, "text", element …)
export const make = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
};

export const badge = (text, kind) => make("span", { class: `badge ${kind || ""}`.trim() }, text);
export const code = (text) => make("code", {}, text);
export const note = (text, kind) => make("p", { class: `said ${kind || ""}`.trim() }, text);

// Puts these in the place of what is there, unless they are the same. The focus stays where it was.
export const replace = (parent, ...children) => {
  const fresh = parent.cloneNode(false);
  fresh.append(...children);
  if (fresh.isEqualNode(parent)) return;
  const focused = parent.contains(document.activeElement) ? document.activeElement : undefined;
  parent.replaceChildren(...fresh.childNodes);
  const isSame = (element) => element.id === focused.id && element.href === focused.href;
  if (focused) [...parent.querySelectorAll(focused.tagName)].find(isSame)?.focus({ preventScroll: true });
};

// A row of a table whose cells name their columns: on a phone each row is a card. The roles stay
// what they are when the table is no longer laid out as one.
export const row = (cells, attributes = {}) =>
  make(
    "tr",
    { role: "row", ...attributes },
    ...cells.map(([label, ...content]) => make("td", { role: "cell", "data-label": label }, ...content)),
  );

export const table = (label, columns, rows) => {
  const heads = columns.map((column) => make("th", { role: "columnheader", scope: "col" }, column));
  return make(
    "table",
    { role: "table", "aria-label": label },
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...heads)),
    make("tbody", { role: "rowgroup" }, ...rows),
  );
};

// Names and what they say, in pairs; a pair without a value is left out.
export const list = (pairs) => {
  const dl = make("dl", { class: "pairs" });
  for (const [name, value] of pairs) {
    if (value === undefined || value === null || value === "") continue;
    dl.append(make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  }
  return dl;
};

// Buttons of which one is chosen, as ARIA knows tabs: [{ name, panel, shown }].
export const tabs = (label, entries) => {
  const bar = make("div", { role: "tablist", class: "tabs", "aria-label": label });
  const buttons = entries.map(({ name, panel }) => {
    const id = `tab-${panel.id}`;
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", id);
    return make("button", { type: "button", role: "tab", id, "aria-controls": panel.id }, name);
  });
  const choose = (chosen) => {
    entries.forEach(({ panel, shown }, at) => {
      buttons[at].setAttribute("aria-selected", String(at === chosen));
      buttons[at].tabIndex = at === chosen ? 0 : -1;
      panel.hidden = at !== chosen;
      if (at === chosen && shown) shown();
    });
  };
  buttons.forEach((button, at) => button.addEventListener("click", () => choose(at)));
  bar.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = buttons.indexOf(document.activeElement);
    if (!by || at < 0) return;
    const next = (at + by + buttons.length) % buttons.length;
    choose(next);
    buttons[next].focus();
  });
  bar.append(...buttons);
  choose(0);
  return { bar, choose };
};
