import { describe, expect, it } from "vitest";
import { reasonOf } from "#runtime/failure.ts";
import { openGate } from "./gate.ts";

const NEVER = new AbortController().signal;

describe("a gate", () => {
  it("lets those through who wait, once it opens, and those who come then", async () => {
    const gate = openGate<string>(5_000);
    const waiting = [gate.pass(NEVER), gate.pass(NEVER)];
    gate.open("first");
    expect(await Promise.all([...waiting, gate.pass(NEVER)])).toEqual(["first", "first", "first"]);
  });

  it("leads to the new thing after it was closed", async () => {
    const gate = openGate<string>(5_000);
    gate.open("first");
    gate.close();
    gate.close();
    const waiting = gate.pass(NEVER);
    gate.open("second");
    expect([await waiting, await gate.pass(NEVER)]).toEqual(["second", "second"]);
  });

  it("sends away who has waited long enough, or whose caller has gone", async () => {
    const gate = openGate<string>(20);
    const late = await gate.pass(NEVER).catch((error: unknown) => reasonOf(error)?.reason);
    expect(late).toBe("NOT_READY");
    const caller = new AbortController();
    const waiting = gate.pass(caller.signal);
    caller.abort(new Error("gone"));
    await expect(waiting).rejects.toThrow("gone");
  });
});
