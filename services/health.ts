import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Hosted } from "#runtime/host.ts";
import { backgroundGauge, registry } from "#runtime/telemetry.ts";
import type { Readiness } from "../gateway/health.ts";
import type { Engines } from "./engines.ts";

/** Serves /livez, /readyz and /metrics of a service's own process. */
export interface HealthServer {
  port: number;
  close: () => Promise<void>;
}

/** Starts serving. /livez touches nothing; /readyz asks `ready`, /metrics too, so that its gauges are fresh. */
export async function serveHealth(given: {
  host: string;
  port: number;
  ready: () => Promise<Readiness>;
}): Promise<HealthServer> {
  const { host, port, ready } = given;
  const server = createServer((request, response) => {
    answer(request, response, ready).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  ready: () => Promise<Readiness>,
): Promise<void> {
  const path = request.url?.replace(/\?.*$/, "");
  if (request.method !== "GET" && request.method !== "HEAD") return end(response, 405, '{"status":"use GET"}');
  if (path === "/livez") return end(response, 200, '{"status":"ok"}');
  if (path !== "/readyz" && path !== "/metrics") return end(response, 404, '{"status":"not here"}');
  const state = await ready().catch(
    (): Readiness => ({ ready: false, dependencies: { readiness: "failed" }, lag: {} }),
  );
  if (path === "/readyz") return end(response, state.ready ? 200 : 503, JSON.stringify(state));
  response.setHeader("content-type", registry.contentType);
  end(response, 200, await registry.metrics());
}

function end(response: ServerResponse, status: number, body: string): void {
  if (!response.hasHeader("content-type")) response.setHeader("content-type", "application/json");
  response.setHeader("cache-control", "no-store");
  response.writeHead(status).end(body);
}

/** Asks how the parts are doing, once for all who ask within a moment, and sets the gauges. */
export function readinessOf(look: () => Promise<Readiness>): () => Promise<Readiness> {
  let asked: { at: number; answer: Promise<Readiness> } | undefined;
  return () => {
    const now = performance.now();
    if (asked === undefined || now - asked.at > READY_MS) asked = { at: now, answer: lookNow(look) };
    return asked.answer;
  };
}

const READY_MS = 100;

async function lookNow(look: () => Promise<Readiness>): Promise<Readiness> {
  const state = await look();
  for (const [name, value] of Object.entries(state.lag)) backgroundGauge.labels(name).set(value);
  return state;
}

/** Ready while log and store answer; beside that how far projections and background work are behind. */
export async function readinessFrom(engines: Engines, hosted: Pick<Hosted, "gauges">): Promise<Readiness> {
  const [dependencies, gauges] = await Promise.all([engines.look(), engines.gauges()]);
  const ready = dependencies.log === "ok" && dependencies.store === "ok";
  return { ready, dependencies, lag: { ...gauges, ...hosted.gauges() } };
}
