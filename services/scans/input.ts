import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Place, Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { ScanDevice, type ScanInput, ScanInputSchema } from "#gen/waymark/scans/v1/scans_pb.ts";
import { parseAddress } from "#runtime/place/address.ts";
import { compileChecks } from "./limits.ts";
import { badField, type Refusal } from "./reasons.ts";
import type { Arrival } from "./touch.ts";

/** The earliest time of a scan, and how far a device's clock may be ahead of ours. */
const EARLIEST_MS = Date.UTC(2000, 0, 1);
const AHEAD_MS = 10 * 60_000;

/** The most that a scan's metadata may be, as JSON. */
const METADATA_CHARACTERS = 16 * 1024;

const ID = /^[A-Za-z0-9_.:-]{1,64}$/;

const checkFields = compileChecks<ScanInput>(ScanInputSchema);

const words = new Map<ScanDevice, string>([
  [ScanDevice.MOBILE, "mobile"],
  [ScanDevice.TABLET, "tablet"],
  [ScanDevice.DESKTOP, "desktop"],
  [ScanDevice.UNKNOWN, "unknown"],
]);

/** What is wrong with a scan as it was brought in, or undefined. Field names are those of the API. */
export function faultOfScan(scan: ScanInput, now: number): Refusal | undefined {
  const wrong = checkFields(scan);
  if (wrong !== undefined) return badField(wrong.field, wrong.must);
  if (scan.qprCodeId === undefined && scan.shortId === undefined)
    return badField("qpr_code_id", "is required, or short_id in its place");
  if (scan.ip && parseAddress(scan.ip) === undefined) return badField("ip", "must be an IPv4 or IPv6 address");
  return faultOfTime(scan.scannedAt, now) ?? faultOfMetadata(scan.metadata);
}

/** What is wrong with a touch of another service, or undefined. */
export function faultOfArrival(arrival: Arrival, now: number): Refusal | undefined {
  const { id, purpose, codeId, shortId, conversationMessages } = arrival;
  if (id !== "" && !ID.test(id)) return badField("id", "must be 1–64 of A–Z a–z 0–9 _ . : -");
  if (purpose === Purpose.UNSPECIFIED) return badField("purpose", "is required");
  if (codeId === "" && (shortId === "" || purpose !== Purpose.MARKETING)) return badField("code_id", "is required");
  if (conversationMessages < 0) return badField("conversation_messages", "must not be negative");
  return faultOfTime(arrival.scannedAt, now) ?? faultOfMetadata(arrival.metadata);
}

function faultOfTime(time: Timestamp | undefined, now: number): Refusal | undefined {
  if (time === undefined) return undefined;
  const at = timestampMs(time);
  if (at > now + AHEAD_MS) return badField("scanned_at", "must not be more than 10 minutes ahead");
  return at < EARLIEST_MS ? badField("scanned_at", "must not be before the year 2000") : undefined;
}

function faultOfMetadata(metadata: ScanInput["metadata"]): Refusal | undefined {
  if (metadata === undefined || JSON.stringify(metadata).length <= METADATA_CHARACTERS) return undefined;
  return badField("metadata", `must have at most ${METADATA_CHARACTERS} characters as JSON`);
}

/** A scan of the API as an arrival. */
export function arrivalOf(scan: ScanInput): Arrival {
  return {
    id: scan.id ?? "",
    purpose: Purpose.MARKETING,
    codeId: scan.qprCodeId ?? "",
    shortId: scan.shortId ?? "",
    parentId: "",
    ownerId: "",
    scannedAt: scan.scannedAt,
    ip: scan.ip ?? "",
    userAgent: scan.userAgent ?? "",
    place: placeOf(scan),
    device: words.get(scan.device ?? ScanDevice.UNSPECIFIED) ?? "",
    deviceId: scan.deviceId ?? "",
    userId: "",
    conversationStarted: scan.conversationStarted ?? false,
    conversationMessages: scan.conversationMessages ?? 0,
    metadata: scan.metadata,
    method: "",
    headers: {},
    destination: "",
    rule: "",
    query: "",
    redirectUs: 0,
    failure: "",
  };
}

function placeOf({ country, region, city }: ScanInput): Place | undefined {
  if (!country && !region && !city) return undefined;
  const given = { country: country ?? "", region: region ?? "", city: city ?? "" };
  return { $typeName: "waymark.events.v1.Place", ...given, timezone: "", isp: "", asn: 0 };
}
