import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { Code, type ConnectError } from "@connectrpc/connect";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Export, ExportService, ExportStatus } from "#gen/waymark/analytics/v1/exports_pb.ts";
import { DeviceType } from "#gen/waymark/events/v1/touches_pb.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround, until } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";
import { tasksOf } from "./runner.ts";

let folder: string;
let ground: AnalyticsGround;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "waymark-exports-"));
  ground = await openAnalyticsGround({ folder });
  await ground.append(
    Array.from({ length: 50 }, (_, n) =>
      touchOf({
        id: `x${n}`,
        at: NOW - n * 3_600_000,
        deviceId: n % 3 === 0 ? "" : `d${n % 5}`,
        place: { country: n % 2 === 0 ? "DE" : "US", city: HOSTILE[n % HOSTILE.length] ?? "" },
        device: { type: DeviceType.MOBILE, browser: "Safari" },
      }),
    ),
  );
  await ground.append([touchOf({ id: "bot", verdict: 2, verdictReason: "isbot" }), touchOf({ id: "t1", test: true })]);
  await ground.append([touchOf({ id: "other", workspaceId: "rival" })]);
  await ground.settle();
});
afterAll(async () => {
  await ground.close();
  rmSync(folder, { recursive: true });
});
afterEach(() => {
  ground.clock.now = NOW;
});

const HOSTILE = ["Berlin", "=cmd()", '"quoted", and', "line\nbreak", "+1", "@x", "-2", "東京"];

const api = () => ground.client(ExportService);

async function finished(request: object, by = ground.by()): Promise<Export> {
  const { export: begun } = await api().createExport(request, by);
  const id = begun?.id ?? "";
  let last: Export | undefined;
  await until(async () => {
    last = (await api().getExport({ id }, by)).export;
    return last?.status === ExportStatus.DONE || last?.status === ExportStatus.FAILED;
  });
  expect(last?.error).toBeUndefined();
  return last as Export;
}

const pathOf = (made: Export, file = 0) => join(folder, "exports", made.id, made.files[file]?.name ?? "");

const idsListed = async () =>
  (await ground.api.listEvents({ pageSize: 1000 }, ground.by())).json?.events.map(({ id }) => id).sort();

const decompress: Record<string, (bytes: Buffer) => Buffer> = {
  NONE: (bytes) => bytes,
  GZIP: gunzipSync,
  ZSTD: zstdDecompressSync,
};

