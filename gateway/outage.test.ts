import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LedgerService } from "#gen/waymark/scans/v1/ledger_pb.ts";
import { ScanService } from "#gen/waymark/scans/v1/scans_pb.ts";
import { openDoor, targetOf } from "./fixture/door.ts";

type Door = Awaited<ReturnType<typeof openDoor>>;

let doors: Door[];
let folder: string;
beforeEach(async () => {
  doors = [];
  folder = await mkdtemp(join(tmpdir(), "outage-"));
});
afterEach(async () => {
  for (const door of doors) await door.close();
  await rm(folder, { recursive: true });
});

async function open(given: Parameters<typeof openDoor>[0] = {}): Promise<Door> {
  const door = await openDoor(given);
  doors.push(door);
  door.world.targets.set("abc123", targetOf({ destination: "https://example.com/" }));
  return door;
}

const down = () => Promise.reject(new ConnectError("down", Code.Unavailable));
const hung = () => new Promise<never>(() => undefined);
const locationOf = async ({ get }: Door) => (await get("/s/abc123")).headers.get("location");
const readyz = async ({ get }: Door) => {
  const response = await get("/readyz");
  const body = (await response.json()) as { ready: boolean; dependencies: Record<string, string> };
  return { status: response.status, body };
};

describe("while intake is down", () => {
  it("a gateway sends on, is ready, says what is wrong, and brings each touch once when intake is back", async () => {
    const door = await open();
    door.world.failing.set("recordTouches", down);
    const statuses = await Promise.all(Array.from({ length: 50 }, async () => (await door.get("/s/abc123")).status));
    expect(new Set(statuses)).toEqual(new Set([302]));
    expect(await readyz(door)).toMatchObject({
      status: 200,
      body: { ready: true, dependencies: { scans: "does not answer" }, lag: { queued_touches: 50 } },
    });
    expect(await (await door.get("/metrics")).text()).toMatch(/waymark_redirect_queue 50\n/);
    door.world.failing.clear();
    await expect.poll(() => door.pendingTouches(), { timeout: 10_000 }).toBe(0);
    const ids = door.world.touches.map(({ id }) => id);
    expect([ids.length, new Set(ids).size]).toEqual([50, 50]);
    expect((await readyz(door)).body.dependencies).toEqual({ store: "ok" });
  });

  it("a touch keeps the time, address and agent of its scan over a restart of the gateway", async () => {
    const first = await open({ folder, now: () => 1_700_000_000_000 });
    first.world.failing.set("recordTouches", down);
    await first.get("/s/abc123", { headers: { "user-agent": "a phone", "x-forwarded-for": "203.0.113.9" } });
    await first.close();
    expect(first.world.touches).toEqual([]);
    const second = await open({ folder });
    await expect.poll(() => second.world.touches.length).toBe(1);
    expect(second.world.touches[0]).toMatchObject({
      ...{ codeId: "qpr_1", ip: "203.0.113.9", userAgent: "a phone" },
      scannedAt: { seconds: 1_700_000_000n },
    });
    expect(second.world.recorders[0]).toMatchObject({ workspace: "acme", test: false });
    expect(second.pendingTouches()).toBe(0);
  });

  it("two gateways cannot have one queue", async () => {
    await open({ folder });
    await expect(openDoor({ folder })).rejects.toThrow(/in use/);
  });
});

describe("while codes is down", () => {
  it.each([
    ["does not answer", down],
    ["hangs", hung],
  ])("and %s, a known code is sent on, and the gateway says what is wrong", async (_says, failure) => {
    const clock = { now: Date.now() };
    const door = await open({ now: () => clock.now, newsAreFresh: () => false });
    await door.get("/s/abc123");
    door.world.failing.set("resolveShortId", failure);
    for (let hour = 0; hour < 3; hour += 1) {
      clock.now += 3_600_000;
      expect(await locationOf(door)).toBe("https://example.com/");
    }
    expect((await readyz(door)).body).toMatchObject({ ready: true, dependencies: { codes: "does not answer" } });
  });
});

describe("a change", () => {
  it("of a destination is served at once when it is told, and after a second when it is not", async () => {
    const clock = { now: Date.now() };
    const isFresh = { now: true };
    const door = await open({ now: () => clock.now, newsAreFresh: () => isFresh.now });
    expect(await locationOf(door)).toBe("https://example.com/");
    door.world.targets.set("abc123", targetOf({ destination: "https://example.com/2" }));
    door.codesChanged({ objectId: "qpr_1", aliases: ["abc123"] });
    expect(await locationOf(door)).toBe("https://example.com/2");
    isFresh.now = false;
    door.world.targets.set("abc123", targetOf({ destination: "https://example.com/3" }));
    clock.now += 1_000;
    expect(await locationOf(door)).toBe("https://example.com/3");
    isFresh.now = true;
    door.world.targets.set("abc123", targetOf({ destination: "https://example.com/4" }));
    door.changesMissed();
    clock.now += 1;
    expect(await locationOf(door)).toBe("https://example.com/4");
  });
});

