import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { ActionSchema, DeviceTypeSchema, VisitTypeSchema } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import type { Row } from "../engine/query.ts";
import { type Cell, toCsv } from "./csv.ts";
import { toDevice, type toEvent, type toVisitor } from "./messages.ts";

type Event = ReturnType<typeof toEvent>;
type Visitor = ReturnType<typeof toVisitor>;

interface Shown {
  event: Event;
  device: ReturnType<typeof toDevice>;
}

/** Columns of events as CSV: the names that they have in JSON. */
const EVENT_CELLS: Readonly<Record<string, (shown: Shown) => Cell>> = {
  id: ({ event }) => event.id,
  scannedAt: ({ event }) => iso(event.scannedAt),
  createdAt: ({ event }) => iso(event.createdAt),
  linkId: ({ event }) => event.linkId,
  visitorId: ({ event }) => event.visitorId,
  deviceId: ({ event }) => event.deviceId,
  action: ({ event }) => ActionSchema.value[event.action]?.name,
  visitType: ({ event }) => event.visitType && VisitTypeSchema.value[event.visitType]?.name,
  entrypoint: ({ event }) => event.entrypoint,
  destination: ({ event }) => event.destination,
  country: ({ device }) => device.country,
  region: ({ device }) => device.region,
  city: ({ device }) => device.city,
  timezone: ({ device }) => device.timezone,
  isp: ({ device }) => device.isp,
  asn: ({ device }) => device.asn,
  browserName: ({ device }) => device.browserName,
  platformName: ({ device }) => device.platformName,
  deviceType: ({ device }) => DeviceTypeSchema.value[device.deviceType]?.name,
  browserLanguage: ({ device }) => device.browserLanguage,
};

/** Events as CSV: `rows` and `events` stand side by side. */
export function eventTable(rows: readonly Row[], events: readonly Event[]): string {
  const cells = Object.values(EVENT_CELLS);
  const devices = rows.map(toDevice);
  const shown = events.map((event, index) => ({ event, device: devices[index] as Shown["device"] }));
  return toCsv(
    Object.keys(EVENT_CELLS),
    shown.map((one) => cells.map((of) => of(one))),
  );
}

const VISITOR_CELLS: Readonly<Record<string, (visitor: Visitor) => Cell>> = {
  id: ({ id }) => id,
  email: ({ email }) => email,
  phone: ({ phone }) => phone,
  firstName: ({ firstName }) => firstName,
  lastName: ({ lastName }) => lastName,
  visitCount: ({ visitCount }) => visitCount,
  deviceCount: ({ deviceCount }) => deviceCount,
  qrcodeCount: ({ qrcodeCount }) => qrcodeCount,
  createdAt: ({ createdAt }) => iso(createdAt),
  updatedAt: ({ updatedAt }) => iso(updatedAt),
};

/** Visitors as CSV. */
export function visitorTable(visitors: readonly Visitor[]): string {
  const cells = Object.values(VISITOR_CELLS);
  return toCsv(
    Object.keys(VISITOR_CELLS),
    visitors.map((visitor) => cells.map((of) => of(visitor))),
  );
}

function iso(time: Timestamp | undefined): string | undefined {
  return time && new Date(timestampMs(time)).toISOString();
}
