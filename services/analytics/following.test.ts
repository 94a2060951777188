import { createContextValues, type HandlerContext } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { requestContextKey } from "#runtime/context.ts";
import { internalContext } from "#runtime/internal.ts";
import { AFTER_HEADER } from "#runtime/positions.ts";
import type { Duck } from "./engine/duck.ts";
import { openFollowing } from "./following.ts";

/** A table that comes one entry further each time it is asked, up to `end`; `asked`: how often. */
function table(end: number) {
  const state = { position: 0, asked: 0 };
  const rows = async () => {
    state.asked += 1;
    state.position = Math.min(end, state.position + 1);
    return [{ position: BigInt(state.position), complete: true, appended_at: 0n }];
  };
  return { state, duck: { rows } as unknown as Duck };
}

function callAfter(position: number | undefined, workspace = "acme"): HandlerContext {
  const requestHeader = new Headers(position === undefined ? {} : { [AFTER_HEADER]: String(position) });
  const values = createContextValues().set(requestContextKey, internalContext(workspace));
  return { requestHeader, values, signal: new AbortController().signal } as unknown as HandlerContext;
}

it("a caller that wrote nothing waits for nothing", async () => {
  const { duck, state } = table(10);
  await openFollowing().settled(callAfter(undefined), duck);
  expect(state.asked).toBe(0);
});

it("a caller reads what its workspace wrote, and what is known to be there is not asked for again", async () => {
  const { duck, state } = table(10);
  const following = openFollowing();
  await following.settled(callAfter(3), duck);
  expect(state.position).toBe(3);
  await following.settled(callAfter(2), duck);
  expect(state.asked).toBe(3);
});

it("a workspace that waited in vain does not wait again for a while; others do", async () => {
  const { duck, state } = table(2);
  const following = openFollowing();
  await following.settled(callAfter(5), duck);
  const asked = state.asked;
  await following.settled(callAfter(5), duck);
  expect(state.asked).toBe(asked);
  await following.settled(callAfter(5, "other"), duck);
  expect(state.asked).toBeGreaterThan(asked);
});
