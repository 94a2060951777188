import { createContextValues, type HandlerContext } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { requestContextKey } from "#runtime/context.ts";
import { internalContext } from "#runtime/internal.ts";
import { openWritten } from "./written.ts";

/** A call of a workspace, which says that it has written up to `after`. */
function callOf(workspace: string, after?: string) {
  const values = createContextValues().set(requestContextKey, internalContext(workspace));
  const requestHeader = new Headers(after === undefined ? {} : { "waymark-after": after });
  return { values, requestHeader, responseHeader: new Headers() } as unknown as HandlerContext;
}

function opened() {
  const state = { counted: 0, asked: 0, now: 1_000_000 };
  const watermark = async (): Promise<number> => {
    state.asked += 1;
    return state.counted;
  };
  return { state, written: openWritten({ store: { watermark }, now: () => state.now }) };
}

/** How the store stood when the reader went on. */
async function countedAfter(wait: Promise<void>, state: { counted: number }): Promise<number> {
  setTimeout(() => {
    state.counted = 7;
  }, 20);
  await wait;
  return state.counted;
}

describe("a reader", () => {
  it("waits for what its workspace wrote here, and no longer", async () => {
    const { state, written } = opened();
    written.note(callOf("acme"), 7);
    expect(await countedAfter(written.settled(callOf("acme")), state)).toBe(7);
    state.asked = 0;
    await written.settled(callOf("acme"));
    expect(state.asked).toBe(0);
  });

  it("waits for what its workspace wrote through another replica", async () => {
    const { state, written } = opened();
    expect(await countedAfter(written.settled(callOf("acme", "7")), state)).toBe(7);
  });

  it("waits for nothing that others wrote, nor for what is no position", async () => {
    const { state, written } = opened();
    written.note(callOf("acme"), 7);
    await written.settled(callOf("beta"));
    await written.settled(callOf("beta", "soon"));
    await written.settled(callOf("beta", "-3"));
    expect(state.asked).toBe(0);
  });

  it("gives up while counting is behind, for its own workspace and for some seconds", async () => {
    const { state, written } = opened();
    await written.settled(callOf("acme", "999"));
    const asked = state.asked;
    await written.settled(callOf("acme", "999"));
    expect(state.asked).toBe(asked);
    await written.settled(callOf("beta", "0"));
    expect(await countedAfter(written.settled(callOf("beta", "7")), state)).toBe(7);
    state.now += 5_000;
    await written.settled(callOf("acme", "7"));
    expect(state.asked).toBeGreaterThan(asked);
  });
});

it("a writer is told up to where it has written", () => {
  const call = callOf("acme");
  opened().written.note(call, 7);
  expect(call.responseHeader.get("waymark-position")).toBe("7");
});
