import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { ulid } from "ulid";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { follow, readAll, record, textOf } from "../../test/contract/log.records.ts";
import { anyNats, anyNatsMissing, natsMissing, startNats } from "../../test/support/nats-server.ts";
import { startRespelling } from "../../test/support/respelling.ts";
import { reasonOf } from "./failure.ts";
import { checkVersion } from "./log/jetstream/stream.ts";
import { openJetStreamLog } from "./log.jetstream.ts";
import type { Log } from "./log.ts";
import { type Nats, openNats } from "./nats.ts";

const reasonFrom = (work: Promise<unknown>) => work.then(() => undefined, reasonOf);

describe.skipIf(anyNatsMissing())("a log on NATS", () => {
  let server: Awaited<ReturnType<typeof anyNats>>;
  let nats: Nats;
  let stream: string;
  let prefix: string;
  let log: Log;
  const manager = () => jetstreamManager(nats.connection);
  beforeAll(async () => {
    server = await anyNats();
    nats = await openNats({ urls: [server.url], name: "test" });
  });
  beforeEach(async () => {
    stream = `TEST_${ulid()}`;
    prefix = stream.toLowerCase();
    log = await openJetStreamLog({ nats, stream, prefix });
  });
  afterEach(async () => {
    await log.close();
    await (await manager()).streams.delete(stream).catch(() => {});
  });
  afterAll(async () => {
    await nats?.close();
    await server?.stop();
  });

  it("is opened by many processes at once, and once with other settings", async () => {
    const name = `TEST_${ulid()}`;
    const open = (retentionDays = 0) =>
      openJetStreamLog({ nats, stream: name, prefix: name.toLowerCase(), retentionDays });
    const logs = await Promise.all(Array.from({ length: 8 }, () => open()));
    logs.push(await open(30));
    const streams = (await manager()).streams;
    const { config } = await streams.info(name);
    expect(config.max_age).toBe(30 * 24 * 3600 * 1e9);
    expect(config.subjects).toEqual([`${name.toLowerCase()}.*.*.*`]);
    for (const one of logs) await one.close();
    await streams.delete(name);
  });

  it("starts where its retention has let go", async () => {
    for (const word of ["one", "two", "three"]) await log.append([record(word)], word);
    const [first, second] = await readAll(log);
    await (await manager()).streams.purge(stream, { seq: second?.position ?? 0 });
    expect(await log.start()).toBe(first?.position);
    expect((await readAll(log)).map(textOf)).toEqual(["two", "three"]);
    await (await manager()).streams.purge(stream);
    expect(await log.start()).toBe(await log.head());
  });

  it("leaves what the operator has set of the stream", async () => {
    const { streams } = await manager();
    const { config } = await streams.info(stream);
    await streams.update(stream, { ...config, max_bytes: 50_000_000, allow_direct: false });
    await (await openJetStreamLog({ nats, stream, prefix })).close();
    expect((await streams.info(stream)).config).toMatchObject({ max_bytes: 50_000_000, allow_direct: true });
  });

  it("says in a sentence what the servers refuse of the stream", async () => {
    const name = `TEST_${ulid()}`;
    const open = openJetStreamLog({ nats, stream: name, prefix: name.toLowerCase(), replicas: 3 });
    await expect(open).rejects.toThrow(`NATS refuses the stream ${name}: replicas > 1 not supported`);
  });

  it("appends a batch once that two connections send at the same time", async () => {
    const other = await openNats({ urls: [server.url], name: "other" });
    const twin = await openJetStreamLog({ nats: other, stream, prefix });
    for (let round = 0; round < 20; round += 1) {
      const records = Array.from({ length: 1 + (round % 3) }, (_, index) => record(`${round}/${index}`));
      const positions = await Promise.all([log, twin].map((one) => one.append(records, `batch ${round}`)));
      expect(new Set(positions).size).toBe(1);
    }
    const texts = (await readAll(log)).map(textOf);
    expect(texts).toHaveLength(39);
    expect(new Set(texts).size).toBe(39);
    await twin.close();
    await other.close();
  });

  it("completes a batch that is there in part", async () => {
    const records = ["a", "b", "c"].map((text) => record(text));
    await log.append([records[0] as (typeof records)[0]], "whole");
    await log.append([record("other")], "other");
    const position = await log.append(records, "whole");
    expect((await readAll(log)).map(textOf)).toEqual(["a", "other", "b", "c"]);
    expect(await log.append(records, "whole")).toBe(position);
    expect(await log.head()).toBe(position);
  });

  it("takes an append that is larger than a batch of the server", async () => {
    const records = Array.from({ length: 1203 }, (_, index) => record(`${index}`));
    const position = await log.append(records, "large");
    expect(await log.append(records, "large")).toBe(position);
    expect((await readAll(log)).map(textOf)).toEqual(records.map((_, index) => `${index}`));
  });

  it("refuses at once a record that the servers never take", async () => {
    const refusal = await reasonFrom(log.append([record("x".repeat(2_000_000))], "a"));
    expect(refusal).toMatchObject({
      reason: "LOG_UNAVAILABLE",
      metadata: { why: "a record is larger than NATS takes" },
    });
    await log.append([record("small")], "b");
    expect((await readAll(log)).map(textOf)).toEqual(["small"]);
  });

  it("refuses what a full stream does not take, leaves nothing of it, and takes it when there is room", async () => {
    const { streams } = await manager();
    const { config } = await streams.info(stream);
    await streams.update(stream, { ...config, max_bytes: 100_000 });
    const large = (id: string) => Array.from({ length: 4 }, (_, part) => record(`${id}.${part}/${"x".repeat(10_000)}`));
    const outcomes = await Promise.allSettled(["a", "b", "c", "d"].map((id) => log.append(large(id), id)));
    const taken = outcomes.filter(({ status }) => status === "fulfilled").length;
    expect(taken).toBe(2);
    expect(outcomes.flatMap((one) => (one.status === "rejected" ? [reasonOf(one.reason)?.reason] : []))).toEqual([
      "OVERLOADED",
      "OVERLOADED",
    ]);
    expect(await readAll(log)).toHaveLength(8);
    await log.append([record("small")], "small");
    await streams.update(stream, { ...config, max_bytes: 1_000_000 });
    await log.append(large("c"), "c");
    expect(await readAll(log)).toHaveLength(13);
  });

  it("pulls no further ahead of a slow reader than a chunk", async () => {
    const records = Array.from({ length: 400 }, (_, index) => record(`${index}`));
    await log.append(records, "a");
    const stop = new AbortController();
    const reading = log.read({ after: 0, chunk: 20, follow: stop.signal })[Symbol.asyncIterator]();
    expect((await reading.next()).value).toHaveLength(20);
    const { consumers } = await manager();
    const delivered = async () => (await consumers.list(stream).next())[0]?.delivered.stream_seq;
    await expect.poll(delivered).toBe(40);
    await nats.connection.flush();
    expect(await delivered()).toBe(40);
    stop.abort();
    await reading.return?.();
    await expect.poll(async () => (await consumers.list(stream).next()).length).toBe(0);
  });

  it("refuses to go on when the stream was made anew, or ends before what was read", async () => {
    const position = await log.append([record("one"), record("two")], "a");
    const ahead = reasonFrom(follow(log, 1, { after: position + 5 }));
    expect(await ahead).toMatchObject({ reason: "LOG_LOST" });
    const following = reasonFrom(follow(log, 5));
    await (await manager()).streams.delete(stream);
    await expect(log.head()).rejects.toThrow("its stream is gone");
    await (await openJetStreamLog({ nats, stream, prefix })).close();
    expect(await following).toMatchObject({ reason: "LOG_LOST" });
    expect(await reasonFrom(readAll(log))).toMatchObject({ reason: "LOG_LOST" });
  });
});

