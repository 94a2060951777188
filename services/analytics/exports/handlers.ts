import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { toJson } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type CreateExportRequest,
  ExportCompression,
  ExportFormat,
  type ExportService,
  ExportStatus,
} from "#gen/waymark/analytics/v1/exports_pb.ts";
import { ConditionSchema } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { contextOf } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { LEASE_MS } from "#runtime/tasks.ts";
import { type AnalyticsDeps, ask } from "../asking.ts";
import { checkPersonal, compileWhere } from "../fields/where.ts";
import { fail } from "../reasons.ts";
import { DAY_MS } from "../rules.ts";
import { type ExportDoc, exportModel, type State } from "./model.ts";
import { columnsOf, contentTypeOf } from "./rows.ts";
import { tasksOf } from "./runner.ts";

/** How long files are kept. */
const KEPT_MS = 7 * DAY_MS;

/** Exports of a workspace that may wait or be made at a time. */
const MOST_OPEN = 5;

/** The most bytes of one piece of a file. */
const PIECE_BYTES = 1024 * 1024;

/** What the handlers need beside: where files lie, and who has them. */
export interface ExportDeps extends AnalyticsDeps, Pick<ServiceDeps, "now"> {
  folder: string;
  replica: () => string;
}

/** Handlers of ExportService. */
export function exportHandlers(own: ExportDeps): ServiceImpl<typeof ExportService> {
  return {
    createExport: async (request, handler) => ({ export: shown(own, await create(own, request, handler)) }),
    listExports: async ({ pageSize, pageToken }, handler) => {
      const size = Math.min(pageSize ?? 20, 100);
      const skip = pageToken === "" ? 0 : Number(/^o([0-9]{1,9})$/.exec(pageToken)?.[1] ?? Number.NaN);
      if (Number.isNaN(skip)) throw fail("PAGE_TOKEN_INVALID", { field: "page_token" });
      const { test } = contextOf(handler).principal;
      const docs = await exportsOf(own, handler).find({
        ...{ where: { test }, sort: [["createdAt", -1]] as const, skip, limit: size + 1 },
      });
      const nextPageToken = docs.length > size ? `o${skip + size}` : "";
      return { exports: docs.slice(0, size).map((doc) => shown(own, doc)), nextPageToken };
    },
    getExport: async ({ id }, handler) => ({ export: shown(own, await find(own, id, handler)) }),
    deleteExport: async ({ id }, handler) => {
      await find(own, id, handler);
      await exportsOf(own, handler).delete(id);
      await tasksOf(own.store).delete(id);
      await rm(join(own.folder, id), { recursive: true, force: true });
      return {};
    },
    downloadExportFile: ({ id, n }, handler) => download(own, { id, number: n }, handler),
  };
}

const exportsOf = ({ store }: AnalyticsDeps, handler: HandlerContext) =>
  store.collection(exportModel).of(contextOf(handler).principal.workspace);

async function find(own: ExportDeps, id: string, handler: HandlerContext): Promise<ExportDoc> {
  const doc = await exportsOf(own, handler).get(id);
  if (doc === undefined || doc.test !== contextOf(handler).principal.test)
    throw fail("EXPORT_NOT_FOUND", { exportId: id });
  return doc;
}

const FORMATS = { "": "ndjson", NDJSON: "ndjson", CSV: "csv", PARQUET: "parquet" } as const;
const COMPRESSIONS = { NONE: "none", GZIP: "gzip", ZSTD: "zstd" } as const;

/** The word of an enum, with or without the name of the enum before it. */
function wordOf<T extends Record<string, string>>(
  words: T,
  given: { text: string; prefix: string; field: string },
): T[keyof T] {
  const plain = given.text.toUpperCase().replace(given.prefix, "").replace("UNSPECIFIED", "");
  if (Object.hasOwn(words, plain)) return words[plain] as T[keyof T];
  throw fail("WORD_UNKNOWN", { field: given.field, known: Object.keys(words).filter(Boolean).join(", ") });
}

async function create(own: ExportDeps, request: CreateExportRequest, handler: HandlerContext): Promise<ExportDoc> {
  const context = contextOf(handler);
  const { workspace, test } = context.principal;
  const { startDate, endDate } = request;
  const format = wordOf(FORMATS, { text: request.format, prefix: "EXPORT_FORMAT_", field: "format" });
  const absent = format === "parquet" ? "ZSTD" : "NONE";
  const text = request.compression || absent;
  const compression = wordOf(
    { ...COMPRESSIONS, "": COMPRESSIONS[absent] },
    { text, prefix: "EXPORT_COMPRESSION_", field: "compression" },
  );
  columnsOf(request.fields);
  const { floor, scope } = await ask(own, handler, { startDate, endDate });
  const now = context.now();
  checkPersonal(context.principal, { from: "events", where: request.where });
  compileWhere(request.where, "events", "w", { scope, now });
  const exports = exportsOf(own, handler);
  const open = await exports.count({ state: { in: ["queued", "running"] } });
  if (open >= MOST_OPEN) throw fail("EXPORTS_BUSY", { most: MOST_OPEN });
  const doc: ExportDoc = {
    ...{ id: context.newId("exp"), test, state: "queued" as const, format, compression },
    fields: columnsOf(request.fields).map(({ name }) => name),
    where: { list: request.where.map((one) => toJson(ConditionSchema, one)) },
    start: scope.params.start === undefined ? undefined : Number(scope.params.start),
    end: scope.params.end === undefined ? undefined : Number(scope.params.end),
    floor: floor?.at,
    ...{ rows: 0, files: { list: [] }, createdAt: now, expiresAt: now + KEPT_MS },
  };
  await begin(own, workspace, doc);
  await exports.insert(doc);
  await tasksOf(own.store).update(doc.id, { unset: ["owner"] });
  return doc;
}

