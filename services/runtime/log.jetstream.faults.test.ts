import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readAll, record, textOf } from "../../test/contract/log.records.ts";
import { type NatsServer, natsMissing, startNats, startNatsCluster } from "../../test/support/nats-server.ts";
import { reasonOf } from "./failure.ts";
import { openJetStreamLog } from "./log.jetstream.ts";
import type { Log, LogEntry } from "./log.ts";
import { type Nats, openNats } from "./nats.ts";

const patiently = { timeout: 20_000, interval: 20 };

/** Appends pairs in several lanes until told to stop; a lane goes on after each acknowledgement, as the same batch after a refusal. */
function load(log: Log, lanes = 6) {
  const acknowledged: string[] = [];
  let isStopped = false;
  const lane = async (name: number) => {
    for (let turn = 0; !isStopped; turn += 1) {
      const texts = ["a", "b"].map((part) => `${name}/${String(turn).padStart(5, "0")}${part}`);
      const records = texts.map((text) => record(text, { key: `code_${name}` }));
      while (!(await log.append(records, `${name}.${turn}`).then(Boolean, () => false))) await delay(20);
      acknowledged.push(...texts);
      await delay(1);
    }
  };
  const done = Promise.all(Array.from({ length: lanes }, (_, name) => lane(name)));
  const stop = async () => {
    isStopped = true;
    await done;
  };
  return { acknowledged, stop };
}

/** Follows the log from its beginning. */
function gather(log: Log) {
  const entries: LogEntry[] = [];
  const stop = new AbortController();
  const done = (async () => {
    for await (const chunk of log.read({ after: 0, follow: stop.signal })) entries.push(...chunk);
  })();
  return {
    entries,
    stop: async () => {
      stop.abort();
      await done;
    },
  };
}

function expectEachOnceInOrder(entries: readonly LogEntry[], acknowledged: readonly string[]): void {
  const texts = entries.map(textOf);
  expect(texts.length).toBe(new Set(texts).size);
  expect(texts.toSorted()).toEqual(acknowledged.toSorted());
  const positions = entries.map(({ position }) => position);
  expect(positions).toEqual(positions.toSorted((a, b) => a - b));
  for (const lane of new Set(texts.map((text) => text.split("/")[0]))) {
    const own = texts.filter((text) => text.startsWith(`${lane}/`));
    expect(own).toEqual(own.toSorted());
  }
}