describe("an export", () => {
  it.each(["NONE", "GZIP", "ZSTD"])("to NDJSON with %s has the rows that the list has", async (compression) => {
    const made = await finished({ format: "NDJSON", compression });
    const bytes = readFileSync(pathOf(made));
    const rows = (decompress[compression]?.(bytes) ?? bytes)
      .toString()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows.map(({ id }) => id).sort()).toEqual(await idsListed());
    const first = rows.find(({ id }) => id === "x1");
    expect(first).toMatchObject({
      scannedAt: new Date(NOW - 3_600_000).toISOString(),
      country: "US",
      deviceType: "DEVICE_TYPE_MOBILE",
      visitorId: "vis_d1",
    });
    expect(made).toMatchObject({ rows: 50n, totalRows: 50n });
    expect(made.files[0]).toMatchObject({
      rows: 50n,
      bytes: BigInt(bytes.length),
      sha256: createHash("sha256").update(bytes).digest("hex"),
    });
  });

  it("to Parquet has timestamps and the columns that were asked for", async () => {
    const made = await finished({ format: "EXPORT_FORMAT_PARQUET", fields: ["id", "scannedAt", "city"] });
    const instance = await DuckDBInstance.create(":memory:");
    const connection = await instance.connect();
    const read = await connection.runAndReadAll(`SELECT id, epoch_ms(scannedAt) AS at, city FROM '${pathOf(made)}'`);
    const rows = read.getRowObjects();
    expect(rows.map(({ id }) => id).sort()).toEqual(await idsListed());
    expect(rows.find(({ id }) => id === "x2")).toEqual({ id: "x2", at: BigInt(NOW - 7_200_000), city: HOSTILE[2] });
    connection.closeSync();
    instance.closeSync();
  });

  it("to CSV runs nothing in a spreadsheet, and comes back as it was", async () => {
    const made = await finished({ format: "CSV", fields: ["id", "city"] });
    const instance = await DuckDBInstance.create(":memory:");
    const connection = await instance.connect();
    const read = await connection.runAndReadAll(
      `SELECT id, city FROM read_csv('${pathOf(made)}', header = true, all_varchar = true)`,
    );
    const cities = new Map(read.getRowObjects().map(({ id, city }) => [id, city]));
    expect(HOSTILE.map((_city, n) => cities.get(`x${n}`))).toEqual(
      HOSTILE.map((city) => (/^[=+\-@]/.test(city) ? `'${city}` : city)),
    );
    connection.closeSync();
    instance.closeSync();
  });

  it("is narrowed by range and conditions", async () => {
    const where = [{ field: "country", value: { kind: { case: "stringValue", value: "US" } } }];
    const range = { startDate: { seconds: BigInt((NOW - 10 * 3_600_000) / 1_000), nanos: 0 } };
    const made = await finished({ format: "NDJSON", where, ...range, fields: ["id"] });
    expect(readFileSync(pathOf(made)).toString().trimEnd().split("\n").sort()).toEqual(
      ["x1", "x3", "x5", "x7", "x9"].map((id) => JSON.stringify({ id })),
    );
  });

  it("of a development key has test data, and of another workspace only its own", async () => {
    for (const [who, id] of [
      [{ test: true, keyClass: "development" }, "t1"],
      [{ workspace: "rival" }, "other"],
    ] as const) {
      const made = await finished({ format: "NDJSON", fields: ["id"] }, ground.by(who));
      expect(readFileSync(pathOf(made)).toString()).toBe(`{"id":"${id}"}\n`);
      await expect(api().getExport({ id: made.id }, ground.by())).rejects.toMatchObject({ code: Code.NotFound });
      await expect(api().downloadExportFile({ id: made.id, n: 1 }, ground.by())).rejects.toMatchObject({
        code: Code.NotFound,
      });
    }
  });

  it("that was deleted is gone with its files, and one whose time is over too", async () => {
    const made = await finished({ format: "CSV" });
    await api().deleteExport({ id: made.id }, ground.by());
    await expect(api().getExport({ id: made.id }, ground.by())).rejects.toMatchObject({ code: Code.NotFound });
    expect(() => readFileSync(pathOf(made))).toThrow();
    const old = await finished({ format: "CSV" });
    await tasksOf(ground.store).update(old.id, { set: { expiresAt: 1 } });
    await until(() =>
      api()
        .getExport({ id: old.id }, ground.by())
        .then(
          () => false,
          () => true,
        ),
    );
  });

  it("that a process left is made by the next one, once its lease is over", async () => {
    const made = await finished({ format: "NDJSON" });
    writeFileSync(pathOf(made), "half");
    await tasksOf(ground.store).update(made.id, {
      set: { isOpen: true, owner: "gone", leaseUntil: Date.now() + 1_500 },
    });
    await delay(700);
    expect(readFileSync(pathOf(made)).toString()).toBe("half");
    const hashNow = () =>
      existsSync(pathOf(made))
        ? createHash("sha256")
            .update(readFileSync(pathOf(made)))
            .digest("hex")
        : "";
    await until(() => hashNow() === made.files[0]?.sha256);
  });

  it("refuses what it cannot write, and names the field", async () => {
    const refused = (request: object) =>
      api()
        .createExport(request, ground.by())
        .then(
          () => "answered",
          (error: ConnectError) => [error.code, fieldOf(error)],
        );
    expect(await refused({ format: "XML" })).toEqual([Code.InvalidArgument, "format"]);
    expect(await refused({ compression: "LZ4" })).toEqual([Code.InvalidArgument, "compression"]);
    expect(await refused({ fields: ["id", "secret"] })).toEqual([Code.InvalidArgument, "fields[1]"]);
    expect(await refused({ where: [{ field: "nothing" }] })).toEqual([Code.InvalidArgument, "where[0].field"]);
  });
});
