// Asks the service for the labels of a text. Names and texts enter the page as text nodes, never as HTML.
"use strict";
const at = (id) => document.getElementById(id);
let reads_words = false;
let asked = 0; // number of the latest question: an older answer that comes late is not shown

// Control characters and marks that turn the direction of text could make a name read as another one.
const steering = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const visible = (text) => text.replace(steering, (mark) => "\\u" + mark.charCodeAt(0).toString(16).padStart(4, "0"));

// "ready" or "asking", for those who wait for the page.
const state = (name) => { document.documentElement.dataset.state = name; };

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = visible(text);
  if (kind) made.className = kind;
  return made;
}

function words_of(words) {
  const row = element("div", undefined, "words");
  for (const { word, part } of words) {
    const shown = element("bdi", word);
    shown.append(" ", element("small", "+" + part.toFixed(2)));
    shown.title = "part of this word in the score";
    row.append(shown);
  }
  return row;
}

function label_of({ label, text, score, probability, words }) {
  const item = element("li");
  const name = element("div", undefined, "name");
  const known = probability !== null;
  const number = known ? (100 * probability).toFixed(1) + "%" : score.toFixed(3);
  const shown = element("span", number, "number");
  shown.title = known ? `probability; score ${score.toFixed(3)}` : "score";
  name.append(element("bdi", label), shown);
  item.append(name);
  if (known) {
    const meter = element("meter");
    meter.value = probability;
    meter.setAttribute("aria-label", "probability");
    item.append(meter);
  }
  if (text) item.append(element("bdi", text, "about"));
  if (words && words.length) item.append(words_of(words));
  return item;
}

function show({ labels }, milliseconds) {
  at("labels").replaceChildren(...labels.map(label_of));
  const none = labels.length ? "" : "No label. ";
  const about = reads_words && labels.length ? " Below a label: the words that speak for it, with their parts of its score." : "";
  at("note").textContent = `${none}Answered in ${Math.round(milliseconds)} ms.${about}`;
  at("answer").hidden = false;
}

function fail(line) {
  at("error").textContent = line;
  at("error").hidden = false;
}

async function ask(event) {
  event.preventDefault();
  const mine = ++asked;
  const body = { text: at("text").value, k: Number(at("k").value), words: reads_words };
  const least = Number(at("threshold").value);
  if (!at("least").hidden && least > 0) body.threshold = least;
  at("error").hidden = true;
  at("state").textContent = "…";
  state("asking");
  const started = performance.now();
  try {
    const response = await fetch("predict", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const found = await response.json();
    if (mine !== asked) return;
    if (response.ok) show(found, performance.now() - started);
    else fail(found.error);
  } catch (error) {
    if (mine === asked) fail("The service does not answer. Is it still running?");
  }
  if (mine !== asked) return;
  at("state").textContent = "";
  state("ready");
}

async function begin() {
  try {
    const health = await (await fetch("health")).json();
    reads_words = health.words;
    at("model").textContent = health.model;
    document.title = `${health.model} · xmcpipe`;
    at("facts").textContent = `${health.labels.toLocaleString("en")} labels · xmcpipe ${health.version}`;
    at("k").max = health.limits.k;
    at("text").maxLength = health.limits.text;
    at("least").hidden = !health.probabilities;
  } catch (error) {
    fail("The service does not answer. Is it still running?");
  }
  state("ready");
}

at("ask").addEventListener("submit", ask);
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("ask").requestSubmit();
});
begin();
