import type { Gossip } from "#runtime/gossip.ts";

/** Calls that were counted against one limit. */
export interface Counted {
  /** Class of the limit: "query". */
  name: string;
  /** Counter in it; no blank in it. */
  key: string;
  calls: number;
  /** Milliseconds until its window ends, so that clocks need not agree. */
  leftMs: number;
}

/** Lines of one message at most: some 64 kB. */
const LINES = 1_000;
/** "query 9f86d081884c7d65 3 59400" */
const LINE = /^([a-z]{1,32}) (\S{1,64}) ([1-9]\d{0,6}) (\d{1,9})$/;

/** Tells the other gateways what was counted here, all of one turn of the event loop together. */
export function openTeller(gossip: Gossip): (counted: Omit<Counted, "calls">) => void {
  let turn = new Map<string, Counted>();
  const tell = (): void => {
    const lines = [...turn.values()].map(({ name, key, calls, leftMs }) => `${name} ${key} ${calls} ${leftMs}`);
    turn = new Map();
    for (let from = 0; from < lines.length; from += LINES)
      gossip.say("limits", Buffer.from(lines.slice(from, from + LINES).join("\n"), "latin1"));
  };
  return ({ name, key, leftMs }) => {
    if (turn.size === 0) setImmediate(tell);
    const counter = `${name} ${key}`;
    const known = turn.get(counter);
    if (known === undefined) turn.set(counter, { name, key, calls: 1, leftMs: Math.max(0, Math.ceil(leftMs)) });
    else known.calls += 1;
  };
}

/** What another gateway tells; lines that are not as we write them are left out. */
export function heard(payload: Uint8Array): Counted[] {
  const lines = Buffer.from(payload).toString("latin1").split("\n", LINES);
  return lines.flatMap((line) => {
    const [, name, key, calls, leftMs] = LINE.exec(line) ?? [];
    if (name === undefined || key === undefined) return [];
    return [{ name, key, calls: Number(calls), leftMs: Number(leftMs) }];
  });
}
