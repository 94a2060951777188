import { once } from "node:events";
import { createServer } from "node:net";

/** Below the ports from which outgoing connections are made: one of those could take a port before its server does. */
const FIRST = 10_000;
/** Each worker of a test run has ports of its own, so that two do not give the same to two servers that have not begun to listen. */
const WORKERS = 4;
const PORTS = 5_500;

const given = new Set<number>();

/** A port that nothing listens on, and that was not given before. */
export async function freePort(): Promise<number> {
  const worker = Number(process.env.VITEST_POOL_ID ?? 0) % WORKERS;
  for (;;) {
    const port = FIRST + worker * PORTS + Math.floor(Math.random() * PORTS);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, "0.0.0.0");
    await once(server, "listening");
  } catch {
    return false;
  }
  server.close();
  await once(server, "close");
  return true;
}
