import { describe, expect, it } from "vitest";
import { trackCalls } from "./calls.ts";

const never = () => new Promise<never>(() => undefined);

describe("a call of the driver", () => {
  it("gives what it gives, and throws what it throws", async () => {
    const calls = trackCalls(1_000);
    expect(await calls.make(async () => 7)).toBe(7);
    await expect(calls.make(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  });

  it("that never settles ends at its limit", async () => {
    await expect(trackCalls(20).make(never)).rejects.toThrow("the store does not answer");
  });

  it("that never settles ends soon after connections were lost, and others go on", async () => {
    const calls = trackCalls(60_000);
    const hung = calls.make(never);
    calls.lost();
    const later = Promise.withResolvers<string>();
    const fresh = calls.make(() => later.promise);
    await expect(hung).rejects.toThrow("the store does not answer");
    later.resolve("done");
    expect(await fresh).toBe("done");
  });

  it("does not keep a close waiting for ever, and none is made after it", async () => {
    const calls = trackCalls(20);
    const hung = calls.make(never).catch((error: Error) => error.message);
    await calls.close();
    expect(await hung).toContain("does not answer");
    await expect(calls.make(async () => 7)).rejects.toThrow("is closed");
  });
});
