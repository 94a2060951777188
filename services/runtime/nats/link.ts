import type { NatsConnection } from "@nats-io/transport-node";
import { fail } from "../log/reasons.ts";
import type { Logger } from "../logger.ts";

const PULSE_MS = 1000;
/** A server that takes longer to answer a ping counts as down. */
const ANSWER_MS = 1500;

/** Whether the servers answer. */
export interface Link {
  /** True while connected to a server that answers. A server that hangs is noticed within three seconds. */
  isUp: () => boolean;
  /** Resolves with true when it is up, with false when the time is over, the signal aborts or the connection was closed. */
  untilUp: (timeoutMs: number, signal?: AbortSignal) => Promise<boolean>;
  /** Calls the listener each time the connection is lost: what was asked over it will not be answered. Returns how to stop. */
  onLost: (listener: () => void) => () => void;
}

interface Watched extends Link {
  stop: () => void;
}

/** Watches a connection: by what the client says of it, and by a ping each second. */
export function watchLink(connection: NatsConnection, log?: Pick<Logger, "info" | "warn">): Watched {
  const lost = new Set<() => void>();
  const waiting = new Set<() => void>();
  let isConnected = true;
  let isAnswering = true;
  let isStopped = false;
  const isUp = () => isConnected && isAnswering && !isStopped;
  const change = (to: { isConnected?: boolean; isAnswering?: boolean }) => {
    const before = isUp();
    isConnected = to.isConnected ?? isConnected;
    isAnswering = to.isAnswering ?? isAnswering;
    if (isUp() === before) return;
    if (before) log?.warn("NATS does not answer");
    else log?.info("NATS answers again");
    if (isUp()) for (const wake of waiting) wake();
  };
  const stopPulse = startPulse(connection, (isAnswering) => change({ isAnswering }));
  const stop = () => {
    isStopped = true;
    stopPulse();
    for (const wake of waiting) wake();
  };
  void followStatus(connection, (isConnected) => {
    change(isConnected ? { isConnected, isAnswering: true } : { isConnected });
    if (!isConnected) for (const listener of lost) listener();
  }).then(stop);

  const untilUp: Link["untilUp"] = (timeoutMs, signal) => {
    if (isUp() || isStopped || signal?.aborted === true) return Promise.resolve(isUp());
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        waiting.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve(isUp());
      };
      const timer = setTimeout(wake, timeoutMs);
      waiting.add(wake);
      signal?.addEventListener("abort", wake, { once: true });
    });
  };
  const onLost: Link["onLost"] = (listener) => {
    lost.add(listener);
    return () => lost.delete(listener);
  };
  return { isUp, untilUp, onLost, stop };
}

/** The answer, or LOG_UNAVAILABLE as soon as the connection is lost: the client would wait for what cannot come any more. */
export async function unlessLost<T>(link: Pick<Link, "onLost">, answer: Promise<T>): Promise<T> {
  const lost = Promise.withResolvers<never>();
  const stop = link.onLost(() => lost.reject(fail("LOG_UNAVAILABLE", { why: "the connection was lost" })));
  try {
    return await Promise.race([answer, lost.promise]);
  } finally {
    stop();
    answer.catch(() => {}); // it may still time out after the race
  }
}

/** Resolves when the connection is closed for good. */
async function followStatus(connection: NatsConnection, onChange: (isConnected: boolean) => void): Promise<void> {
  for await (const { type } of connection.status()) {
    if (type === "disconnect") onChange(false);
    else if (type === "reconnect") onChange(true);
    else if (type === "close") break;
  }
}

// One ping is on its way at a time: a server that hangs is not sent one after another.
function startPulse(connection: NatsConnection, onAnswer: (isAnswering: boolean) => void): () => void {
  let isAsked = false;
  const ask = () => {
    if (isAsked) return;
    isAsked = true;
    const late = setTimeout(() => onAnswer(false), ANSWER_MS);
    late.unref();
    const end = (isAnswering: boolean) => {
      clearTimeout(late);
      isAsked = false;
      onAnswer(isAnswering);
    };
    connection.flush().then(
      () => end(true),
      () => end(false),
    );
  };
  const timer = setInterval(ask, PULSE_MS);
  timer.unref();
  return () => clearInterval(timer);
}
