import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../e2e/eventually.ts";
import { countsOf, expectBalance, nothingQueued, type System, startSystem } from "./system.ts";

const MB = 1024 * 1024;

describe("a log that is full", () => {
  let system: System;
  beforeAll(async () => {
    system = await startSystem({ nats: { maxStoreBytes: 4 * MB } });
  });
  afterAll(() => system?.stop());

  it("sheds with 503 and when to come again, redirects all the same, and counts everything once there is room", async () => {
    const { call, key, nats, watch } = system;
    const load = await system.load("full");
    const filler = "x".repeat(2_000);
    let shed = 0;
    for (let n = 0; n < 400 && shed < 3; n += 1) {
      const scans = Array.from({ length: 20 }, (_, i) => ({
        ...{ id: `filler-${n}-${i}`, qpr_code_id: "full-api", metadata: { filler } },
      }));
      const answer = await call("POST", "/v1/scans", { key, body: { scans } });
      if (answer.status !== 200) {
        expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, expect.stringMatching(/^\d+$/)]);
        shed += 1;
      }
    }
    expect(shed).toBe(3);
    await delay(500);
    const { answered } = load.redirects;
    await eventually(() => expect(load.redirects.answered).toBeGreaterThan(answered + 5));
    expect(load.redirects.other).toEqual([]);
    await nats.restart({ maxStoreBytes: 256 * MB });
    await load.works();
    await load.stop();
    await nothingQueued(system);
    await watch.idle();
    expect((await countsOf(system, "full-phone")).counted).toBeGreaterThanOrEqual(load.redirects.answered);
    expect((await countsOf(system, "full-api")).counted).toBeGreaterThanOrEqual(load.acknowledged.size);
    expect((await expectBalance(system)).shed).toBeGreaterThan(0);
  });
});

describe("an entry that no projection can read", () => {
  let system: System;
  beforeAll(async () => {
    system = await startSystem();
  });
  afterAll(() => system?.stop());

  it("is set aside with an alarm, and what comes after it in its partition is counted", async () => {
    const { call, key, watch, cluster } = system;
    const load = await system.load("poison");
    await load.works();
    const poison = {
      subject: "touches.marketing",
      key: "poison-api",
      payload: Buffer.from("no touch at all"),
    } as const;
    await watch.log.append([poison], "poison-1");
    await load.works();
    await load.stop();
    await watch.idle();
    const wanted = load.acknowledged.size;
    expect(await countsOf(system, "poison-api")).toMatchObject({ documents: wanted, counted: wanted });
    const gauges = await Promise.all(
      cluster.parts("scans").map(({ url }) => fetch(`${url}/readyz`).then((answer) => answer.json())),
    );
    const poisoned = (gauges as { lag: Record<string, number> }[]).map(({ lag }) => lag["poison.scans"] ?? 0);
    expect(Math.max(...poisoned)).toBe(1);
    const said = cluster.parts("scans").map((part) => part.output());
    expect(said.join("\n")).toMatch(/"kind":"poison"/);
    expect(said.join("\n")).not.toContain("no touch at all");
    const { body } = await call("GET", "/waymark/v1/ledger", { key });
    expect(body.total.balanced).toBe(true);
  });
});
