import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  BIGINT,
  BOOLEAN,
  type DuckDBType,
  type DuckDBValue,
  INTEGER,
  UINTEGER,
  UTINYINT,
  VARCHAR,
} from "@duckdb/node-api";
import { DeviceType, DeviceTypeSchema, type Touch, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { deviceKey } from "../device-key.ts";

/** A touch with where it stands on the log. */
export interface Arrived {
  touch: Touch;
  /** Position of its log entry. */
  position: number;
  /** When intake accepted it, milliseconds since 1970. */
  recordedAt: number;
  /** Position of the log entry that changed it last; absent: none has. */
  changed?: number | undefined;
  /** When it was judged again last, milliseconds since 1970, and by which rules; absent: it never was. */
  revision?: { at: number; rules: string } | undefined;
  /** Devices that it was of before the present one, in order, each up to the position that decided it again. */
  formerDevices?: readonly { deviceId: string; until: number }[];
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

/** A kind of device that this version does not know is none. */
function kindOf({ device }: Touch): number {
  const type = device?.type ?? DeviceType.UNSPECIFIED;
  return DeviceTypeSchema.value[type] === undefined ? DeviceType.UNSPECIFIED : type;
}

/** When it was scanned; when it arrived, where it does not say. */
function scannedAt({ touch, recordedAt }: Arrived): bigint {
  return BigInt(touch.scannedAt === undefined ? recordedAt : timestampMs(touch.scannedAt));
}

/**
 * The columns of the table `events`. NULL is unknown; times are milliseconds since 1970 in UTC. `position` is where the
 * event arrived on the log, `changed` where it was changed last, `revised_at` and `rules` are of its last revision.
 */
export const COLUMNS: readonly Column[] = [
  { name: "workspace", type: VARCHAR, of: ({ touch }) => touch.workspaceId },
  { name: "id", type: VARCHAR, of: ({ touch }) => touch.id },
  { name: "position", type: BIGINT, of: ({ position }) => BigInt(position) },
  { name: "link_id", type: VARCHAR, of: ({ touch }) => touch.codeId },
  { name: "scanned_at", type: BIGINT, of: scannedAt },
  { name: "recorded_at", type: BIGINT, of: ({ recordedAt }) => BigInt(recordedAt) },
  { name: "human", type: BOOLEAN, of: ({ touch }) => touch.verdict === Verdict.HUMAN },
  { name: "test", type: BOOLEAN, of: ({ touch }) => touch.test },
  text("short_id", (touch) => touch.shortId),
  text("device_id", (touch) => touch.deviceId),
  { name: "device_key", type: BIGINT, of: ({ touch }) => (touch.deviceId ? deviceKey(touch.deviceId) : null) },
  text("country", (touch) => touch.place?.country),
  text("region", (touch) => touch.place?.region),
  text("city", (touch) => touch.place?.city),
  text("timezone", (touch) => touch.place?.timezone),
  text("isp", (touch) => touch.place?.isp),
  { name: "asn", type: UINTEGER, of: ({ touch }) => touch.place?.asn || null },
  { name: "device_type", type: UTINYINT, of: ({ touch }) => kindOf(touch) },
  text("browser", (touch) => touch.device?.browser),
  text("browser_version", (touch) => touch.device?.browserVersion),
  text("platform", (touch) => touch.device?.platform),
  text("platform_version", (touch) => touch.device?.platformVersion),
  text("brand", (touch) => touch.device?.brand),
  text("language", (touch) => touch.device?.language),
  text("actor", (touch) => touch.device?.actor),
  text("ip", (touch) => touch.ip),
  text("user_agent", (touch) => touch.userAgent),
  text("referrer", (touch) => touch.referrer),
  text("utm_source", (touch) => touch.campaign?.source),
  text("utm_medium", (touch) => touch.campaign?.medium),
  text("utm_campaign", (touch) => touch.campaign?.name),
  text("destination", (touch) => touch.destination),
  text("rule", (touch) => touch.rule),
  text("method", (touch) => touch.method),
  { name: "redirect_us", type: UINTEGER, of: ({ touch }) => touch.redirectUs || null },
  text("failure", (touch) => touch.failure),
  text("reason", (touch) => touch.verdictReason),
  { name: "talked", type: BOOLEAN, of: ({ touch }) => touch.conversationStarted || touch.conversationMessages > 0 },
  { name: "messages", type: INTEGER, of: ({ touch }) => touch.conversationMessages },
  { name: "changed", type: BIGINT, of: ({ position, changed = position }) => BigInt(changed) },
  { name: "revised_at", type: BIGINT, of: ({ revision }) => (revision === undefined ? null : BigInt(revision.at)) },
  { name: "rules", type: VARCHAR, of: ({ revision }) => revision?.rules || null },
];

/** The types of the columns, in order. */
export const TYPES: readonly DuckDBType[] = COLUMNS.map(({ type }) => type);

/** Turns touches into the values of each column. */
export function toColumns(events: readonly Arrived[]): DuckDBValue[][] {
  return COLUMNS.map(({ of }) => {
    const values: DuckDBValue[] = [];
    for (const event of events) values.push(of(event));
    return values;
  });
}
