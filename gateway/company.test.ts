import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import type { RateLimits } from "#runtime/config.ts";
import type { Gossip } from "#runtime/gossip.ts";
import { type Call, type Limiter, openLimiter, type Standing } from "./limit.ts";

const KEY = Buffer.alloc(32, 3);
const CALL: Call = { rateClass: "", principal: { keyId: "key_1", keyClass: "production" }, ip: "203.0.113.9" };

const open: Limiter[] = [];
afterEach(() => {
  for (const limiter of open.splice(0)) limiter.close();
});

/** Gossip between stand-ins for processes: what one says, all others hear when it is delivered. */
function openParish() {
  const listeners = new Set<(from: object, payload: Uint8Array) => void>();
  const messages: Uint8Array[] = [];
  let waiting: (() => void)[] = [];
  const join = (): Gossip => {
    const self = {};
    return {
      say: (_topic, payload) => {
        messages.push(payload);
        waiting.push(() => {
          for (const listener of listeners) listener(self, payload);
        });
      },
      hear: (_topic, listener) => {
        const hear = (from: object, payload: Uint8Array): void => {
          if (from !== self) listener(payload);
        };
        listeners.add(hear);
        return () => listeners.delete(hear);
      },
    };
  };
  /** Lets the turn end and delivers everything. */
  const deliver = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    const all = waiting;
    waiting = [];
    for (const one of all) one();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { join, deliver, messages };
}

function gateways(count: number, limits: RateLimits) {
  const parish = openParish();
  const limiters = Array.from({ length: count }, () => openLimiter(limits, { gossip: parish.join(), key: KEY }));
  open.push(...limiters);
  return { ...parish, limiters, at: (index: number) => limiters[index] as Limiter };
}

const take = async (limiter: Limiter, call = CALL) => (await limiter.take(call)) as Standing;

describe("gateways in company", () => {
  it("count together, and tell callers the sum", async () => {
    const { at, deliver } = gateways(3, { default: { count: 10, seconds: 60 } });
    for (const index of [0, 1, 2, 0]) {
      await take(at(index));
      await deliver();
    }
    const standing = await take(at(1));
    expect(standing).toMatchObject({ allowed: true, limit: 10, remaining: 5 });
    expect(standing.resetMs).toBeLessThanOrEqual(60_000);
  });

  it("refuse everywhere what is used up anywhere", async () => {
    const { at, deliver } = gateways(2, { default: { count: 2, seconds: 60 } });
    await take(at(0));
    await take(at(0));
    await deliver();
    expect(await take(at(1))).toMatchObject({ allowed: false, remaining: 0 });
    expect(await take(at(1), { ...CALL, principal: { ...CALL.principal, keyId: "key_2" } })).toMatchObject({
      allowed: true,
    });
  });

  it("end a window together", async () => {
    const { at, deliver } = gateways(2, { default: { count: 1, seconds: 1 } });
    await take(at(0));
    await new Promise((resolve) => setTimeout(resolve, 300));
    await take(at(0));
    await deliver();
    const refused = await take(at(1));
    expect(refused.allowed).toBe(false);
    expect(refused.resetMs).toBeLessThanOrEqual(1_000);
    await expect.poll(async () => (await take(at(1))).allowed, { timeout: 5_000 }).toBe(true);
  });

  it("count addresses and blame together", async () => {
    const { at, deliver } = gateways(2, { scan: { count: 2, seconds: 60 }, stranger: { count: 2, seconds: 60 } });
    const anonymous: Call = {
      rateClass: "scan",
      principal: { keyId: "", keyClass: "anonymous" },
      ip: "203.0.113.9",
    };
    await take(at(0), anonymous);
    await take(at(1), anonymous);
    await at(0).blame("203.0.113.9");
    await at(1).blame("203.0.113.9");
    await deliver();
    expect(await take(at(0), anonymous)).toMatchObject({ allowed: false });
    expect(await at(0).blamed("203.0.113.9")).toMatchObject({ allowed: false });
    expect(await at(1).blamed("203.0.113.9")).toMatchObject({ allowed: false });
    expect(await at(1).blamed("203.0.113.10")).toBeUndefined();
  });

  it("say what one turn has counted in one message, without an address or the id of a key", async () => {
    const { at, deliver, messages } = gateways(2, { default: { count: 100, seconds: 60 } });
    await Promise.all(Array.from({ length: 50 }, () => take(at(0))));
    await at(0).blame("203.0.113.9");
    await deliver();
    expect(messages).toHaveLength(1);
    const text = Buffer.from(messages[0] as Uint8Array).toString();
    expect(text).toMatch(/^production [0-9a-f]{16} 50 \d+\nstranger \d+ 1 \d+$/);
    expect(text).not.toMatch(/key_1|203/);
  });

  it("say nothing of calls that were refused", async () => {
    const { at, deliver, messages } = gateways(2, { default: { count: 1, seconds: 60 } });
    await take(at(0));
    await deliver();
    await take(at(0));
    await take(at(1));
    await deliver();
    expect(messages).toHaveLength(1);
  });

  it("are not led astray by what is no message", async () => {
    const { at, join, deliver } = gateways(1, { default: { count: 5, seconds: 60 } });
    const stranger = join();
    const lines = ["", "production", "production k -1 5", "production k 1 99999999", "a b c d", "\u0000\uffff"];
    for (const line of lines) stranger.say("limits", Buffer.from(line));
    await deliver();
    expect(await take(at(0))).toMatchObject({ allowed: true, remaining: 4 });
  });

  it("limit by themselves when they hear nothing", async () => {
    const { at } = gateways(2, { default: { count: 1, seconds: 60 } });
    await take(at(0));
    expect(await take(at(1))).toMatchObject({ allowed: true });
    expect(await take(at(0))).toMatchObject({ allowed: false });
  });

  it("let no more through than the limit and what is on its way, however calls and deliveries fall", async () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.nat(2) },
      { weight: 2, arbitrary: fc.constant("deliver" as const) },
    );
    const run = async (limit: number, steps: readonly (number | "deliver")[]): Promise<void> => {
      const { at, deliver } = gateways(3, { default: { count: limit, seconds: 600 } });
      let [allowed, onTheWay, mostOnTheWay] = [0, 0, 0];
      for (const next of steps) {
        if (next === "deliver") {
          await deliver();
          onTheWay = 0;
        } else if ((await take(at(next))).allowed) {
          allowed += 1;
          onTheWay += 1;
          mostOnTheWay = Math.max(mostOnTheWay, onTheWay);
        }
      }
      expect(allowed).toBeLessThanOrEqual(limit + mostOnTheWay);
      const calls = steps.filter((next) => next !== "deliver").length;
      expect(allowed).toBeGreaterThanOrEqual(Math.min(limit, calls));
    };
    await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 12 }), fc.array(step, { maxLength: 60 }), run), {
      numRuns: 60,
    });
  });
});
