// Chats, kept in this browser.

const KEY = "potluck.chats";

function read() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(stored) ? stored : [];
  } catch {
    return [];
  }
}

// {id, title, system, messages: [{role, content, reasoning?, facts?, error?}]}, newest first
export const chats = read();

export function save() {
  // What the browser has no room for goes, oldest first.
  for (let kept = chats.length; kept > 0; --kept) {
    try {
      localStorage.setItem(KEY, JSON.stringify(chats.slice(0, kept)));
      return;
    } catch (error) {
      if (kept === 1) console.warn("this chat is too long to be kept", error);
    }
  }
  localStorage.removeItem(KEY);
}

export function create() {
  const chat = { id: String(Date.now()) + Math.random().toString(36).slice(2), title: "New chat", system: "", messages: [] };
  chats.unshift(chat);
  return chat;
}

export function remove(chat) {
  chats.splice(chats.indexOf(chat), 1);
  save();
}

export function removeAll() {
  chats.length = 0;
  save();
}
