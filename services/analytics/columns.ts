import { timestampMs } from "@bufbuild/protobuf/wkt";
import { BIGINT, BOOLEAN, type DuckDBType, type DuckDBValue, INTEGER, UTINYINT, VARCHAR } from "@duckdb/node-api";
import { type Touch, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";

/** A touch with where it stands on the log. */
export interface Arrived {
  touch: Touch;
  /** Position of its log entry. */
  position: number;
  /** When intake accepted it, milliseconds since 1970. */
  recordedAt: number;
}

interface Column {
  name: string;
  type: DuckDBType;
  of: (event: Arrived) => DuckDBValue;
}

const text = (name: string, of: (touch: Touch) => string | undefined): Column => ({
  name,
  type: VARCHAR,
  of: ({ touch }) => of(touch) || null,
});

/** The columns of the table `events`. NULL is unknown; times are milliseconds since 1970 in UTC. */
export const COLUMNS: readonly Column[] = [
  { name: "workspace", type: VARCHAR, of: ({ touch }) => touch.workspaceId },
  { name: "id", type: VARCHAR, of: ({ touch }) => touch.id },
  { name: "position", type: BIGINT, of: ({ position }) => BigInt(position) },
  { name: "link_id", type: VARCHAR, of: ({ touch }) => touch.codeId },
  { name: "scanned_at", type: BIGINT, of: ({ touch }) => BigInt(touch.scannedAt ? timestampMs(touch.scannedAt) : 0) },
  { name: "recorded_at", type: BIGINT, of: ({ recordedAt }) => BigInt(recordedAt) },
  { name: "human", type: BOOLEAN, of: ({ touch }) => touch.verdict === Verdict.HUMAN },
  { name: "test", type: BOOLEAN, of: ({ touch }) => touch.test },
  text("short_id", (touch) => touch.shortId),
  text("device_id", (touch) => touch.deviceId),
  text("country", (touch) => touch.place?.country),
  text("region", (touch) => touch.place?.region),
  text("city", (touch) => touch.place?.city),
  text("timezone", (touch) => touch.place?.timezone),
  text("isp", (touch) => touch.place?.isp),
  { name: "asn", type: INTEGER, of: ({ touch }) => touch.place?.asn || null },
  { name: "device_type", type: UTINYINT, of: ({ touch }) => touch.device?.type ?? 0 },
  text("browser", (touch) => touch.device?.browser),
  text("browser_version", (touch) => touch.device?.browserVersion),
  text("platform", (touch) => touch.device?.platform),
  text("platform_version", (touch) => touch.device?.platformVersion),
  text("brand", (touch) => touch.device?.brand),
  text("language", (touch) => touch.device?.language),
  text("ip", (touch) => touch.ip),
  text("user_agent", (touch) => touch.userAgent),
  text("referrer", (touch) => touch.referrer),
  text("utm_source", (touch) => touch.campaign?.source),
  text("utm_medium", (touch) => touch.campaign?.medium),
  text("utm_campaign", (touch) => touch.campaign?.name),
  text("destination", (touch) => touch.destination),
  text("rule", (touch) => touch.rule),
  text("method", (touch) => touch.method),
  text("reason", (touch) => touch.verdictReason),
];

/** Turns touches into DuckDB columns. */
export function toColumns(events: readonly Arrived[]): { type: DuckDBType; values: DuckDBValue[] }[] {
  return COLUMNS.map(({ type, of }) => ({ type, values: events.map(of) }));
}

/** Statements that make the tables in a new file; they change nothing in an existing one. */
export const SCHEMA: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS events (${COLUMNS.map(({ name, type }) => `${name} ${type}`).join(", ")})`,
  "CREATE TABLE IF NOT EXISTS watermark (position BIGINT)",
  "INSERT INTO watermark SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM watermark)",
];
