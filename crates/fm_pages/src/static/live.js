// Keeps a page as it is on the server: told that something happened, it loads itself again and changes what differs.
// Without this script a page can be read all the same; it is then as it was when it was loaded.
"use strict";
(() => {
  const status = document.getElementById("live-status");
  const pause = document.getElementById("live-pause");
  if (!status || !pause || !window.EventSource) {
    return;
  }
  const betweenLoadsMs = 3000;
  const betweenWordsMs = 15000;
  const againMs = 60000;
  let source = null;
  let loaded = Date.now();
  let told = 0;
  let waiting = 0;
  let timer = null;

  const say = (text, always) => {
    // Whoever has the page read aloud is not to hear each change.
    if (always || Date.now() - told >= betweenWordsMs) {
      status.textContent = text;
      told = Date.now();
    }
  };

  // What has the focus is looked for again among what came instead.
  const place = (inside) => {
    const active = document.activeElement;
    if (!active || !inside.contains(active)) {
      return () => {};
    }
    if (active === inside) {
      return () => inside.focus({ preventScroll: true });
    }
    const href = active.getAttribute("href");
    return () => {
      const found = href ? inside.querySelector(`[href="${CSS.escape(href)}"]`) : null;
      (found || document.getElementById("main")).focus({ preventScroll: true });
    };
  };

  const load = async () => {
    timer = null;
    const changes = waiting;
    waiting = 0;
    loaded = Date.now();
    let answer;
    try {
      answer = await fetch(location.href, { redirect: "error", credentials: "same-origin" });
    } catch {
      say("No answer from the server. The page is as it was.", true);
      return;
    }
    if (!answer.ok) {
      say("The server refuses this page now. It is as it was.", true);
      return;
    }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    let differs = false;
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(part.id);
      if (!next || next.isEqualNode(part)) {
        continue;
      }
      const back = place(part);
      part.replaceChildren(...next.childNodes);
      back();
      differs = true;
    }
    if (differs) {
      const time = new Date().toLocaleTimeString();
      say(`Updated at ${time}${changes > 0 ? ` after ${changes} events` : ""}.`, false);
    }
  };

  const soon = () => {
    if (timer === null && source) {
      timer = setTimeout(load, Math.max(0, loaded + betweenLoadsMs - Date.now()));
    }
  };

  const open = () => {
    close();
    source = new EventSource("/live");
    source.onopen = () => say("The page follows what happens.", false);
    source.onmessage = (message) => {
      waiting += Number(message.data) || 0;
      soon();
    };
    source.onerror = () => {
      if (source && source.readyState === EventSource.CLOSED) {
        say("Updates ended; they are tried again in a minute.", true);
        close();
        setTimeout(() => {
          if (pause.getAttribute("aria-pressed") === "false" && !source) {
            open();
          }
        }, againMs);
      }
    };
  };

  const close = () => {
    if (source) {
      source.close();
    }
    source = null;
    clearTimeout(timer);
    timer = null;
  };

  pause.hidden = false;
  pause.addEventListener("click", () => {
    const stop = pause.getAttribute("aria-pressed") === "false";
    pause.setAttribute("aria-pressed", String(stop));
    if (stop) {
      close();
      say("Updates are paused.", true);
    } else {
      open();
      soon();
      say("The page follows what happens.", true);
    }
  });
  // A page that a browser keeps to come back to would keep its connection as well, and a browser has six of them.
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (shown) => {
    if (shown.persisted && pause.getAttribute("aria-pressed") === "false") {
      open();
      soon();
    }
  });
  // Silence makes no event: who has gone silent is seen all the same.
  setInterval(soon, againMs);
  open();
})();
