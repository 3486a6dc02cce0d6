// ask.js - calls to the server. A token, where it asks for one, stays in this tab's session storage.

const KEY = "recsys-token";

export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function keep(token) {
  sessionStorage.setItem(KEY, token);
}

/** The answer as a value, and how many ms it took to come. Throws a Refusal. */
export async function ask(method, path, body) {
  const headers = {};
  const token = sessionStorage.getItem(KEY);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const begun = performance.now();
  let reply, text;
  try {
    reply = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    text = await reply.text();
  } catch {
    throw new Refusal(0, "The server does not answer.");
  }
  const took = performance.now() - begun;
  let value;
  try {
    value = text ? JSON.parse(text) : {};
  } catch {
    value = {};
  }
  if (!reply.ok) throw new Refusal(reply.status, value.error?.message ?? `The server answers ${reply.status}.`);
  return { value, took };
}
