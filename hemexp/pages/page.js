// Sorts and searches the tables of a page, and mends links where a page is shown alone.
"use strict";

// What a cell is sorted by: its percentage, its first number, its text; null where it is empty.
function sortKey(cell) {
  const text = cell.textContent.trim().replace(/^[−-](?=\d)/, "-").replace(/^\+/, "");
  if (text === "" || text === "–") return null;
  const share = text.match(/\((\d+) %\)$/);
  const number = parseFloat(share ? share[1] : text);
  return Number.isFinite(number) ? number : text;
}

// What is missing stays at the end, whichever way; numbers come before texts.
function compareKeys(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return sign * a.localeCompare(b, "en", { numeric: true });
}

function sortTable(table, column, sign) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => [sortKey(row.cells[column]), row]);
  rows.sort((a, b) => compareKeys(a[0], b[0], sign));
  body.append(...rows.map(([, row]) => row));
}

function addButton(table, head, column) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "↕";
  button.setAttribute("aria-label", `Sort by ${head.textContent.trim()}`);
  button.addEventListener("click", () => {
    const rising = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.querySelectorAll("th[aria-sort]")) {
      other.removeAttribute("aria-sort");
      other.querySelector("button").textContent = "↕";
    }
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    button.textContent = rising ? "↑" : "↓";
    sortTable(table, column, rising ? 1 : -1);
  });
  head.append(" ", button);
}

function addSearch(search) {
  const rows = Array.from(document.querySelectorAll("tbody tr"));
  const [input, count] = [search.querySelector("input"), search.querySelector("output")];
  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} shown`;
  };
  input.addEventListener("input", show);
  search.hidden = false;
  show();
}

// Scores of different kinds have no order.
for (const table of document.querySelectorAll("table")) {
  if (table.tBodies[0].rows.length < 2 || table.closest(".scores")) continue;
  Array.from(table.tHead.rows[0].cells).forEach((head, n) => addButton(table, head, n));
}
document.querySelectorAll(".search").forEach(addSearch);

// Inside another page, such as that of `snakemake --report`, no page lies beside this one.
if (window.self !== window.top) {
  for (const link of document.querySelectorAll("a:not([href^='#'])")) link.removeAttribute("href");
}
