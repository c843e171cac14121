// Conversations with a model: streamed, stopped, asked again, edited.

import { events, settings } from "/web/api.js";
import { chats, create, remove, removeAll, save } from "/web/chats.js";
import { byId, element } from "/web/elements.js";
import { render } from "/web/markdown.js";

const REDRAW_MS = 80;

let chat = chats[0] ?? create();
let answering = null; // an AbortController while an answer comes

function title(text) {
  const line = text.trim().split("\n")[0];
  return line.length > 60 ? `${line.slice(0, 59)}…` : line || "New chat";
}

function listChats() {
  byId("chats").replaceChildren(...chats.map((one) => element("li", {},
    element("button", { type: "button", "aria-current": one === chat, onclick: () => open(one) }, one.title),
    element("button", { type: "button", "aria-label": `Delete ${one.title}`, onclick: () => forget(one) }, "×"))));
}

function open(one) {
  stop();
  chat = one;
  byId("system-text").value = chat.system;
  byId("system").open = chat.system !== "";
  byId("chat-status").textContent = "";
  listChats();
  listMessages();
  byId("input").focus();
}

function forget(one) {
  remove(one);
  if (one === chat) open(chats[0] ?? create());
  else listChats();
}

// Its parts, which `draw` fills from the message.
function messageElement(message, index) {
  const text = element("div", { class: "text" });
  const reasoning = element("div", {});
  const folded = element("details", { hidden: true }, element("summary", {}, "Reasoning"), reasoning);
  const error = element("p", { class: "error", hidden: true });
  const facts = element("span", { class: "facts" });
  const mine = message.role === "user";
  const last = index === chat.messages.length - 1;
  const item = element("li", { class: `message ${message.role}` },
    element("div", { class: "who" }, mine ? "You" : "Model"), folded, text, error,
    element("div", { class: "row" },
      element("button", { type: "button", onclick: () => navigator.clipboard?.writeText(message.content) }, "Copy"),
      mine ? element("button", { type: "button", onclick: () => edit(item, index) }, "Edit") : null,
      !mine && last ? element("button", { type: "button", onclick: () => regenerate(index) }, "Regenerate") : null,
      facts));
  const draw = () => {
    if (mine) text.textContent = message.content;
    else render(message.content, text);
    folded.hidden = !message.reasoning;
    if (message.reasoning) render(message.reasoning, reasoning);
    error.hidden = !message.error;
    error.textContent = message.error ?? "";
    facts.textContent = message.facts ?? "";
  };
  draw();
  return { item, draw };
}

function listMessages() {
  byId("messages").replaceChildren(...chat.messages.map((message, index) => messageElement(message, index).item));
  scrollDown();
}

function scrollDown() {
  const list = byId("messages");
  list.scrollTop = list.scrollHeight;
}

function isAtEnd() {
  const list = byId("messages");
  return list.scrollHeight - list.scrollTop - list.clientHeight < 40;
}

function edit(item, index) {
  const area = element("textarea", { rows: 4, "aria-label": "Your message" });
  area.value = chat.messages[index].content;
  const form = element("form", { class: "message user", onsubmit: (event) => {
    event.preventDefault();
    chat.messages.length = index;
    say(area.value);
  } }, area, element("div", { class: "row" },
    element("button", { type: "submit" }, "Send"),
    element("button", { type: "button", onclick: listMessages }, "Cancel")));
  item.replaceChildren(form);
  area.focus();
}

function regenerate(index) {
  stop();
  chat.messages.length = index;
  answer();
}

function say(text) {
  stop();
  if (chat.messages.length === 0) chat.title = title(text);
  chat.messages.push({ role: "user", content: text });
  listChats();
  answer();
}

export function stop() {
  answering?.abort();
  answering = null;
}

function wish(conversation) {
  const body = { messages: [], stream: true, stream_options: { include_usage: true } };
  if (conversation.system.trim()) body.messages.push({ role: "system", content: conversation.system });
  for (const { role, content } of conversation.messages) body.messages.push({ role, content });
  if (settings.get("model")) body.model = settings.get("model");
  for (const name of ["temperature", "top_p", "max_tokens", "seed"]) {
    if (settings.get(name) !== "") body[name] = Number(settings.get(name));
  }
  return body;
}

async function answer() {
  const conversation = chat;
  const controller = new AbortController();
  answering = controller;
  const body = wish(conversation);
  const message = { role: "assistant", content: "" };
  conversation.messages.push(message);
  listMessages();
  const { item, draw } = messageElement(message, conversation.messages.length - 1);
  byId("messages").lastElementChild.replaceWith(item);
  byId("messages").setAttribute("aria-busy", "true");
  showRunning(true);
  byId("chat-status").textContent = "The model is reading…";
  let drawn = 0;
  const redraw = () => {
    if (chat !== conversation) return;
    const follow = isAtEnd();
    draw();
    if (follow) scrollDown();
    drawn = performance.now();
  };
  try {
    for await (const event of events("POST", "/v1/chat/completions", { body, signal: controller.signal })) {
      if (event.error) throw new Error(event.error.message);
      const choice = event.choices[0];
      if (choice?.delta.reasoning_content) message.reasoning = (message.reasoning ?? "") + choice.delta.reasoning_content;
      if (choice?.delta.content) message.content += choice.delta.content;
      if (choice?.delta.content || choice?.delta.reasoning_content) byId("chat-status").textContent = "The model is answering…";
      if (choice?.finish_reason === "length") message.error = "The answer was cut: it is as long as it may be.";
      if (event.usage) message.facts = factsOf(event);
      if (performance.now() - drawn > REDRAW_MS) redraw();
    }
    finish("The answer is complete.");
  } catch (error) {
    if (controller.signal.aborted) {
      finish("Stopped.");
    } else {
      message.error = error.message;
      finish("There was an error.");
    }
  }

  function finish(status) {
    redraw();
    save();
    if (answering !== controller && answering !== null) return; // another answer has begun
    answering = null;
    if (chat !== conversation) return;
    byId("messages").removeAttribute("aria-busy");
    byId("chat-status").textContent = status;
    showRunning(false);
  }
}

function factsOf({ usage, timings }) {
  const facts = [`${usage.completion_tokens} tokens`];
  if (timings?.predicted_per_second) facts.push(`${timings.predicted_per_second.toFixed(1)} tokens/s`);
  const { cached_tokens: cached } = usage.prompt_tokens_details;
  facts.push(`prompt ${usage.prompt_tokens}${cached ? ` (${cached} known before)` : ""}`);
  return facts.join(" · ");
}

function showRunning(running) {
  byId("stop").hidden = !running;
  byId("send").hidden = running;
}

export function start() {
  byId("new-chat").onclick = () => open(chats[0]?.messages.length === 0 ? chats[0] : create());
  byId("stop").onclick = () => {
    stop();
    byId("input").focus();
  };
  byId("system-text").onchange = () => {
    chat.system = byId("system-text").value;
    save();
  };
  byId("composer").onsubmit = (event) => {
    event.preventDefault();
    const input = byId("input");
    if (answering || !input.value.trim()) return;
    const text = input.value;
    input.value = "";
    say(text);
  };
  byId("input").onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId("composer").requestSubmit();
  };
  byId("delete-chats").onclick = () => {
    if (!window.confirm("Delete all chats of this browser?")) return;
    removeAll();
    open(create());
  };
  open(chat);
}
