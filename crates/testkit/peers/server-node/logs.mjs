// Follows a plugin's log as a browser does: with an EventSource, which comes back by itself.

import { EventSource } from "eventsource";

const [, , url, token] = process.argv;
const tell = (what) => console.log(JSON.stringify(what));

// The library does not keep the program alive while it waits to connect again.
const alive = setInterval(() => {}, 1 << 30);

const source = new EventSource(url, {
  fetch: (input, init) =>
    fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } }),
});
source.addEventListener("message", ({ data, lastEventId }) => tell({ data, id: lastEventId }));
source.addEventListener("end", () => {
  tell({ event: "end" });
  source.close();
  clearInterval(alive);
});
source.addEventListener("error", ({ code, message }) => tell({ error: message ?? "", code: code ?? 0 }));
