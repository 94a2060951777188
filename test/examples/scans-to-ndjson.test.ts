import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TouchBatchSchema, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { openJetStreamLog } from "#runtime/log.jetstream.ts";
import type { Log, LogRecord, Subject } from "#runtime/log.ts";
import { type Nats, openNats } from "#runtime/nats.ts";
import { type NatsServer, natsMissing, startNats } from "../support/nats-server.ts";

const script = new URL("../../examples/scans-to-ndjson/main.ts", import.meta.url).pathname;
const patiently = { timeout: 20_000, interval: 10 };

// What docs/events.md tells to allow, and nothing else.
const documented = readFileSync(new URL("../../docs/events.md", import.meta.url), "utf8");
const permissions = /```text\n(authorization \{[\s\S]*?)```/.exec(documented)?.[1] as string;

describe.skipIf(natsMissing())("the example that writes scans as NDJSON", { timeout: 60_000 }, () => {
  let server: NatsServer;
  let nats: Nats;
  let log: Log;
  let folder: string;
  let out: string;
  let child: ChildProcess | undefined;
  const urlOf = (user: string) => server.url.replace("nats://", `nats://${user}@`);
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "waymark-example-"));
    out = join(folder, "scans.ndjson");
    server = await startNats({ config: permissions });
    nats = await openNats({ urls: [urlOf("waymark:secret")], name: "test" });
    log = await openJetStreamLog({ nats });
  });
  afterEach(async () => {
    await kill();
    await log.close();
    await nats.close();
    await server.stop();
    rmSync(folder, { recursive: true });
  });
  const start = () => {
    const args = [script, "--nats", urlOf("reports:other"), "--out", out];
    child = spawn(process.execPath, args, { stdio: ["ignore", "inherit", "ignore"] });
  };
  const kill = async (signal: NodeJS.Signals = "SIGKILL") => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  };
  const ids = (): string[] => {
    if (!existsSync(out)) return [];
    const lines = readFileSync(out, "utf8").split("\n").slice(0, -1);
    return lines.map((line) => (JSON.parse(line) as { id: string }).id);
  };
  const append = (id: string, over: { subject?: Subject; verdict?: Verdict } = {}): Promise<number> => {
    const { subject = "touches.marketing", verdict = Verdict.HUMAN } = over;
    const touches = ["a", "b"].map((part) => ({ id: `${id}${part}`, workspaceId: "default", codeId: id, verdict }));
    const payload = toBinary(TouchBatchSchema, create(TouchBatchSchema, { touches }));
    return log.append([{ subject, key: id, payload } satisfies LogRecord], id);
  };

  it("writes the scans of people, of marketing alone, and ends when it is told to", async () => {
    await append("before");
    start();
    await append("bot", { verdict: Verdict.BOT });
    await append("medical", { subject: "touches.medical" });
    await append("after");
    await expect.poll(ids, patiently).toEqual(["beforea", "beforeb", "aftera", "afterb"]);
    await kill("SIGTERM");
    expect(child?.exitCode).toBe(0);
  });

  it("loses and doubles no line over kills of itself and of the server", async () => {
    const expected: string[] = [];
    let isLoading = true;
    const loading = (async () => {
      for (let turn = 0; isLoading; turn += 1) {
        await append(`${turn}`);
        expected.push(`${turn}a`, `${turn}b`);
      }
    })();
    for (let round = 0; round < 6; round += 1) {
      const before = ids().length;
      start();
      await expect.poll(() => ids().length, patiently).toBeGreaterThan(before + 20);
      if (round % 3 === 2) await server.restart();
      await kill();
    }
    isLoading = false;
    await loading;
    start();
    await expect.poll(() => ids().length, patiently).toBeGreaterThanOrEqual(expected.length);
    expect(ids()).toEqual(expected);
  });

  it("cuts off what was written after the last position", async () => {
    await append("one");
    start();
    await expect.poll(ids, patiently).toEqual(["onea", "oneb"]);
    await expect.poll(() => existsSync(`${out}.position`), patiently).toBe(true);
    await kill();
    writeFileSync(out, `${readFileSync(out, "utf8")}{"id":"half`);
    await append("two");
    start();
    await expect.poll(() => readFileSync(out, "utf8").split("\n").length, patiently).toBe(5);
    expect(ids()).toEqual(["onea", "oneb", "twoa", "twob"]);
  });

  it("cannot read another purpose with the permissions of docs/events.md", async () => {
    await append("medical", { subject: "touches.medical" });
    const { host: servers } = new URL(server.url);
    const options = { servers, user: "reports", pass: "other", inboxPrefix: "_INBOX_reports" };
    const reports = await connect(options);
    const client = jetstream(reports, { timeout: 1000 });
    const open = (filter_subjects: string) => client.consumers.get("WAYMARK", { filter_subjects });
    const denied = /permission/i;
    await open("waymark.touches.marketing.*");
    for (const subject of ["waymark.touches.medical.*", "waymark.*.*.*", ">"]) {
      await expect(open(subject)).rejects.toThrow(denied);
    }
    const ask = (subject: string, body: unknown) =>
      reports.request(subject, JSON.stringify(body), { timeout: 1000 }).then((answer) => answer.string());
    await expect(ask("$JS.API.DIRECT.GET.WAYMARK", { seq: 1 })).rejects.toThrow(denied);
    await expect(ask("waymark.touches.medical.1", {})).rejects.toThrow(denied);
    await expect(ask("$JS.API.CONSUMER.NAMES.WAYMARK", {})).rejects.toThrow(denied);
    const posing = { name: "look", ack_policy: "none", mem_storage: true, filter_subject: "waymark.touches.medical.*" };
    const made = ask("$JS.API.CONSUMER.CREATE.WAYMARK.look.waymark.touches.marketing.*", {
      stream_name: "WAYMARK",
      config: posing,
    });
    expect(await made).toContain("error");
    const heard = Promise.withResolvers<Error | null>();
    reports.subscribe("_INBOX.>", { callback: (error) => heard.resolve(error) });
    expect(String(await heard.promise)).toMatch(denied);
    await reports.close();
  });
});
