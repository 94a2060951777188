import { Dialect as DialectName } from "#gen/waymark/options/v1/options_pb.ts";
import { analytics } from "./analytics.ts";
import type { Dialect } from "./dialect.ts";
import { impressions } from "./impressions.ts";
import { platform } from "./platform.ts";
import { scans } from "./scans.ts";
import { tags } from "./tags.ts";
import { touchpoints } from "./touchpoints.ts";

/** The dialects by their number in options.proto. */
export const dialects: ReadonlyMap<DialectName, Dialect> = new Map([
  [DialectName.SCANS, scans],
  [DialectName.IMPRESSIONS, impressions],
  [DialectName.TAGS, tags],
  [DialectName.ANALYTICS, analytics],
  [DialectName.TOUCHPOINTS, touchpoints],
  [DialectName.PLATFORM, platform],
]);

/** Roots of the APIs, the longer first. Paths under /api/v1 that no route knows answer as the Tags API. */
const ROOTS: readonly (readonly [string, Dialect])[] = [
  ["/analytics", analytics],
  ["/waymark/v1", platform],
  ["/api/v1", tags],
  ["/v3", touchpoints],
  ["/v1", scans],
];

/** The dialect of the API under whose root a path lies. */
export function dialectOfPath(path: string): Dialect | undefined {
  return ROOTS.find(([root]) => path === root || path.startsWith(`${root}/`))?.[1];
}
