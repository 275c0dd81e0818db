// Keyboard shortcuts, live rows and short times. The page can be read without this script.
"use strict";

const view = document.body.dataset.view;
const byId = (id) => document.getElementById(id);
const PAUSE_MS = 1500; // between two polls for new rows
const CHARTS_EVERY = 6; // polls
const MOST_ROWS = 300; // kept in the list while new ones come

// Times: today's as "09:41:07", others as "12 Mar 09:41".
function shortenTimes(root) {
  const today = new Date().toDateString();
  for (const element of root.querySelectorAll("td.when time")) {
    const at = new Date(element.dateTime);
    element.textContent = at.toDateString() === today
      ? at.toLocaleTimeString([], { hour12: false })
      : at.toLocaleString([], { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false });
  }
}

// The cursor, which j and k move: on a row of the list, or on a vote of a group's page.
const items = () => [...document.querySelectorAll(view === "list" ? "#rows tr" : ".vote")];
const current = () => document.querySelector(".here");

function put(item) {
  current()?.classList.remove("here");
  if (!item) return;
  item.classList.add("here");
  item.scrollIntoView({ block: view === "list" ? "nearest" : "start", behavior: "instant" });
  if (view === "list") sessionStorage.setItem("at", item.dataset.id);
}

function step(by) {
  const all = items();
  const at = all.indexOf(current());
  const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by;
  if (next >= all.length && view === "list") byId("more")?.click();
  else put(all[Math.max(0, Math.min(all.length - 1, next))]);
}

const follow = (id) => byId(id)?.click();

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  ArrowDown: () => view === "list" && step(1),
  ArrowUp: () => view === "list" && step(-1),
  g: () => { window.scrollTo(0, 0); put(items()[0]); },
  G: () => put(items().at(-1)),
  Enter: () => view === "list" && current()?.querySelector("a").click(),
  n: () => follow("behind"),
  p: () => follow("before"),
  "/": () => (byId("search") ? byId("search").select() : follow("back")),
  "?": () => byId("help").showModal(),
  Escape: () => {
    if (view !== "list") follow("back");
    else if (current()) put(null);
    else follow("clear");
  },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  if (event.target.matches("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "Enter" && event.target.matches("a, button, summary")) return;
  const act = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
  if (!act || (event.key.startsWith("Arrow") && view !== "list")) return;
  event.preventDefault();
  act();
});

byId("help-open").addEventListener("click", () => byId("help").showModal());

document.addEventListener("click", (event) => {
  const row = event.target.closest("#rows tr");
  if (!row || event.target.closest("a") || getSelection().toString()) return;
  put(row);
  row.querySelector("a").click();
});

// Live rows: put on top of the list while the reader looks at its top; otherwise a button says how many there are.
let newest = Number(byId("live")?.dataset.newest ?? 0);
let waiting = 0;
let polls = 0;

function showFresh() {
  byId("fresh").hidden = waiting === 0;
  byId("fresh").textContent = `${waiting} new`;
}

async function poll() {
  const live = byId("live");
  const query = new URLSearchParams(location.search);
  query.set("than", newest);
  query.set("low", live.dataset.low);
  query.set("high", live.dataset.high);
  polls += 1;
  if (polls % CHARTS_EVERY === 0) query.set("charts", "1");
  const reply = await fetch(`live?${query}`, { signal: AbortSignal.timeout(20000) });
  if (!reply.ok) throw new Error(reply.statusText);
  const news = await reply.json();
  byId("status").innerHTML = news.status ?? "";
  if (news.charts) {
    byId("charts").innerHTML = news.charts;
    byId("groups").textContent = news.groups;
  }
  if (!news.count) {
    newest = news.newest;
    return;
  }
  if (!byId("rows")) location.reload();
  else if (window.scrollY < 200) {
    newest = news.newest;
    const fresh = document.createElement("template");
    fresh.innerHTML = news.rows;
    for (const row of fresh.content.querySelectorAll("tr")) row.classList.add("new");
    shortenTimes(fresh.content);
    byId("rows").prepend(fresh.content);
    for (const row of items().slice(MOST_ROWS)) row.remove();
    waiting = 0;
  } else waiting = news.count; // `newest` stays: the next polls get these rows again, to be put in at the top
  showFresh();
}

async function live() {
  for (;;) {
    await new Promise((wake) => setTimeout(wake, PAUSE_MS));
    if (document.hidden) continue;
    try {
      await poll();
      byId("live").className = "live on";
    } catch {
      byId("live").className = "live broken";
    }
  }
}

shortenTimes(document);

if (view === "list") {
  const at = sessionStorage.getItem("at");
  const row = at && document.querySelector(`#rows tr[data-id="${CSS.escape(at)}"]`);
  if (row) put(row);
  byId("fresh").addEventListener("click", () => window.scrollTo(0, 0));
  for (const box of document.querySelectorAll("#filters input[type=checkbox], #filters select")) {
    box.addEventListener("change", () => byId("filters").requestSubmit());
  }
  // Empty fields stay out of the address.
  byId("filters").addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) {
      if (value === "" || (name === "sort" && value === "newest")) event.formData.delete(name);
    }
  });
  if (byId("live").dataset.on) live();
}

const reload = document.querySelector("main[data-reload]")?.dataset.reload;
if (reload) setTimeout(() => location.reload(), 3000);
