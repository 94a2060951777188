import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { eventually } from "../e2e/eventually.ts";
import { PHONE } from "../e2e/phones.ts";
import { caller } from "../support/waymark.ts";
import { countsOf, expectBalance, nothingQueued, type System, startSystem } from "./system.ts";

/** What must be known everywhere is known within this time. */
const SOON = { timeout: 2_000, interval: 20 };

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

const gateways = () => system.cluster.urls.map(caller);
const readyz = async (url: string) => (await caller(url)("GET", "/readyz")).body;

async function makeCode(id: string, destination: string): Promise<void> {
  const body = { id, name: id, prompt: "-", short_id: id, destination };
  // What was away in the test before may need a moment more.
  await eventually(async () => {
    const { status } = await system.call("POST", "/v1/qpr-codes", { key: system.key, body });
    expect([200, 409]).toContain(status);
  });
}

describe("over two gateways", () => {
  it("a revoked key is refused by both within two seconds", async () => {
    const { call, key } = system;
    const made = await call("POST", "/waymark/v1/keys", {
      key,
      body: { name: "to be revoked", scopes: ["scans:read"] },
    });
    const { secret } = made.body;
    const ask = async () => Promise.all(gateways().map((one) => one("GET", "/v1/scans?limit=1", { key: secret })));
    expect((await ask()).map(({ status }) => status)).toEqual([200, 200]);
    await call("DELETE", `/waymark/v1/keys/${made.body.key.id}`, { key });
    await vi.waitFor(async () => expect((await ask()).map(({ status }) => status)).toEqual([403, 403]), SOON);
  });

  it("a changed destination is served by both within two seconds", async () => {
    await makeCode("moves", "https://example.com/before");
    const ask = async () => {
      const answers = await Promise.all(gateways().map((one) => one("GET", "/s/moves")));
      return answers.map(({ headers }) => headers.get("location"));
    };
    expect(await ask()).toEqual(["https://example.com/before", "https://example.com/before"]);
    const body = { destination: "https://example.com/after" };
    await system.call("PATCH", "/v1/qpr-codes/moves", { key: system.key, body });
    const after = ["https://example.com/after", "https://example.com/after"];
    await vi.waitFor(async () => expect(await ask()).toEqual(after), SOON);
  });

  it("a limit holds for both together", async () => {
    const env = { WAYMARK_RATE_LIMITS: "default=20/600" };
    const own = await Promise.all([system.cluster.gateway(env), system.cluster.gateway(env)]);
    const callers = own.map(({ url }) => caller(url));
    const statuses: number[] = [];
    for (let n = 0; n < 40; n += 1) {
      const one = callers[n % 2] as ReturnType<typeof caller>;
      statuses.push((await one("GET", "/api/v1/tags", { key: system.key })).status);
    }
    const allowed = statuses.filter((status) => status === 200).length;
    expect(allowed).toBeGreaterThanOrEqual(20);
    expect(allowed).toBeLessThanOrEqual(22);
    expect(statuses.at(-1)).toBe(429);
    for (const part of own) await part.end("SIGTERM");
  });
});

describe("over two replicas of scans", () => {
  it("the projection runs in one of them, and in the other within ten seconds when that dies", async () => {
    const parts = system.cluster.parts("scans");
    const held = async () => Promise.all(parts.map(async ({ url }) => (await readyz(url)).lag["held.scans"] as number));
    const [first] = [
      await eventually(async () => {
        const all = await held();
        expect(all.toSorted()).toEqual([0, 1]);
        return all.indexOf(1);
      }),
    ];
    const [dying, living] = [parts[first], parts[1 - first]] as [(typeof parts)[number], (typeof parts)[number]];
    await dying.end("SIGKILL");
    const takes = async () => expect((await readyz(living.url)).lag["held.scans"]).toBe(1);
    await vi.waitFor(takes, { timeout: 10_000, interval: 100 });
    await dying.again();
  });
});

describe("a known code goes on redirecting, and its touches are counted once, later", () => {
  it.each(["scans", "nats", "mongodb"] as const)("without %s", async (part) => {
    const { cluster, nats, mongodb, watch } = system;
    const id = `without-${part}`;
    await makeCode(id, "https://example.com/there");
    const headers = { "user-agent": PHONE };
    const scan = async () => {
      const answers = await Promise.all(gateways().map((one) => one("GET", `/s/${id}`, { headers })));
      return answers.map(({ status }) => status);
    };
    expect(await scan()).toEqual([302, 302]);
    if (part === "scans") await Promise.all(cluster.parts("scans").map((one) => one.end("SIGKILL")));
    else await (part === "nats" ? nats : mongodb).kill("SIGKILL");
    for (let n = 0; n < 10; n += 1) expect(await scan()).toEqual([302, 302]);
    await expectTold(part);
    if (part === "nats") {
      const { body } = await system.call("GET", "/waymark/v1/ledger", { key: system.key });
      expect(body).toMatchObject({ waiting: expect.any(Number), withoutLog: true, total: { balanced: true } });
    }
    if (part === "scans") await Promise.all(cluster.parts("scans").map((one) => one.again()));
    else await (part === "nats" ? nats : mongodb).restart();
    await nothingQueued(system);
    await eventually(async () => {
      await watch.idle();
      expect(await countsOf(system, id)).toEqual({ documents: 22, counted: 22, analytics: 22 });
    });
    await expectBalance(system);
  });
});

/** What a gateway says while a part is away: that touches wait, and who does not answer. The ledger says so once it can be asked. */
async function expectTold(part: "scans" | "nats" | "mongodb"): Promise<void> {
  await eventually(async () => {
    for (const url of system.cluster.urls) {
      const { ready, dependencies, lag } = await readyz(url);
      expect([ready, lag.queued_touches > 0]).toEqual([true, true]);
      const words = part === "nats" ? dependencies.log : dependencies.scans;
      expect(words).not.toBe("ok");
    }
  });
}