describe.skipIf(natsMissing())("a log on a NATS server of its own", () => {
  it("notices when the server ignores what matters of the stream's configuration", async () => {
    // To a server before 2.12 `allow_atomic` is a word that it does not know; one that is not strict says nothing of it.
    const said = await Promise.all(
      ["strict: true", "strict: false"].map(async (jetstream) => {
        const server = await startNats({ jetstream });
        const older = await startRespelling(server.url, { from: "allow_atomic", to: "allow_itomic" });
        const nats = await openNats({ urls: [older.url], name: "test" });
        const error = await openJetStreamLog({ nats }).catch((error: unknown) => error);
        await nats.close();
        await older.stop();
        await server.stop();
        return (error as Error).message;
      }),
    );
    expect(said).toEqual([
      expect.stringMatching(/^NATS refuses the stream WAYMARK: .*unknown field/),
      "NATS keeps the stream WAYMARK otherwise than asked: allow_atomic is missing and must be true",
    ]);
  });

  it("sheds while the file store is full, and takes the same append once when there is room", async () => {
    const server = await startNats({ maxStoreBytes: 3_000_000 });
    const nats = await openNats({ urls: [server.url], name: "test" });
    const log = await openJetStreamLog({ nats });
    const records = Array.from({ length: 16 }, (_, part) =>
      record(`${part}/${"x".repeat(20_000)}`, { key: `${part}` }),
    );
    let shed: string | undefined;
    for (let turn = 0; turn < 20 && shed === undefined; turn += 1) {
      const refusal = await reasonFrom(log.append(records, `b${turn}`));
      if (refusal !== undefined) shed = `b${turn}`;
      if (refusal !== undefined) expect(refusal.reason).toBe("OVERLOADED");
    }
    expect(shed).toBeDefined();
    expect(await reasonFrom(log.append([record("small")], "small"))).toMatchObject({ reason: "OVERLOADED" });
    const { streams } = await jetstreamManager(nats.connection);
    const { state } = await streams.info("WAYMARK");
    await streams.purge("WAYMARK", { seq: 33 });
    const position = await log.append(records, shed as string);
    await log.append([record("small")], "small");
    const texts = (await readAll(log, { after: 32 })).map(textOf);
    expect(texts).toHaveLength(Number((shed as string).slice(1)) * 16 + 16 - 32 + 1);
    expect(position - state.last_seq).toBeLessThanOrEqual(16);
    await log.close();
    await nats.close();
    await server.stop();
  });

  it("refuses to go on when the server has lost its files", async () => {
    const folder = mkdtempSync(join(tmpdir(), "waymark-nats-"));
    const server = await startNats({ folder });
    const nats = await openNats({ urls: [server.url], name: "test" });
    const log = await openJetStreamLog({ nats });
    await log.append([record("one")], "a");
    const following = reasonFrom(follow(log, 2));
    await server.kill("SIGKILL");
    rmSync(join(folder, "jetstream"), { recursive: true });
    mkdirSync(join(folder, "jetstream"));
    await server.restart();
    expect(await following).toMatchObject({ reason: "LOG_LOST", metadata: { why: "its stream is gone" } });
    await log.close();
    await nats.close();
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  it("names the version that it takes when the server is older", () => {
    expect(() => checkVersion("2.12.0")).toThrow("NATS 2.12.0 is too old for the log; it takes 2.12.1 or later");
    expect(() => checkVersion("2.11.9")).toThrow("too old");
    for (const version of ["2.12.1", "2.15.1", "3.0.0-RC.1"]) expect(() => checkVersion(version)).not.toThrow();
  });
});