describe.skipIf(natsMissing())("a log whose NATS server fails", { timeout: 60_000 }, () => {
  let server: NatsServer;
  let nats: Nats;
  let log: Log;
  beforeEach(async () => {
    server = await startNats();
    nats = await openNats({ urls: [server.url], name: "test" });
    log = await openJetStreamLog({ nats });
  });
  afterEach(async () => {
    await server.kill("SIGCONT");
    await log.close();
    await nats.close();
    await server.stop();
  });

  it("loses and doubles nothing, for those who append and those who follow, over kills of the server", async () => {
    const { acknowledged, stop } = load(log);
    const followers = [gather(log), gather(log)];
    for (let round = 0; round < 3; round += 1) {
      const before = acknowledged.length;
      await expect.poll(() => acknowledged.length, patiently).toBeGreaterThan(before + 50);
      await server.kill("SIGKILL");
      await delay(randomInt(0, 400));
      await server.restart();
    }
    await stop();
    for (const { entries, stop } of followers) {
      await expect.poll(() => entries.length, patiently).toBeGreaterThanOrEqual(acknowledged.length);
      await stop();
      expectEachOnceInOrder(entries, acknowledged);
    }
    expectEachOnceInOrder(await readAll(log), acknowledged);
  });

  it("loses and doubles nothing for those who follow while their consumers are deleted", async () => {
    const { acknowledged, stop } = load(log);
    const follower = gather(log);
    const { consumers } = await jetstreamManager(nats.connection);
    for (let round = 0; round < 8; round += 1) {
      const before = follower.entries.length;
      await expect.poll(() => follower.entries.length, patiently).toBeGreaterThan(before + 20);
      for (const { name } of await consumers.list("WAYMARK").next()) {
        await consumers.delete("WAYMARK", name).catch(() => {}); // its reader may have gone on meanwhile
      }
    }
    await stop();
    await expect.poll(() => follower.entries.length, patiently).toBeGreaterThanOrEqual(acknowledged.length);
    await follower.stop();
    expectEachOnceInOrder(follower.entries, acknowledged);
  });

  it("goes on after the server has hung: what waited is there once, and readers follow", async () => {
    const { acknowledged, stop } = load(log);
    const follower = gather(log);
    await expect.poll(() => acknowledged.length, patiently).toBeGreaterThan(20);
    await server.kill("SIGSTOP");
    const appends = Array.from({ length: 5 }, (_, index) => log.append([record(`9/0000${index}`)], `hung ${index}`));
    await expect.poll(nats.isUp, { timeout: 3500 }).toBe(false);
    await delay(2500); // longer than a try
    await server.kill("SIGCONT");
    await Promise.all(appends);
    await expect.poll(nats.isUp, patiently).toBe(true);
    const before = acknowledged.length;
    await expect.poll(() => acknowledged.length, patiently).toBeGreaterThan(before + 20);
    await stop();
    const all = [...acknowledged, ...appends.map((_, index) => `9/0000${index}`)];
    await expect.poll(() => follower.entries.length, patiently).toBeGreaterThanOrEqual(all.length);
    await follower.stop();
    expectEachOnceInOrder(follower.entries, all);
  });

  it("refuses with LOG_UNAVAILABLE within its deadline, and the same append later is there once", async () => {
    const hasty = await openJetStreamLog({ nats, appendDeadlineMs: 1500 });
    await hasty.append([record("first")], "first");
    await server.kill("SIGSTOP");
    const works = [hasty.append([record("late")], "late"), hasty.head(), hasty.ping(), readAll(hasty)];
    const outcomes = await Promise.allSettled(works);
    const reasons = outcomes.map((one) => (one.status === "rejected" ? reasonOf(one.reason)?.reason : "fulfilled"));
    expect(reasons).toEqual(Array(4).fill("LOG_UNAVAILABLE"));
    await server.kill("SIGCONT");
    await expect.poll(nats.isUp, patiently).toBe(true);
    const position = await log.append([record("late")], "late");
    expect((await readAll(log)).map(textOf)).toEqual(["first", "late"]);
    expect(await log.head()).toBe(position);
    await hasty.close();
  });

  it("waits without end while it follows, and begins before the server is there again", async () => {
    const hasty = await openJetStreamLog({ nats, appendDeadlineMs: 500 });
    await hasty.append([record("one")], "a");
    await server.kill("SIGKILL");
    const follower = gather(log);
    await expect(hasty.append([record("two")], "b")).rejects.toThrow("the log does not answer");
    await server.restart();
    await log.append([record("two")], "b");
    await expect.poll(() => follower.entries.map(textOf), patiently).toEqual(["one", "two"]);
    await follower.stop();
    await hasty.close();
  });

  it("closes while the server is away, having refused what waits", async () => {
    const hasty = await openJetStreamLog({ nats, appendDeadlineMs: 500 });
    const follower = gather(hasty);
    await server.kill("SIGKILL");
    const refusal = hasty.append([record("one")], "a").catch((error: unknown) => reasonOf(error)?.reason);
    await hasty.close();
    expect(await refusal).toBe("LOG_UNAVAILABLE");
    await follower.stop();
    await server.restart();
  });

  it("holds every acknowledged record exactly once, and no half batch, when who appends and the server are killed", async () => {
    const acknowledged: string[] = [];
    for (let round = 0; round < 4; round += 1) {
      const ids = await appendUntilKilled(server, `round${round}`, round % 2 === 1);
      expect(ids.length).toBeGreaterThan(0);
      acknowledged.push(...ids);
    }
    await expect.poll(nats.isUp, patiently).toBe(true);
    const found = (await readAll(log)).map(textOf);
    const all = new Set(found);
    expect(found.length).toBe(all.size);
    expect(acknowledged.filter((id) => !all.has(id))).toEqual([]);
    expect(found.filter((id) => !all.has(id.replace(/[ab]$/, (part) => (part === "a" ? "b" : "a"))))).toEqual([]);
  });
});

