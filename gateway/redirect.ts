import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Target, TargetStatus } from "#gen/waymark/codes/v1/directory_pb.ts";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { type TouchInput, TouchInputSchema } from "#gen/waymark/scans/v1/intake_pb.ts";
import { newId } from "#runtime/internal.ts";
import type { Logger } from "#runtime/logger.ts";
import { deviceKind, type Route, type RouteFacts, route } from "#runtime/routing.ts";
import type { Directory } from "./directory.ts";
import { type Exchange, type Sent, send } from "./exchange.ts";
import type { Pages } from "./pages.ts";
import type { Recorder } from "./recorder.ts";

/** Headers that tell intake of prefetching, previews, language, consent and the page that led here. */
const TOLD = [
  "accept-language",
  "purpose",
  "sec-purpose",
  "x-purpose",
  "x-moz",
  "x-waymark-consent",
  "sec-fetch-dest",
  "sec-fetch-mode",
  "sec-gpc",
  "dnt",
  "referer",
] as const;

/** What redirects stand on. */
export interface Redirects {
  directory: Directory;
  recorder: Recorder;
  pages: Pages;
  /** Country of an address, ISO 3166-1 alpha-2; empty when unknown. Asked only when a rule looks at it. */
  countryOf: (ip: string) => string;
  now: () => number;
  log: Pick<Logger, "error">;
}

/**
 * Takes whoever scanned a printed short id on. Everybody is sent on and recorded, programs too: intake decides what
 * counts. It never fails because counting does.
 */
export async function answerRedirect(exchange: Exchange, shortId: string, redirects: Redirects): Promise<Sent> {
  const { directory, recorder, pages, log } = redirects;
  exchange.route = "redirect";
  exchange.headers["cache-control"] = "no-store";
  let target: Target | undefined;
  try {
    target = await directory.resolve(shortId);
  } catch (error) {
    log.error({ err: error, requestId: exchange.requestId }, "a short id could not be resolved");
    return pages.send(exchange, { page: "unavailable", status: 503, headers: { "retry-after": "5" } });
  }
  if (target === undefined) return pages.send(exchange, { page: "unknown", status: 404 });
  const touchId = newId(target.purpose === Purpose.AMBASSADOR ? "imp" : "scan");
  const { rule, destination } = choose(exchange, target, redirects);
  const location = destination && locationOf(destination, { name: target.touchParameter, touchId });
  const failure = location === undefined ? (FAILURES.get(target.status) ?? "") : "";
  const touch = touchOf(exchange, target, { touchId, location, rule, failure, at: redirects.now() });
  await recorder.record(touch, { workspace: target.workspaceId, test: target.test });
  if (location !== undefined) return send(exchange, { status: 302, headers: { location } });
  return sendPage(exchange, target, pages);
}

function sendPage(exchange: Exchange, target: Target, pages: Pages): Sent {
  if (target.status === TargetStatus.DELETED) return pages.send(exchange, { page: "deleted", status: 410 });
  if (target.status !== TargetStatus.ACTIVE) return pages.send(exchange, { page: "paused", status: 410 });
  const values = { title: target.name, text: target.welcomeMessage || target.name };
  return pages.send(exchange, { page: "welcome", status: 200, values });
}

/** Why a page is shown in place of a destination. */
const FAILURES: ReadonlyMap<TargetStatus, string> = new Map([
  [TargetStatus.ACTIVE, "no_destination"],
  [TargetStatus.PAUSED, "paused"],
  [TargetStatus.ARCHIVED, "archived"],
  [TargetStatus.DELETED, "deleted"],
]);

function choose(exchange: Exchange, target: Target, { countryOf, now, log }: Redirects): Route {
  if (target.status !== TargetStatus.ACTIVE) return { rule: undefined, destination: undefined };
  const chosen = route(target, factsOf(exchange, { target, countryOf, at: now() }));
  if (chosen.destination === undefined || isWeb(chosen.destination)) return chosen;
  log.error({ codeId: target.codeId, rule: chosen.rule }, "a destination is not http or https and was not followed");
  return { rule: chosen.rule, destination: undefined };
}

function factsOf(
  { request, ip }: Exchange,
  given: { target: Target; countryOf: (ip: string) => string; at: number },
): RouteFacts {
  const { "user-agent": userAgent = "", "accept-language": languages = "" } = request.raw.headers;
  return {
    at: given.at,
    scansTotal: Number(given.target.scansTotal),
    get country() {
      return given.countryOf(ip);
    },
    get device() {
      return deviceKind(userAgent);
    },
    get language() {
      return firstLanguage(languages);
    },
    get deviceKey() {
      return ip === "" ? "" : `${ip} ${userAgent}`;
    },
  };
}

/** "de-CH, de;q=0.9" → "de-CH"; "*" is no language. */
function firstLanguage(header: string): string {
  const first = header.split(",", 1)[0]?.split(";", 1)[0]?.trim() ?? "";
  return first === "*" ? "" : first;
}

function isWeb(destination: string): boolean {
  const protocol = URL.parse(destination)?.protocol;
  return protocol === "http:" || protocol === "https:";
}

/** The destination as it stands, with the touch's id under the parameter that the code asks for, before the fragment. */
function locationOf(destination: string, { name, touchId }: { name: string; touchId: string }): string {
  const plain = /^[\x21-\x7e]+$/.test(destination) ? destination : new URL(destination).href;
  if (name === "") return plain;
  const hash = plain.indexOf("#");
  const [address, fragment] = hash < 0 ? [plain, ""] : [plain.slice(0, hash), plain.slice(hash)];
  const joint = !address.includes("?") ? "?" : /[?&]$/.test(address) ? "" : "&";
  // The vendor's `lbid` is the event id in base64url; every other parameter holds the id itself.
  const value = name === "lbid" ? Buffer.from(touchId).toString("base64url") : touchId;
  return `${address}${joint}${encodeURIComponent(name)}=${value}${fragment}`;
}

function touchOf(
  { request, ip, query, begun }: Exchange,
  target: Target,
  given: { touchId: string; location: string | undefined; rule: Route["rule"]; failure: string; at: number },
): TouchInput {
  const { headers, method } = request.raw;
  return create(TouchInputSchema, {
    id: given.touchId,
    purpose: target.purpose,
    codeId: target.codeId,
    shortId: target.shortId,
    parentId: target.parentId,
    ownerId: target.ownerId,
    scannedAt: timestampFromMs(given.at),
    ip,
    userAgent: (headers["user-agent"] ?? "").slice(0, 1024),
    metadata: target.metadata,
    method: method ?? "GET",
    headers: toldBy(headers),
    destination: given.location ?? "",
    rule: given.rule === undefined ? "" : String(given.rule),
    query: query.slice(0, 2048),
    redirectUs: Math.max(1, Math.round((performance.now() - begun) * 1_000)),
    failure: given.failure,
  });
}

function toldBy(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const told: Record<string, string> = {};
  for (const name of TOLD) {
    const value = headers[name];
    if (typeof value === "string") told[name] = value.slice(0, 512);
  }
  return told;
}
