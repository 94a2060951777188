import { getEventListeners } from "node:events";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, it, vi } from "vitest";
import { reasonOf } from "../failure.ts";
import { NEVER, untilAborted, withDeadline } from "./deadline.ts";

const never = () => new Promise<never>(() => {});
const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
const listeners = (signal: AbortSignal) => getEventListeners(signal, "abort").length;

it("gives what the work gives, and leaves neither timer nor listener", async () => {
  const { signal } = new AbortController();
  const before = timers();
  expect(await withDeadline(async () => 7, { signal, timeoutMs: 60_000 })).toBe(7);
  await expect(withDeadline(() => Promise.reject(new Error("no")), { signal, timeoutMs: 60_000 })).rejects.toThrow(
    "no",
  );
  expect([timers() - before, listeners(signal)]).toEqual([0, 0]);
});

it("rejects at the deadline though the work never ends, and leaves neither timer nor listener", async () => {
  const { signal } = new AbortController();
  const before = timers();
  const begun = performance.now();
  const error = await withDeadline(never, { signal, timeoutMs: 20 }).catch((error: unknown) => error);
  expect(reasonOf(error)?.reason).toBe("DEADLINE");
  expect(performance.now() - begun).toBeGreaterThan(15);
  expect([timers() - before, listeners(signal)]).toEqual([0, 0]);
});

it("aborts the work's signal at the deadline, with the reason", async () => {
  let seen: AbortSignal = NEVER;
  const work = (signal: AbortSignal) => {
    seen = signal;
    return never();
  };
  await withDeadline(work, { signal: undefined, timeoutMs: 1 }).catch(() => undefined);
  expect([seen.aborted, reasonOf(seen.reason)?.reason]).toEqual([true, "DEADLINE"]);
});

it("passes the caller's end on to the work and rejects at once, long before the deadline", async () => {
  const caller = new AbortController();
  const before = timers();
  let seen: AbortSignal = NEVER;
  const running = withDeadline(
    (signal) => {
      seen = signal;
      return never();
    },
    { signal: caller.signal, timeoutMs: 60_000 },
  );
  caller.abort(new Error("gone"));
  const error = await running.catch((error: unknown) => error);
  expect(ConnectError.from(error).code).toBe(Code.Canceled);
  expect((error as Error).cause).toBe(caller.signal.reason);
  expect([seen.aborted, timers() - before, listeners(caller.signal)]).toEqual([true, 0, 0]);
});

it("passes a deadline further out on as what it is", async () => {
  const outer = withDeadline((signal) => withDeadline(never, { signal, timeoutMs: 60_000 }), {
    signal: undefined,
    timeoutMs: 5,
  });
  expect(reasonOf(await outer.catch((error: unknown) => error))?.reason).toBe("DEADLINE");
});

it("starts nothing for a caller that is gone already", async () => {
  const work = vi.fn(never);
  const error = await withDeadline(work, { signal: AbortSignal.abort(), timeoutMs: 60_000 }).catch((e: unknown) => e);
  expect([ConnectError.from(error).code, work.mock.calls.length]).toEqual([Code.Canceled, 0]);
});

it("gives what work throws at once, and leaves neither timer nor listener", async () => {
  const { signal } = new AbortController();
  const before = timers();
  const work = () => {
    throw new Error("at once");
  };
  await expect(withDeadline(work, { signal, timeoutMs: 60_000 })).rejects.toThrow("at once");
  expect([timers() - before, listeners(signal)]).toEqual([0, 0]);
});

it.each([2 ** 31, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY])(
  "does not end at once for %s ms",
  async (timeoutMs) => {
    const slow = () => new Promise((resolve) => setTimeout(resolve, 10, "done"));
    expect(await withDeadline(slow, { signal: undefined, timeoutMs })).toBe("done");
  },
);

it.each([0, -5])("ends work that may take %i ms", async (timeoutMs) => {
  const error = await withDeadline(never, { signal: undefined, timeoutMs }).catch((error: unknown) => error);
  expect(reasonOf(error)?.reason).toBe("DEADLINE");
});

it("lets go of a signal that nobody aborts", async () => {
  const { signal } = new AbortController();
  await untilAborted(signal, async () => 1);
  await untilAborted(signal, () => Promise.reject(new Error("no"))).catch(() => undefined);
  expect(listeners(signal)).toBe(0);
  expect(await untilAborted(NEVER, async () => 2)).toBe(2);
  expect(listeners(NEVER)).toBe(0);
});

it("says nothing of a failure that comes after the end", async () => {
  const unhandled = vi.fn();
  process.on("unhandledRejection", unhandled);
  const late = () => new Promise((_resolve, reject) => setTimeout(reject, 5, new Error("late")));
  await withDeadline(late, { signal: undefined, timeoutMs: 1 }).catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, 10));
  process.off("unhandledRejection", unhandled);
  expect(unhandled).not.toHaveBeenCalled();
});
