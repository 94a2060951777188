import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Action, DeviceActor, VisitorAttributeType, VisitType } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import type { Row } from "../engine/query.ts";
import { deviceTypeOf, methodOf } from "../rules.ts";

type Value = Row[string] | undefined;

/** A value as text; undefined when it is not known. */
export function textOf(value: Value): string | undefined {
  return value === null || value === undefined ? undefined : String(value);
}

/** Milliseconds as a time; undefined when it is not known. */
export function timeOf(value: Value): Timestamp | undefined {
  return value === null || value === undefined ? undefined : timestampFromMs(Number(value));
}

/** The device of an event's row. */
export function toDevice(row: Row) {
  const region = textOf(row.region);
  const asn = textOf(row.asn);
  return {
    id: textOf(row.device_id) ?? "",
    country: textOf(row.country),
    region,
    state: region,
    city: textOf(row.city),
    timezone: textOf(row.timezone),
    isp: textOf(row.isp),
    asn: asn === undefined ? undefined : BigInt(asn),
    ipAddress: textOf(row.ip),
    userAgent: textOf(row.user_agent),
    browserName: textOf(row.browser),
    browserVersion: textOf(row.browser_version),
    browserLanguage: textOf(row.language),
    platformName: textOf(row.platform),
    platformVersion: textOf(row.platform_version),
    deviceType: deviceTypeOf(Number(row.device_type)),
    deviceActor: row.human === true ? DeviceActor.HUMAN : DeviceActor.BOT,
    deviceBrand: textOf(row.brand),
    lastUsedAt: timeOf(row.scanned_at),
  };
}

/** An event's row, without includes. `firsts`: rows that were their device's first of their link. */
export function toEvent(row: Row, context: { firsts: ReadonlySet<string>; publicUrl: string }) {
  const device = textOf(row.device_id);
  const shortId = textOf(row.short_id);
  return {
    ...placed(row),
    deviceId: device,
    action: Action.SCAN,
    visitType: device === undefined ? undefined : visitTypeOf(row, context.firsts),
    httpMethod: methodOf(textOf(row.method)),
    entrypoint: shortId === undefined ? "" : `${context.publicUrl}/s/${shortId}`,
    destination: textOf(row.destination),
    scannedAt: timeOf(row.scanned_at),
    traces: tracesOf(row),
  };
}

/** Whose an event is, and since when it is known. */
function placed(row: Row) {
  return {
    id: String(row.id),
    workspaceId: String(row.workspace),
    linkId: String(row.link_id),
    visitorId: textOf(row.visitor_id),
    createdAt: timeOf(row.recorded_at),
    updatedAt: timeOf(row.revised_at ?? row.recorded_at),
  };
}

/** What happened at an event: where the device was sent. */
function tracesOf(row: Row) {
  const destination = textOf(row.destination);
  if (destination === undefined) return [];
  const { id, ...rest } = placed(row);
  const step = { stepKind: "redirect", completedAt: timeOf(row.scanned_at), rule: textOf(row.rule), destination };
  return [{ id: `${id}.redirect`, eventId: id, ...rest, ...step }];
}

function visitTypeOf(row: Row, firsts: ReadonlySet<string>) {
  return firsts.has(String(row.id)) ? VisitType.FIRST : VisitType.RETURNING;
}

/** What a row tells of who a visitor is. */
export function profileOf(row: Row) {
  return {
    email: textOf(row.email),
    phone: textOf(row.phone),
    firstName: textOf(row.first_name),
    lastName: textOf(row.last_name),
  };
}

/** A visitor without includes; `links` is the number of links that it met. */
export function toVisitor(row: Row, links: number) {
  return {
    id: String(row.visitor_id),
    ...profileOf(row),
    attributes: attributesOf(textOf(row.attributes)),
    visitCount: BigInt(Number(row.visits)),
    deviceCount: BigInt(Number(row.devices)),
    qrcodeCount: BigInt(links),
    createdAt: timeOf(row.first_at),
    updatedAt: timeOf(row.last_at),
  };
}

/** An attribute as the table tells it. */
interface Stored {
  key: string;
  type: string;
  text: string;
  number: number | null;
  truth: boolean | null;
  time: number | null;
}

const TYPES: Readonly<Record<string, VisitorAttributeType>> = {
  string: VisitorAttributeType.STRING,
  number: VisitorAttributeType.NUMBER,
  boolean: VisitorAttributeType.BOOLEAN,
  date: VisitorAttributeType.DATE,
};

export function attributesOf(json: string | undefined) {
  const stored = json === undefined ? [] : (JSON.parse(json) as Stored[]);
  return stored.map(({ key, type, text, number, truth, time }) => ({
    key,
    value: text,
    type: typeOf(type),
    numberValue: number ?? undefined,
    boolValue: truth ?? undefined,
    dateValue: time === null ? undefined : timeOf(BigInt(time)),
  }));
}

/** The type of an attribute in the words of this API. */
export function typeOf(type: string): VisitorAttributeType {
  return TYPES[type] ?? VisitorAttributeType.STRING;
}

/** An event as visitors include it. */
export function toVisitorEvent(row: Row, firsts: ReadonlySet<string>) {
  return {
    id: String(row.id),
    linkId: String(row.link_id),
    action: Action.SCAN,
    visitType: visitTypeOf(row, firsts),
    scannedAt: timeOf(row.scanned_at),
    createdAt: timeOf(row.recorded_at),
  };
}
