import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Export, ExportService, ExportStatus } from "#gen/waymark/analytics/v1/exports_pb.ts";
import { reasonOf } from "#runtime/failure.ts";
import { openDuck } from "../engine/duck.ts";
import { FINGERPRINT, SCHEMA } from "../feed/schema.ts";
import { type AnalyticsGround, NOW, openAnalyticsGround, until } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";
import { type ExportDoc, exportModel } from "./model.ts";
import { tasksOf } from "./runner.ts";
import { writeFiles } from "./write.ts";

let folder: string;
let ground: AnalyticsGround;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "waymark-export-runner-"));
  ground = await openAnalyticsGround({ folder });
});
afterEach(async () => {
  await ground.close();
  rmSync(folder, { recursive: true });
});

const api = () => ground.client(ExportService);
const docs = () => ground.store.collection(exportModel).of("acme");

async function put(count: number): Promise<void> {
  for (let first = 0; first < count; first += 5_000)
    await ground.append(
      Array.from({ length: Math.min(5_000, count - first) }, (_, n) =>
        touchOf({ id: `x${first + n}`, deviceId: `d${n % 7}` }),
      ),
    );
  await ground.settle();
}

async function shown(id: string): Promise<Export | undefined> {
  return (await api().getExport({ id }, ground.by())).export;
}

async function finished(id: string): Promise<Export> {
  await until(async () => Number((await shown(id))?.status) >= ExportStatus.DONE);
  return (await shown(id)) as Export;
}

async function made(): Promise<Export> {
  const { export: begun } = await api().createExport({ format: "NDJSON" }, ground.by());
  return finished(begun?.id ?? "");
}

/** An export as a process leaves it that dies while it is made; the lease is over. */
async function leaveUnfinished(id: string, given: Partial<ExportDoc> = {}): Promise<void> {
  await docs().update(id, { set: { state: "running", ...given }, unset: ["finishedAt"] });
  await tasksOf(ground.store).update(id, { set: { isOpen: true, owner: "gone", leaseUntil: 0 } });
}

it("an export waits while the table is made from the log, and is made then", async () => {
  await put(20);
  const { id } = await made();
  await ground.close();
  rmSync(join(folder, "analytics.duckdb"));
  ground = await openAnalyticsGround({ folder });
  ground.registry.isDown = true;
  await leaveUnfinished(id);
  await delay(6_500); // the gate sends away after five seconds
  expect((await docs().get(id))?.state).toBe("queued");
  ground.registry.isDown = false;
  expect(await finished(id)).toMatchObject({ status: ExportStatus.DONE, rows: 20n });
});

it("an export of a moment that this replica has not read yet waits for it", async () => {
  await put(20);
  const { id, upTo } = await made();
  await leaveUnfinished(id, { upTo: Number(upTo) + 1 });
  await delay(1_500);
  expect((await shown(id))?.status).toBe(ExportStatus.QUEUED);
  await ground.append([touchOf({ id: "next" })]);
  await ground.settle();
  expect(await finished(id)).toMatchObject({ status: ExportStatus.DONE, rows: 21n });
});

it("files that no task knows are removed, and those of others are not", async () => {
  await put(5);
  const { id } = await made();
  const orphan = join(folder, "exports", "exp_orphan");
  mkdirSync(orphan);
  writeFileSync(join(orphan, "events-0001.csv"), "id\n");
  await ground.close();
  ground = await openAnalyticsGround({ folder });
  await until(() => !existsSync(orphan));
  expect(existsSync(join(folder, "exports", id, "events-0001.ndjson"))).toBe(true);
});

it("a task whose export was never written ends, and one that was written is made", async () => {
  await put(5);
  const { id } = await made();
  const task = await tasksOf(ground.store).get(id);
  const alone = {
    ...(task as object),
    id: "exp_alone",
    isOpen: true,
    owner: "beginning",
    leaseUntil: Date.now() + 700,
  };
  await tasksOf(ground.store).insert({ ...alone, version: undefined } as never);
  await docs().update(id, { set: { state: "queued" } });
  await tasksOf(ground.store).update(id, { set: { isOpen: true, owner: "beginning", leaseUntil: Date.now() + 700 } });
  expect((await docs().get(id))?.state).toBe("queued");
  expect((await finished(id)).status).toBe(ExportStatus.DONE);
  await until(async () => (await tasksOf(ground.store).get("exp_alone")) === undefined);
});

it("an export for which there is no room is refused and leaves nothing", async () => {
  const path = join(folder, "other.duckdb");
  const exports = join(folder, "room");
  mkdirSync(join(exports, "old"), { recursive: true });
  writeFileSync(join(exports, "old", "events-0001.csv"), Buffer.alloc(4_096));
  const duck = await openDuck({ path, exports, memoryMb: 128, schema: SCHEMA, fingerprint: FINGERPRINT });
  await duck.write(({ run }) =>
    run(
      "INSERT INTO events (workspace, human, test, id, scanned_at, position) VALUES ('acme', true, false, 'a', 1, 0)",
    ),
  );
  const doc: ExportDoc = {
    ...{ id: "exp_1", test: false, state: "queued", format: "csv", compression: "none", fields: ["id"], rows: 0 },
    ...{ where: { list: [] }, files: { list: [] }, createdAt: NOW, expiresAt: NOW },
  };
  const signal = new AbortController().signal;
  const given = { duck, workspace: "acme", doc, folder: join(exports, "exp_1"), signal, onProgress: async () => {} };
  const reasonFor = (maxGb: number) =>
    writeFiles({ ...given, maxGb }).then(
      ({ files }) => files.length,
      (error: unknown) => reasonOf(error)?.reason,
    );
  expect(await reasonFor(4_096 / 1024 ** 3)).toBe("EXPORTS_FULL");
  expect(await reasonFor(4_097 / 1024 ** 3)).toBe(1);
  await duck.close();
});

it("a process that is killed in the middle leaves an export that the next one makes, whole", async () => {
  await put(60_000);
  await ground.close();
  const script = new URL("./export-until-killed.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, folder], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  child.kill("SIGKILL");
  await once(child, "exit");
  ground = await openAnalyticsGround({ folder });
  const id = line.toString().trim();
  expect(["queued", "running"]).toContain((await docs().get(id))?.state);
  const end = await finished(id);
  const [file] = end.files;
  const bytes = readFileSync(join(folder, "exports", id, file?.name ?? ""));
  expect(end).toMatchObject({ status: ExportStatus.DONE, rows: 60_000n });
  expect(createHash("sha256").update(bytes).digest("hex")).toBe(file?.sha256);
  const ids = gunzipSync(bytes).toString().trimEnd().split("\n");
  expect(new Set(ids.map((text) => JSON.parse(text).id)).size).toBe(60_000);
}, 40_000);
