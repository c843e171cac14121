// The cluster as it is at this moment.

import { ask, events } from "/web/api.js";
import { byId, element } from "/web/elements.js";

const AGAIN_MS = 2000;

let before = null; // the state and when it came
const cards = new Map(); // of workers: they stay, for somebody may be pressing a button of theirs

function size(bytes) {
  if (bytes < 2 ** 30) return `${Math.round(bytes / 2 ** 20)} MiB`;
  return `${(bytes / 2 ** 30).toFixed(bytes < 10 * 2 ** 30 ? 1 : 0)} GiB`;
}

function rate(value) {
  return value >= 10 ? value.toFixed(0) : value.toFixed(1);
}

function stateBadge(state) {
  return element("span", { class: `state ${state}` }, state);
}

// The share of the time since the last state in which each stage computed.
function busyShares(instance, now) {
  const earlier = before?.state.instances.find((one) => one.id === instance.id && one.epoch === instance.epoch);
  const seconds = before ? (now - before.at) / 1000 : 0;
  return instance.stages.map((stage, index) => {
    const then = earlier?.stages[index]?.computing_seconds;
    if (then === undefined || seconds <= 0) return 0;
    return Math.min(1, Math.max(0, (stage.computing_seconds - then) / seconds));
  });
}

function linkBetween(state, from, to) {
  return state.workers.find((worker) => worker.id === from)?.links.find((link) => link.to === to);
}

function hopElement(state, from, to) {
  const link = from === to ? null : linkBetween(state, from, to);
  let told = "";
  if (link) told = link.reachable ? `${rate(link.mbit_per_second)} Mbit/s, ${rate(link.round_trip_ms)} ms` : "through the coordinator";
  return element("li", { class: "hop" }, element("span", { "aria-hidden": "true" }, "→"), element("br"), told);
}

function stageElement(stage, busy) {
  const [first, last] = stage.layers;
  return element("li", { class: busy > 0.02 ? "stage works" : "stage" },
    element("h3", {}, stage.name),
    element("div", {}, `layers ${first}–${last}`),
    element("div", { class: "facts" }, `${stage.device} · ${size(stage.weight_bytes)} weights, ${size(stage.kv_bytes)} KV`),
    element("meter", { min: 0, max: 1, value: busy.toFixed(2), "aria-label": `${stage.name} computes ${Math.round(100 * busy)}% of the time` }),
    element("div", { class: "facts" }, `works ${Math.round(100 * busy)}% of the time`),
    stage.standby.length ? element("div", { class: "facts" }, `standby: ${stage.standby.map((one) => one.name).join(", ")}`) : null);
}

function modelElement(state, instance, now) {
  const stages = [];
  const busy = busyShares(instance, now);
  instance.stages.forEach((stage, index) => {
    if (index > 0) stages.push(hopElement(state, instance.stages[index - 1].worker, stage.worker));
    stages.push(stageElement(stage, busy[index]));
  });
  const facts = [`${instance.requests.running} running, ${instance.requests.waiting} waiting`,
    `${rate(instance.tokens_per_second)} tokens/s`];
  if (instance.prediction) facts.push(`${rate(instance.prediction.decode_tokens_per_second)} tokens/s expected for one`);
  if (instance.context_length) facts.push(`context ${instance.context_length}`);
  const { free, all } = instance.kv_blocks;
  return element("section", { class: "card", "aria-label": instance.model },
    element("div", { class: "row" }, element("h2", {}, instance.model), stateBadge(instance.state)),
    instance.trouble ? element("p", { class: "error" }, instance.trouble) : null,
    instance.loaded !== undefined ? element("progress", { max: 1, value: instance.loaded, "aria-label": "loaded" }) : null,
    element("ol", { class: "pipeline", "aria-label": "Stages" }, ...stages),
    element("p", {}, facts.join(" · ")),
    all > 0 ? element("label", {}, `KV cache, ${all - free} of ${all} blocks used`,
      element("meter", { min: 0, max: all, high: 0.9 * all, value: all - free })) : null,
    ...(instance.notes ?? []).map((note) => element("p", { class: "facts" }, note)));
}

