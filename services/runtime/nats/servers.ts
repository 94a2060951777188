import type { ConnectionOptions } from "@nats-io/transport-node";

/** The servers of these URLs as the client wants them: addresses apart from who connects. One user connects to all. */
export function serversOf(
  urls: readonly string[],
): Pick<ConnectionOptions, "servers" | "user" | "pass" | "token" | "tls"> {
  const parsed = urls.map((url) => new URL(url));
  const named = parsed.find(({ username }) => username !== "");
  const isTls = parsed.some(({ protocol }) => protocol === "tls:");
  return {
    servers: parsed.map(({ hostname, port }) => `${hostname}:${port || "4222"}`),
    ...(named !== undefined && userOf(named)),
    ...(isTls && { tls: {} }),
  };
}

// A name alone is a token: nats://token@host:4222
function userOf({ username, password }: URL): Pick<ConnectionOptions, "user" | "pass" | "token"> {
  const user = decodeURIComponent(username);
  return password === "" ? { token: user } : { user, pass: decodeURIComponent(password) };
}