describe.skipIf(natsMissing())("a log on a cluster of NATS servers", { timeout: 60_000 }, () => {
  it("loses and doubles nothing while its leaders are killed, and knows repeats and parts of batches", async () => {
    const servers = await startNatsCluster();
    const nats = await openNats({ urls: servers.map(({ url }) => url), name: "test" });
    const log = await openAsSoonAsItCan(nats);
    await log.ping();
    const records = ["8/0a", "8/0b"].map((text) => record(text, { key: "code_8" }));
    await log.append(records.slice(0, 1), "part");
    const position = await log.append(records, "part");
    expect(await log.append(records, "part")).toBe(position);
    const { acknowledged, stop } = load(log);
    const follower = gather(log);
    const { streams } = await jetstreamManager(nats.connection);
    for (let round = 0; round < 2; round += 1) {
      const before = acknowledged.length;
      await expect.poll(() => acknowledged.length, patiently).toBeGreaterThan(before + 50);
      const leader = (await streams.info("WAYMARK")).cluster?.leader as string;
      const killed = servers[Number(leader.slice(1))] as NatsServer;
      await killed.kill("SIGKILL");
      const after = acknowledged.length;
      await expect.poll(() => acknowledged.length, patiently).toBeGreaterThan(after + 50);
      await killed.restart();
      await expect.poll(() => replicasAtHand(nats), patiently).toBe(2);
    }
    await stop();
    const all = [...acknowledged, "8/0a", "8/0b"];
    await expect.poll(() => follower.entries.length, patiently).toBeGreaterThanOrEqual(all.length);
    await follower.stop();
    expectEachOnceInOrder(follower.entries, all);
    await log.close();
    await nats.close();
    for (const server of servers) await server.stop();
  });
});

// A cluster that has just started has no leader yet.
async function openAsSoonAsItCan(nats: Nats): Promise<Log> {
  let log: Log | undefined;
  const open = async () => {
    log = await openJetStreamLog({ nats, replicas: 3 }).catch(() => undefined);
    return log !== undefined;
  };
  await expect.poll(open, { timeout: 20_000, interval: 200 }).toBe(true);
  return log as Log;
}

async function replicasAtHand(nats: Nats): Promise<number | undefined> {
  const { streams } = await jetstreamManager(nats.connection);
  const info = await streams.info("WAYMARK").catch(() => undefined);
  return info?.cluster?.replicas?.filter(({ current, offline }) => current && offline !== true).length;
}

/** Runs a process that appends, kills it and perhaps the server before it, and gives the ids that it says are on the log. */
async function appendUntilKilled(server: NatsServer, prefix: string, withServer: boolean): Promise<string[]> {
  const script = new URL("../../test/support/append-to-nats.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, server.url, prefix], { stdio: ["ignore", "pipe", "inherit"] });
  const lines: string[] = [];
  const output = createInterface({ input: child.stdout });
  output.on("line", (line) => lines.push(line));
  await expect.poll(() => lines.length, patiently).toBeGreaterThan(randomInt(20, 200));
  if (withServer) {
    await server.restart();
    const before = lines.length;
    await expect.poll(() => lines.length, patiently).toBeGreaterThan(before);
  }
  child.kill("SIGKILL");
  await Promise.all([once(child, "exit"), once(output, "close")]);
  return lines.filter((line) => line.startsWith(prefix) && /[ab]$/.test(line));
}
