// What the page asks of the coordinator.

export const settings = {
  get(name) {
    return localStorage.getItem(`potluck.${name}`) ?? "";
  },
  set(name, value) {
    if (value === "") localStorage.removeItem(`potluck.${name}`);
    else localStorage.setItem(`potluck.${name}`, value);
  },
};

async function request(method, path, { body, signal, admin = false } = {}) {
  const headers = {};
  const key = (admin && settings.get("admin-key")) || settings.get("api-key") || settings.get("admin-key");
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const reply = await fetch(path, { method, headers, signal, body: body && JSON.stringify(body) });
  if (reply.ok) return reply;
  const error = await reply.json().catch(() => ({}));
  throw new Error(error.error?.message ?? `the coordinator answered ${reply.status}`);
}

export async function ask(method, path, options) {
  return (await request(method, path, options)).json();
}

// The events of a stream as objects, until it ends.
export async function* events(method, path, options) {
  const reply = await request(method, path, options);
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    let end;
    while ((end = held.indexOf("\n\n")) >= 0) {
      const event = held.slice(0, end);
      held = held.slice(end + 2);
      if (!event.startsWith("data: ")) continue; // a comment, which keeps the connection alive
      if (event === "data: [DONE]") return;
      yield JSON.parse(event.slice("data: ".length));
    }
  }
}
