import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { ConditionSchema } from "#gen/waymark/analytics/v1/filter_pb.ts";
import type { Params } from "../engine/query.ts";
import { eventFields, type QueryField } from "../fields/fields.ts";
import type { Place } from "../fields/levels.ts";
import { spanOf } from "../fields/visit-type.ts";
import { compileWhere } from "../fields/where.ts";
import { fail } from "../reasons.ts";
import type { Scope } from "../scope.ts";
import type { ExportDoc } from "./model.ts";

/** The columns of these names, in this order; all but those that look at the past when there is none. Refuses unknown ones. */
export function columnsOf(names: readonly string[]): QueryField[] {
  const known = new Map(eventFields.map((field) => [field.name, field]));
  if (names.length === 0) return eventFields.filter(({ isPast }) => !isPast);
  return names.map((name, index) => {
    const field = known.get(name);
    if (field !== undefined) return field;
    throw fail("FIELD_UNKNOWN", { field: `fields[${index}]`, known: [...known.keys()].join(", ") });
  });
}

/** What is exported, as SQL that follows FROM, and the columns before it. */
export interface Selection {
  columns: string;
  from: string;
  params: Params;
}

/** The rows of an export, of the moment of its snapshot. `workspace` is the only one that it can reach. */
export function selectionOf(workspace: string, doc: ExportDoc, upTo: number): Selection {
  const scope = seenBy(workspace, doc, upTo);
  const asked = { ...scope, params: { ...scope.params } as Record<string, Params[string]> };
  if (doc.start !== undefined) {
    asked.sql += " AND scanned_at >= $start";
    asked.params.start = BigInt(Math.floor(doc.start));
  }
  if (doc.end !== undefined) {
    asked.sql += " AND scanned_at <= $end";
    asked.params.end = BigInt(Math.floor(doc.end));
  }
  const conditions = doc.where.list.map((one) => fromJson(ConditionSchema, one as JsonValue));
  const { sql, params } = compileWhere(conditions, "events", "w", { scope, asked, now: doc.createdAt });
  const place = { seen: scope.sql, asked: spanOf(asked), now: "0" };
  const columns = columnsOf(doc.fields).map((field) => `${cellOf(field, { place, doc })} AS "${field.name}"`);
  return { columns: columns.join(", "), from: `touches WHERE ${asked.sql} AND (${sql})`, params };
}

/** All that whoever asked for an export sees, as of its moment. */
function seenBy(workspace: string, { test, floor = -8.64e15 }: ExportDoc, upTo: number): Scope {
  const sql = "workspace = $workspace AND human AND test = $test AND scanned_at >= $floor AND position <= $upTo";
  const params = { workspace, test, floor: BigInt(Math.floor(floor)), upTo: BigInt(upTo) };
  return { sql, params, asked: [] };
}

/** A value as the format has it: times as ISO 8601 with milliseconds, in Parquet as timestamps; texts in CSV are no formulas. */
function cellOf(field: QueryField, { place, doc }: { place: Place; doc: ExportDoc }): string {
  const sql = field.record ?? field.sql(place);
  if (field.kind === "time") {
    const time = `make_timestamp((${sql}) * 1000)`;
    return doc.format === "parquet" ? time : `strftime(${time}, '%Y-%m-%dT%H:%M:%S.%gZ')`;
  }
  if (doc.format !== "csv" || (field.kind !== "string" && field.kind !== "enum")) return sql;
  return `CASE WHEN regexp_matches(${sql}, '^[=+\\-@\\t\\r\\n]') THEN '''' || (${sql}) ELSE (${sql}) END`;
}

const OPTIONS: Readonly<Record<ExportDoc["format"], string>> = {
  ndjson: "FORMAT json",
  csv: "FORMAT csv, HEADER true",
  parquet: "FORMAT parquet",
};

/** What follows a COPY. */
export function copyOptions({ format, compression }: Pick<ExportDoc, "format" | "compression">): string {
  if (format !== "parquet")
    return compression === "none" ? OPTIONS[format] : `${OPTIONS[format]}, COMPRESSION ${compression}`;
  return `${OPTIONS.parquet}, COMPRESSION ${compression === "none" ? "uncompressed" : compression}`;
}

const ENDINGS = { none: "", gzip: ".gz", zstd: ".zst" } as const;

/** The name of a file: "events-0001.ndjson.gz". */
export function fileName({ format, compression }: Pick<ExportDoc, "format" | "compression">, number: number): string {
  const ending = format === "parquet" ? "" : ENDINGS[compression];
  return `events-${String(number).padStart(4, "0")}.${format}${ending}`;
}

/** The media type of the files of an export. */
export function contentTypeOf({ format, compression }: Pick<ExportDoc, "format" | "compression">): string {
  if (format === "parquet") return "application/vnd.apache.parquet";
  if (compression === "gzip") return "application/gzip";
  if (compression === "zstd") return "application/zstd";
  return format === "csv" ? "text/csv; charset=utf-8" : "application/x-ndjson";
}
