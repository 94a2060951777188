import type { Message } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { IpSetting, PlaceSetting, type Privacy, UserAgentSetting } from "#gen/waymark/access/v1/authority_pb.ts";
import {
  type Campaign,
  type Device,
  type Place,
  Purpose,
  type Touch,
  Verdict,
} from "#gen/waymark/events/v1/touches_pb.ts";
import type { TouchInput } from "#gen/waymark/scans/v1/intake_pb.ts";
import { type Address, formatAddress, parseAddress, truncateAddress } from "#runtime/place/address.ts";
import type { Places } from "#runtime/place/places.ts";
import { deviceType, noUserAgent, USER_AGENT_LENGTH, type UserAgent } from "./device.ts";
import { type DeviceSigns, type Identities, mayIdentify, wishesOf } from "./identity.ts";
import { reasonOf } from "./verdict.ts";

/** A touch as it comes in, checked. */
export type Arrival = Omit<TouchInput, keyof Message>;

/** What turns arrivals into touches. */
export interface Lens {
  userAgents: (text: string) => UserAgent;
  places: Pick<Places, "locate">;
  identities: Identities;
}

/** What is known of an arrival besides itself. */
export interface Setting {
  id: string;
  workspace: string;
  test: boolean;
  now: number;
  privacy: Privacy;
  codeId: string;
  shortId: string;
  /** Metadata of the code. */
  metadata: TouchInput["metadata"];
}

/** Makes the touch of an arrival: tells people from programs, finds the place and the device, and keeps of all this what the workspace collects. */
export function touchOf(arrival: Arrival, setting: Setting, lens: Lens): Touch {
  const { privacy, now } = setting;
  const scannedAt = arrival.scannedAt === undefined ? now : Math.floor(timestampMs(arrival.scannedAt));
  const agent = lens.userAgents(arrival.userAgent);
  const reason = reasonOf(arrival, agent.actor);
  const address = arrival.ip === "" ? undefined : parseAddress(arrival.ip);
  const may = mayIdentify({ privacy, wishes: wishesOf(arrival.headers), hasOwnPseudonym: arrival.deviceId !== "" });
  const { workspace } = setting;
  const signs = signsOf(arrival, { workspace, scannedAt, address });
  return {
    $typeName: "waymark.events.v1.Touch",
    id: setting.id,
    workspaceId: workspace,
    purpose: arrival.purpose,
    codeId: setting.codeId,
    shortId: setting.shortId,
    parentId: arrival.parentId,
    ownerId: arrival.ownerId,
    scannedAt: timestampOf(scannedAt),
    verdict: reason === "" ? Verdict.HUMAN : Verdict.BOT,
    verdictReason: reason,
    place: collectPlace(arrival.place ?? locate(address, lens), privacy.place),
    device: collectDevice(arrival, agent, privacy.userAgent),
    deviceId: may.device ? lens.identities.of(signs, privacy.deviceIdentity) : "",
    userId: arrival.userId,
    ip: address !== undefined && may.address ? collectAddress(address, privacy.ip) : "",
    userAgent: keepsText(privacy.userAgent) ? arrival.userAgent.slice(0, USER_AGENT_LENGTH) : "",
    conversationStarted: arrival.conversationStarted || arrival.conversationMessages > 0,
    conversationMessages: arrival.conversationMessages,
    metadata: overlay(setting.metadata, arrival.metadata),
    referrer: pageOf(arrival.headers.referer),
    campaign: campaignOf(arrival.query),
    destination: arrival.destination,
    rule: arrival.rule,
    redirectUs: arrival.redirectUs,
    failure: arrival.failure,
    method: arrival.method,
    test: setting.test,
  };
}

function signsOf(
  { deviceId, userAgent }: Arrival,
  given: { workspace: string; scannedAt: number; address: Address | undefined },
): DeviceSigns {
  const { workspace, scannedAt, address } = given;
  return { workspace, scannedAt, deviceId, ip: address === undefined ? "" : formatAddress(address), userAgent };
}

/** Prefix of the id of a touch that has none, by its purpose. */
export function idPrefix(purpose: Purpose): string {
  return prefixes.get(purpose) ?? "scan";
}

const prefixes = new Map<Purpose, string>([
  [Purpose.AMBASSADOR, "imp"],
  [Purpose.LOST_AND_FOUND, "tagscan"],
  [Purpose.MEDICAL, "look"],
  [Purpose.TOUCHPOINT, "visit"],
]);

/** A time as a message. Made by hand: it is made for every touch. */
function timestampOf(atMs: number): Timestamp {
  const seconds = Math.floor(atMs / 1000);
  const nanos = (atMs - seconds * 1000) * 1_000_000;
  return { $typeName: "google.protobuf.Timestamp", seconds: BigInt(seconds), nanos };
}

function locate(address: Address | undefined, { places }: Lens): Place | undefined {
  const found = address === undefined ? undefined : places.locate(address);
  return found && { $typeName: "waymark.events.v1.Place", ...found, isp: "", asn: 0 };
}

function collectPlace(place: Place | undefined, setting: PlaceSetting): Place | undefined {
  if (place === undefined || setting === PlaceSetting.NONE) return undefined;
  const country = /^[A-Za-z]{2}$/.test(place.country) ? place.country.toUpperCase() : "";
  if (setting !== PlaceSetting.COUNTRY) return country === place.country ? place : { ...place, country };
  return { $typeName: "waymark.events.v1.Place", country, region: "", city: "", timezone: "", isp: "", asn: 0 };
}

function collectDevice(arrival: Arrival, agent: UserAgent, setting: UserAgentSetting): Device {
  const { actor, type, ...told } = setting === UserAgentSetting.NONE ? { ...noUserAgent, actor: agent.actor } : agent;
  return {
    $typeName: "waymark.events.v1.Device",
    type: arrival.device === "" ? type : deviceType(arrival.device),
    ...told,
    language: setting === UserAgentSetting.NONE ? "" : languageOf(arrival.headers["accept-language"]),
    actor: actor.name,
  };
}

function collectAddress(address: Address, setting: IpSetting): string {
  if (setting === IpSetting.NONE) return "";
  return formatAddress(setting === IpSetting.FULL ? address : truncateAddress(address));
}

function keepsText(setting: UserAgentSetting): boolean {
  return setting === UserAgentSetting.FULL || setting === UserAgentSetting.UNSPECIFIED;
}

function overlay(code: TouchInput["metadata"], scan: TouchInput["metadata"]): TouchInput["metadata"] {
  if (code === undefined || scan === undefined) return scan ?? code;
  return { ...code, ...scan };
}

/** "en-GB,en;q=0.9" → "en-GB". */
function languageOf(header: string | undefined): string {
  return /^\s*([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*)/.exec(header ?? "")?.[1] ?? "";
}

/** The page without its query, which may hold what is none of our business. */
function pageOf(referer: string | undefined): string {
  return referer === undefined ? "" : (referer.split(/[?#]/, 1)[0] ?? "").slice(0, 500);
}

function campaignOf(query: string): Campaign | undefined {
  if (!query.includes("utm_")) return undefined;
  const parameters = new URLSearchParams(query);
  const textOf = (name: string) => (parameters.get(name) ?? "").slice(0, 200);
  return {
    $typeName: "waymark.events.v1.Campaign",
    source: textOf("utm_source"),
    medium: textOf("utm_medium"),
    name: textOf("utm_campaign"),
  };
}