describe("a revoked key", () => {
  async function openWithKey() {
    const clock = { now: Date.now() };
    const isFresh = { now: true };
    const routes = (
      router: Parameters<NonNullable<NonNullable<Parameters<typeof openDoor>[0]>["routes"]>>[0],
    ): void => {
      router.service(ScanService, { getScan: ({ scanId }) => ({ scan: { id: scanId } }) });
    };
    const given = { routes, services: [ScanService], now: () => clock.now, newsAreFresh: () => isFresh.now };
    const door = await open(given);
    door.world.keys.set("all", { scopes: ["admin"] });
    const status = async () => (await door.get("/v1/scans/scan_1", { headers: { "x-api-key": "all" } })).status;
    expect(await status()).toBe(200);
    return { door, clock, isFresh, status };
  }

  it("is refused at once when it is told", async () => {
    const { door, clock, status } = await openWithKey();
    door.world.keys.set("all", { scopes: ["admin"], revoked: true });
    clock.now += 10_000;
    expect(await status()).toBe(200);
    door.keysChanged({ objectId: "id of all", aliases: [] });
    expect(await status()).toBe(403);
  });

  it("is refused within a second when changes are not told, or may have been missed", async () => {
    const { door, clock, isFresh, status } = await openWithKey();
    isFresh.now = false;
    door.world.keys.set("all", { scopes: ["admin"], revoked: true });
    clock.now += 1_000;
    expect(await status()).toBe(403);
    isFresh.now = true;
    door.world.keys.set("all", { scopes: ["admin"] });
    expect(await status()).toBe(403);
    door.changesMissed();
    expect(await status()).toBe(200);
  });

  it("is not let in because nobody can be asked: 503", async () => {
    const { door, clock, isFresh, status } = await openWithKey();
    isFresh.now = false;
    door.world.failing.set("authenticate", down);
    clock.now += 1_000;
    expect(await status()).toBe(503);
    door.world.failing.set("authenticate", () => Promise.reject(new ConnectError("late", Code.DeadlineExceeded)));
    expect(await status()).toBe(503);
  });
});

describe("a workspace whose touches wait", () => {
  it("can have the ledger say how many, and no other workspace can", async () => {
    const waiting: (string | null)[] = [];
    const door = await open({
      services: [LedgerService],
      routes: (router) => {
        router.service(LedgerService, {
          getLedger: (_request, { requestHeader }) => {
            waiting.push(requestHeader.get("waymark-waiting"));
            return { waiting: BigInt(requestHeader.get("waymark-waiting") ?? 0) || undefined };
          },
        });
      },
    });
    door.world.keys.set("one", { scopes: ["admin"] });
    door.world.keys.set("two", { scopes: ["admin"], workspace: "beta" });
    const ask = (key: string) =>
      door.get("/waymark/v1/ledger", { headers: { "x-api-key": key, "waymark-waiting": "9" } });
    await ask("one");
    door.world.failing.set("recordTouches", down);
    await door.get("/s/abc123");
    await door.get("/s/abc123");
    expect(await (await ask("one")).json()).toMatchObject({ waiting: 2 });
    await ask("two");
    door.world.failing.clear();
    await expect.poll(() => door.pendingTouches(), { timeout: 10_000 }).toBe(0);
    await ask("one");
    expect(waiting).toEqual([null, "2", null, null]);
  });
});

describe("a workspace that has written", () => {
  it("tells every service that it calls afterwards up to where, and the public nothing", async () => {
    const after: (string | null)[] = [];
    const door = await open({
      services: [ScanService],
      routes: (router) => {
        router.service(ScanService, {
          getScan: ({ scanId }, { requestHeader, responseHeader }) => {
            after.push(requestHeader.get("waymark-after"));
            if (scanId.startsWith("write-")) responseHeader.set("waymark-position", scanId.slice(6));
            return { scan: { id: scanId } };
          },
        });
      },
    });
    door.world.keys.set("one", { scopes: ["admin"] });
    door.world.keys.set("two", { scopes: ["admin"], workspace: "beta" });
    const headers = (key: string) => ({ "x-api-key": key, "waymark-after": "999" });
    const ask = (id: string, key = "one") => door.get(`/v1/scans/${id}`, { headers: headers(key) });
    const answers = [await ask("a"), await ask("write-17"), await ask("b"), await ask("c", "two")];
    await ask("write-12");
    await ask("d");
    const rpc = "/waymark.scans.v1.ScanService/GetScan";
    const call = { method: "POST", headers: { ...headers("one"), "content-type": "application/json" } };
    answers.push(await door.get(rpc, { ...call, body: '{"scanId":"write-20"}' }));
    await ask("e");
    expect(after).toEqual([null, null, "17", null, "17", "17", "17", "20"]);
    expect(answers.map((answer) => [answer.status, answer.headers.get("waymark-position")])).toEqual(
      answers.map(() => [200, null]),
    );
  });
});
