import { describe, expect, it } from "vitest";
import { newId } from "#runtime/internal.ts";
import { madeId } from "./made-id.ts";

const request = { seed: "call_01JDK3V6Q8ABCDEFGHJKMNPQRS", newId };

describe("an id that we make", () => {
  it("is a ULID with the prefix and the time of its request", () => {
    expect(madeId(request, { prefix: "scan", index: 0 })).toMatch(/^scan_01JDK3V6Q8[0-9A-HJKMNP-TV-Z]{16}$/);
  });

  it("is the same when the call is repeated, in any process", () => {
    expect(madeId(request, { prefix: "scan", index: 7 })).toBe(madeId({ ...request }, { prefix: "scan", index: 7 }));
  });

  it("is another for each touch, prefix and request", () => {
    const ids = new Set<string>();
    for (const seed of [request.seed, newId("call"), newId("call")])
      for (const prefix of ["scan", "imp"])
        for (let index = 0; index < 1_000; index += 1) ids.add(madeId({ seed, newId }, { prefix, index }));
    expect(ids.size).toBe(6_000);
  });

  it("comes from the context where a request has no seed", () => {
    expect(madeId({ newId: (prefix) => `${prefix}_7` }, { prefix: "scan", index: 0 })).toBe("scan_7");
  });
});