// What becomes of the models without the worker.
function lossesOf(state, worker) {
  return state.instances.flatMap((instance) => (instance.losses ?? [])
    .filter((loss) => loss.worker === worker.id)
    .map((loss) => element("p", { class: "facts" },
      `If it left: ${instance.model} ${loss.survived ? "goes on" : "stops"}. ${loss.how ?? ""}`)));
}

async function command(name, worker) {
  if (name === "drain" && !window.confirm(`Drain ${worker.name}? It hands its layers over and leaves.`)) return;
  try {
    await ask("POST", `/cluster/${name}`, { body: { worker: worker.id }, admin: true });
    byId("cluster-status").textContent = `${worker.name}: ${name} was asked for.`;
  } catch (error) {
    byId("cluster-status").textContent = `${worker.name}: ${error.message}`;
  }
}

function deviceElement(device) {
  const used = device.memory_bytes - device.free_memory_bytes;
  return element("div", {},
    element("div", {}, `${device.device}: ${device.description}`),
    element("meter", { min: 0, max: device.memory_bytes, high: 0.9 * device.memory_bytes, value: used, "aria-label": `memory of ${device.device}` }),
    element("div", { class: "facts" }, `${size(device.free_memory_bytes)} of ${size(device.memory_bytes)} free`));
}

function buttonsFor(worker) {
  const button = (name, text) => element("button",
    { type: "button", "aria-label": `${text} ${worker.name}`, onclick: () => command(name, worker) }, text);
  const resting = worker.state === "paused" || worker.state === "resting";
  const gone = worker.state === "lost" || worker.state === "left";
  if (gone) return [];
  return [resting ? button("resume", "Resume") : button("pause", "Pause"), button("drain", "Drain")];
}

function workerElement(state, worker) {
  let card = cards.get(worker.id);
  if (!card) {
    card = { facts: element("div"), buttons: element("div", { class: "row" }) };
    card.item = element("li", { class: "card" }, card.facts, card.buttons);
    cards.set(worker.id, card);
  }
  card.facts.replaceChildren(
    element("div", { class: "row" }, element("h3", {}, worker.name), stateBadge(worker.state)),
    element("p", { class: "facts" }, `${worker.addresses.join(", ")} · potluck ${worker.version}`),
    ...worker.devices.map(deviceElement),
    element("p", { class: "facts" }, `${size(worker.disk_free_bytes)} of disk free`),
    ...lossesOf(state, worker));
  if (card.state !== worker.state) card.buttons.replaceChildren(...buttonsFor(worker));
  card.state = worker.state;
  return card.item;
}

// What is there already stays where it is.
function arrange(list, items) {
  const same = list.children.length === items.length && items.every((item, index) => list.children[index] === item);
  if (!same) list.replaceChildren(...items);
}

function linkRows(state) {
  const names = new Map(state.workers.map((worker) => [worker.id, worker.name]));
  const rows = state.workers.flatMap((worker) => worker.links.map((link) => element("tr", {},
    element("td", {}, worker.name), element("td", {}, names.get(link.to) ?? "another"),
    element("td", {}, link.reachable ? `${rate(link.mbit_per_second)} Mbit/s` : "not reachable"),
    element("td", {}, link.reachable ? `${link.round_trip_ms.toFixed(2)} ms` : ""))));
  if (rows.length === 0) return [element("tbody", {}, element("tr", {}, element("td", {}, "None are measured.")))];
  const head = ["From", "To", "Speed", "Round trip"].map((text) => element("th", { scope: "col" }, text));
  return [element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)];
}

function draw(state) {
  const now = performance.now();
  byId("models").replaceChildren(...(state.instances.length
    ? state.instances.map((instance) => modelElement(state, instance, now))
    : [element("p", {}, "No model is loaded: potluck load MODEL.")]));
  arrange(byId("workers"), state.workers.length
    ? state.workers.map((worker) => workerElement(state, worker))
    : [element("li", {}, "No device has joined: potluck join-code shows what to type on one.")]);
  byId("links").replaceChildren(...linkRows(state));
  before = { state, at: now };
}

// Watches while it can, and tells `told` of each state, or of an error.
export async function watch(told) {
  for (;;) {
    try {
      for await (const state of events("GET", "/cluster/events")) {
        draw(state);
        told(state, null);
      }
    } catch (error) {
      told(null, error);
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}
