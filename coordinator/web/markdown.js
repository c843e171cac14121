// A model's answer as HTML: nothing of it runs, and nothing is fetched for it.

// Debian 12's DOMPurify (2.4.1 with a backported limit of depth) reads this name where it has none
// of its own, and fails. The limit itself works without it.
window.shadowNode ??= { __depth: 0 };

export function render(text, into) {
  const html = window.marked.parse(text, { gfm: true, breaks: true, mangle: false, headerIds: false });
  into.innerHTML = window.DOMPurify.sanitize(html, {
    FORBID_TAGS: ["style", "form", "input", "button", "img", "video", "audio", "svg", "math", "iframe"],
    FORBID_ATTR: ["style"],
  });
  for (const link of into.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer";
  }
}
