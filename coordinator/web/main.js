// The page: its two views, its settings, and how the cluster is.

import { ask, settings } from "/web/api.js";
import * as chat from "/web/chat_view.js";
import { watch } from "/web/cluster_view.js";
import { byId, element } from "/web/elements.js";

const FIELDS = ["model", "temperature", "top_p", "max_tokens", "seed", "api-key", "admin-key"];

function show() {
  const view = location.hash === "#cluster" ? "cluster" : "chat";
  for (const name of ["chat", "cluster"]) {
    byId(name).hidden = name !== view;
    if (name === view) byId(`to-${name}`).setAttribute("aria-current", "page");
    else byId(`to-${name}`).removeAttribute("aria-current");
  }
}

async function listModels() {
  const { data } = await ask("GET", "/v1/models");
  byId("model").replaceChildren(element("option", { value: "" }, "whichever is loaded"),
    ...data.map((model) => element("option", { value: model.id }, model.id)));
  byId("model").value = data.some((model) => model.id === settings.get("model")) ? settings.get("model") : "";
}

function openSettings() {
  for (const field of FIELDS) byId(field).value = settings.get(field);
  byId("settings").showModal();
  listModels().catch(() => {}); // the header tells what is wrong
}

function saveSettings() {
  for (const field of FIELDS) {
    // Where the models could not be listed the choice stays.
    if (field !== "model" || byId("model").options.length > 0) settings.set(field, byId(field).value);
  }
}

function tell(state, error) {
  if (error) {
    byId("health").textContent = error.message;
    return;
  }
  const ready = state.instances.filter((instance) => instance.state === "ready").length;
  const devices = state.workers.filter((worker) => worker.state === "ready").length;
  byId("health").textContent = state.instances.length === 0 ? "No model is loaded"
    : `${ready} of ${state.instances.length} models ready · ${devices} devices`;
}

byId("open-settings").onclick = openSettings;
byId("settings").onclose = saveSettings;
window.onhashchange = show;
show();
chat.start();
watch(tell);
