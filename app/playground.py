"""The page at `/`: try a model by hand. Self-contained: no script, style or font from elsewhere."""

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Loyal</title>
<style>
  body { font: 16px/1.6 system-ui, sans-serif; max-width: 46rem; margin: auto; padding: 1rem }
  textarea { width: 100%; box-sizing: border-box; font: inherit; padding: .5rem }
  #answer { white-space: pre-wrap; margin: 1rem 0; line-height: 2.2 }
  mark { border-radius: .3rem; padding: .15rem .3rem }
  mark small { margin-left: .35rem; font-size: .7rem; font-weight: 600 }
  #status { color: #666 }
</style>
<h1>Loyal</h1>
<p>Small models that answer like the big ones. <a href="/docs">API</a></p>
<form id="form">
  <textarea id="text" rows="5" aria-label="Text">Maria Ionescu lucrează la București.</textarea>
  <p><label>Model <select id="model"></select></label> <button>Find entities</button></p>
  <p><label>Key, if one is needed <input id="key" type="password" autocomplete="off"></label></p>
</form>
<div id="answer" aria-live="polite"></div>
<p id="status"></p>
<script>
const byId = id => document.getElementById(id);

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
  byId("model").replaceChildren();
  if (!reply.ok) return;
  for (const { models } of tasks.filter(t => t.task === "ner"))
    for (const { model, version, aliases, state } of models) {
      const option = new Option(`${model}:${version}` + (state === "ready" ? "" : ` (${state})`));
      option.value = `${model}:${version}`;
      option.selected = aliases.includes("default");
      byId("model").append(option);
    }
}

function show(text, entities) {
  const chars = Array.from(text);  // offsets count code points, JavaScript strings do not
  const parts = [];
  let at = 0;
  for (const { start, end, entity_group, score } of entities) {
    const mark = document.createElement("mark"), label = document.createElement("small");
    mark.style.background = color(entity_group);
    mark.title = `score ${score}`;
    label.textContent = entity_group;
    mark.append(chars.slice(start, end).join(""), label);
    parts.push(chars.slice(at, start).join(""), mark);
    at = end;
  }
  byId("answer").replaceChildren(...parts, chars.slice(at).join(""));
}

byId("form").addEventListener("submit", async event => {
  event.preventDefault();
  const text = byId("text").value, model = byId("model").value;
  const reply = await fetch("/v1/ner", {
    method: "POST",
    headers: { "Content-Type": "application/json", ...authorization() },
    body: JSON.stringify({ inputs: text, model }),
  });
  const content = await reply.json();
  show(text, reply.ok ? content : []);
  byId("status").textContent = reply.ok
    ? `${reply.headers.get("X-Model")}, ${reply.headers.get("X-Total-Time")} ms`
    : content.detail;
});

byId("key").addEventListener("change", listModels);
listModels();
</script>
</html>
"""
