"""The page at `/`: try a model by hand. Self-contained: no script, style or font from elsewhere."""

import json
from collections.abc import Iterable
from typing import Any

from app.tasks.task import Task

FORMS = "FORMS_OF_TASKS"
"""Stands in the page for: task -> its title, and an input, whose texts become the fields."""


def page(tasks: Iterable[Task[Any]]) -> str:
    """The page with a form for each task; in the browser it shows those that have models."""
    forms = {task.name: {"title": task.summary, "inputs": _first_input(task)} for task in tasks}
    # "</script>" in a text would end the script.
    return _PAGE.replace(FORMS, json.dumps(forms, ensure_ascii=False).replace("<", r"\u003c"))


def _first_input(task: Task[Any]) -> object:
    """A text, or an object of texts."""
    body, _ = next(iter(task.examples.values()))
    return body["inputs"]


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Loyal</title>
<style>
  body { font: 16px/1.6 system-ui, sans-serif; max-width: 46rem; margin: auto; padding: 1rem }
  textarea { width: 100%; box-sizing: border-box; font: inherit; padding: .5rem }
  #fields label { display: block; margin-top: .5rem }
  #answer { white-space: pre-wrap; margin: 1rem 0; line-height: 2.2 }
  mark { border-radius: .3rem; padding: .15rem .3rem }
  mark small { margin-left: .35rem; font-size: .7rem; font-weight: 600 }
  meter { width: 12rem; margin-right: .75rem }
  #status { color: #666 }
</style>
<h1>Loyal</h1>
<p>Small models that answer like the big ones. <a href="/docs">API</a></p>
<form id="form">
  <p><label>Task <select id="task"></select></label>
    <label>Model <select id="model"></select></label></p>
  <div id="fields"></div>
  <p><button>Answer</button></p>
  <p><label>Key, if one is needed <input id="key" type="password" autocomplete="off"></label></p>
</form>
<div id="answer" aria-live="polite"></div>
<p id="status"></p>
<script>
const FORMS = FORMS_OF_TASKS;
const byId = id => document.getElementById(id);
let models = {};

function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

function color(label) {
  let hue = 0;
  for (const char of label) hue = (hue * 31 + char.codePointAt(0)) % 360;
  return `hsl(${hue} 80% 85%)`;
}

function authorization() {
  const key = byId("key").value;
  return key ? { Authorization: `Bearer ${key}` } : {};
}

async function listModels() {
  const reply = await fetch("/v1/models", { headers: authorization() });
  const { tasks, detail } = await reply.json();
  byId("status").textContent = detail ?? "";
  models = Object.fromEntries((tasks ?? []).map(t => [t.task, t.models]));
  const known = Object.keys(FORMS).filter(task => task in models);
  byId("task").replaceChildren(...known.map(task => new Option(FORMS[task].title, task)));
  showTask();
}

function showTask() {
  const task = byId("task").value;
  const options = (models[task] ?? []).map(({ model, version, aliases, state }) => {
    const name = `${model}:${version}`, isDefault = aliases.includes("default");
    const title = name + (state === "ready" ? "" : ` (${state})`);
    return new Option(title, name, isDefault, isDefault);
  });
  byId("model").replaceChildren(...options);
  const inputs = task ? FORMS[task].inputs : {};
  const texts = typeof inputs === "string" ? { text: inputs } : inputs;
  byId("fields").replaceChildren(...Object.entries(texts).map(([name, text]) => {
    const area = element("textarea", text);
    area.name = name;
    area.rows = 4;
    return element("label", name.replace("_", " "), area);
  }));
  byId("answer").replaceChildren();
}

function readInputs() {
  const areas = [...byId("fields").querySelectorAll("textarea")];
  const texts = Object.fromEntries(areas.map(area => [area.name, area.value]));
  return typeof FORMS[byId("task").value].inputs === "string" ? texts.text : texts;
}

function marked(text, spans) {
  const chars = Array.from(text);  // offsets count code points, JavaScript strings do not
  const parts = [];
  let at = 0;
  for (const { start, end, entity_group, xpos, score } of spans) {
    const label = element("small", entity_group);
    const mark = element("mark", chars.slice(start, end).join(""), label);
    mark.style.background = color(entity_group);
    mark.title = `${xpos ? xpos + ", " : ""}score ${score}`;
    parts.push(chars.slice(at, start).join(""), mark);
    at = end;
  }
  return [...parts, chars.slice(at).join("")];
}

function measured(score, label) {
  const meter = element("meter");
  meter.value = score;
  return element("div", meter, `${score.toFixed(3)} ${label}`);
}

function render(inputs, answer) {
  if (answer.intent)
    return [measured(answer.intent.score, answer.intent.label), ...marked(inputs, answer.slots),
            element("p", element("code", answer.tree))];
  if ("answer" in answer) {
    const spans = answer.answer ? [{ ...answer, entity_group: "answer" }] : [];
    return [measured(answer.score, answer.answer || "no answer"), ...marked(inputs.context, spans)];
  }
  if (typeof answer[0] === "number") return answer.map(score => measured(score, ""));
  if (Array.isArray(answer[0])) return answer[0].map(({ score, label }) => measured(score, label));
  return marked(inputs, answer);
}

byId("form").addEventListener("submit", async event => {
  event.preventDefault();
  const inputs = readInputs(), model = byId("model").value;
  const reply = await fetch(`/v1/${byId("task").value}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...authorization() },
    body: JSON.stringify({ inputs, model }),
  });
  const content = await reply.json();
  byId("answer").replaceChildren(...(reply.ok ? render(inputs, content) : []));
  byId("status").textContent = reply.ok
    ? `${reply.headers.get("X-Model")}, ${reply.headers.get("X-Total-Time")} ms`
    : content.detail;
});

byId("task").addEventListener("change", showTask);
byId("key").addEventListener("change", listModels);
listModels();
</script>
</html>
"""
