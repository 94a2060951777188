import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type DeviceType, Purpose, type Touch, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type { TouchDoc } from "./model.ts";

/**
 * What a document keeps of a touch beside what lists show, under short names: with it the whole touch can be told again when
 * the log keeps it no longer. What is unknown is left out.
 */
export type Rest = Readonly<Record<string, string | number>>;

const texts: readonly (readonly [name: string, of: (touch: Touch) => string | undefined])[] = [
  ["tz", ({ place }) => place?.timezone],
  ["isp", ({ place }) => place?.isp],
  ["br", ({ device }) => device?.browser],
  ["bv", ({ device }) => device?.browserVersion],
  ["os", ({ device }) => device?.platform],
  ["ov", ({ device }) => device?.platformVersion],
  ["mk", ({ device }) => device?.brand],
  ["lg", ({ device }) => device?.language],
  ["ac", ({ device }) => device?.actor],
  ["ip", ({ ip }) => ip],
  ["ua", ({ userAgent }) => userAgent],
  ["rf", ({ referrer }) => referrer],
  ["us", ({ campaign }) => campaign?.source],
  ["um", ({ campaign }) => campaign?.medium],
  ["uc", ({ campaign }) => campaign?.name],
  ["to", ({ destination }) => destination],
  ["ru", ({ rule }) => rule],
  ["me", ({ method }) => method],
  ["fa", ({ failure }) => failure],
];

/** The rest of a marketing touch that arrived then; undefined for other purposes, whose touches are told by nobody else. */
export function restOf(touch: Touch, arrivedAt: number): Rest | undefined {
  if (touch.purpose !== Purpose.MARKETING) return undefined;
  const rest: Record<string, string | number> = { at: arrivedAt };
  for (const [name, of] of texts) {
    const text = of(touch);
    if (text) rest[name] = text;
  }
  if (touch.place?.asn) rest.asn = touch.place.asn;
  if (touch.redirectUs > 0) rest.dt = touch.redirectUs;
  return rest;
}

/** The marketing touch of a document, as it is judged now, and when it arrived. */
export function touchOf(workspace: string, doc: TouchDoc): { touch: Touch; arrivedAt: number } {
  const rest = (doc.rest ?? {}) as Rest;
  const text = (name: string) => String(rest[name] ?? "");
  const touch: Touch = {
    $typeName: "waymark.events.v1.Touch",
    id: doc.id,
    workspaceId: workspace,
    purpose: Purpose.MARKETING,
    codeId: doc.codeId,
    shortId: doc.shortId ?? "",
    parentId: "",
    ownerId: "",
    scannedAt: timestampFromMs(doc.scannedAt),
    verdict: doc.reason === undefined ? Verdict.HUMAN : Verdict.BOT,
    verdictReason: doc.reason ?? "",
    ...{ place: placeOf(doc, text, Number(rest.asn ?? 0)), device: deviceOf(doc, text), campaign: campaignOf(text) },
    deviceId: doc.deviceId ?? "",
    userId: "",
    ip: text("ip"),
    userAgent: text("ua"),
    conversationStarted: doc.started,
    conversationMessages: doc.messages,
    metadata: doc.metadata as Touch["metadata"],
    referrer: text("rf"),
    destination: text("to"),
    rule: text("ru"),
    redirectUs: Number(rest.dt ?? 0),
    failure: text("fa"),
    method: text("me"),
    test: doc.wall.endsWith("t"),
  };
  return { touch, arrivedAt: Number(rest.at ?? doc.scannedAt) };
}

type Text = (name: string) => string;

function placeOf({ country = "", region = "", city = "" }: TouchDoc, text: Text, asn: number): Touch["place"] {
  const place = { country, region, city, timezone: text("tz"), isp: text("isp"), asn };
  return { $typeName: "waymark.events.v1.Place", ...place };
}

function deviceOf({ device: type }: TouchDoc, text: Text): Touch["device"] {
  return {
    $typeName: "waymark.events.v1.Device",
    type: type as DeviceType,
    browser: text("br"),
    browserVersion: text("bv"),
    platform: text("os"),
    platformVersion: text("ov"),
    brand: text("mk"),
    language: text("lg"),
    actor: text("ac"),
  };
}

function campaignOf(text: Text): Touch["campaign"] {
  return { $typeName: "waymark.events.v1.Campaign", source: text("us"), medium: text("um"), name: text("uc") };
}
