import { registry } from "#runtime/telemetry.ts";
import { type Exchange, type Sent, send } from "./exchange.ts";

/** How the parts of this process are doing. */
export interface Readiness {
  /** It takes requests. */
  ready: boolean;
  /** By dependency: "ok", or a word that says what is wrong. */
  dependencies: Readonly<Record<string, string>>;
  /** By projection: entries of the log that it has not seen yet. */
  lag: Readonly<Record<string, number>>;
}

/** What the gateway's own parts have noticed. */
export interface Noticed {
  /** Touches of redirects that intake has not acknowledged. */
  queuedTouches: number;
  /** By service: whether it answered when it was last asked. */
  answers: Readonly<Record<string, boolean>>;
}

/**
 * Adds what the gateway's own parts have noticed. It changes nothing about being ready: what is down behind one gateway is
 * down behind all, and a gateway that can still send people on must not be taken away from them.
 */
export function withNoticed(state: Readiness, { queuedTouches, answers }: Noticed): Readiness {
  const silent = Object.keys(answers).filter((name) => !answers[name]);
  return {
    ...state,
    dependencies: { ...state.dependencies, ...Object.fromEntries(silent.map((name) => [name, "does not answer"])) },
    lag: { ...state.lag, queued_touches: queuedTouches },
  };
}

const JSON_HEADERS = { "content-type": "application/json", "cache-control": "no-store" };

/** Says that the process lives. Touches nothing. */
export function answerLive(exchange: Exchange): Sent {
  exchange.route = "livez";
  return send(exchange, { status: 200, headers: JSON_HEADERS, body: '{"status":"ok"}' });
}

/** Says whether it takes requests, and what is missing when it does not: 503. */
export async function answerReady(exchange: Exchange, ready: () => Promise<Readiness>): Promise<Sent> {
  exchange.route = "readyz";
  const state = await ready().catch(
    (): Readiness => ({ ready: false, dependencies: { readiness: "failed" }, lag: {} }),
  );
  return send(exchange, { status: state.ready ? 200 : 503, headers: JSON_HEADERS, body: JSON.stringify(state) });
}

/** The metrics in the text format of Prometheus. Asking how the parts are doing sets their gauges. */
export async function answerMetrics(exchange: Exchange, ready: () => Promise<Readiness>): Promise<Sent> {
  exchange.route = "metrics";
  await ready().catch(() => undefined);
  const headers = { "content-type": registry.contentType, "cache-control": "no-store" };
  return send(exchange, { status: 200, headers, body: await registry.metrics() });
}