/** Notes the task first, held by nobody's name: when this process dies before the export is there, the task ends by itself. */
async function begin(own: ExportDeps, workspaceId: string, { id, createdAt, expiresAt }: ExportDoc): Promise<void> {
  const task = { id, workspaceId, isOpen: true, replica: own.replica(), createdAt, expiresAt };
  await tasksOf(own.store).insert({ ...task, owner: "beginning", leaseUntil: own.now() + LEASE_MS });
}

const STATUSES: Readonly<Record<State, ExportStatus>> = {
  queued: ExportStatus.QUEUED,
  running: ExportStatus.RUNNING,
  done: ExportStatus.DONE,
  failed: ExportStatus.FAILED,
};
const FORMAT_ENUM = { ndjson: ExportFormat.NDJSON, csv: ExportFormat.CSV, parquet: ExportFormat.PARQUET } as const;
const COMPRESSION_ENUM = {
  none: ExportCompression.NONE,
  gzip: ExportCompression.GZIP,
  zstd: ExportCompression.ZSTD,
} as const;

function shown({ publicUrl }: Pick<ExportDeps, "publicUrl">, doc: ExportDoc) {
  const time = (ms: number | undefined) => (ms === undefined ? undefined : timestampFromMs(ms));
  return {
    id: doc.id,
    status: STATUSES[doc.state],
    progress: progressOf(doc),
    format: FORMAT_ENUM[doc.format],
    compression: COMPRESSION_ENUM[doc.compression],
    fields: [...doc.fields],
    startDate: time(doc.start),
    endDate: time(doc.end),
    rows: BigInt(doc.rows),
    totalRows: doc.totalRows === undefined ? undefined : BigInt(doc.totalRows),
    upTo: doc.upTo === undefined ? undefined : BigInt(doc.upTo),
    files: doc.files.list.map(({ number, name, rows, bytes, sha256 }) => ({
      ...{ n: number, name, rows: BigInt(rows), bytes: BigInt(bytes), sha256, contentType: contentTypeOf(doc) },
      url: `${publicUrl}/analytics/v1/exports/${doc.id}/files/${number}`,
    })),
    createdAt: time(doc.createdAt),
    finishedAt: time(doc.finishedAt),
    expiresAt: time(doc.expiresAt),
    error: doc.error,
  };
}

/** Share of an export that is done: all of it only once its files are there. */
function progressOf({ state, rows, totalRows = 0 }: ExportDoc): number {
  if (state === "done") return 1;
  return totalRows === 0 ? 0 : Math.min(0.99, rows / totalRows);
}

/** One piece of a file: what `range` names, both ends given, and at most a MiB. */
async function download(own: ExportDeps, { id, number }: { id: string; number: number }, handler: HandlerContext) {
  const doc = await find(own, id, handler);
  if (doc.state !== "done") throw fail("EXPORT_UNFINISHED", { exportId: id });
  const entry = doc.files.list.find((file) => file.number === number);
  if (entry === undefined) throw fail("EXPORT_FILE_NOT_FOUND", { exportId: id, number });
  if (doc.replica !== own.replica()) await makeAgain(own, doc, handler);
  const [, from = "0", to = ""] = /^bytes=([0-9]+)-([0-9]*)$/.exec(handler.requestHeader.get("range") ?? "") ?? [];
  const start = Math.min(Number(from), Math.max(0, entry.bytes - 1));
  const end = Math.min(to === "" ? Number.POSITIVE_INFINITY : Number(to), entry.bytes - 1, start + PIECE_BYTES - 1);
  const data = await readPiece(join(own.folder, id, entry.name), start, Math.max(0, end - start + 1));
  handler.responseHeader.set("content-range", `bytes ${start}-${end}/${entry.bytes}`);
  handler.responseHeader.set("etag", `"${entry.sha256}"`);
  handler.responseHeader.set("content-disposition", `attachment; filename="${entry.name}"`);
  return { file: { contentType: contentTypeOf(doc), data } };
}

async function readPiece(path: string, start: number, length: number): Promise<Uint8Array> {
  const file = await open(path, "r");
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, start);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** The files lie with another replica: this one, which answers for the workspace now, makes the same export again. */
async function makeAgain(own: ExportDeps, doc: ExportDoc, handler: HandlerContext): Promise<never> {
  const { workspace } = contextOf(handler).principal;
  await exportsOf(own, handler).update(doc.id, { set: { state: "queued", rows: 0 } });
  const { id, createdAt, expiresAt } = doc;
  const leaseUntil = own.now() + LEASE_MS;
  const mine = { isOpen: true, replica: own.replica(), leaseUntil };
  await tasksOf(own.store).insert({ id, workspaceId: workspace, createdAt, expiresAt, ...mine });
  await tasksOf(own.store).update(id, { set: mine, unset: ["owner"] });
  throw fail("EXPORT_ELSEWHERE", { exportId: id });
}
